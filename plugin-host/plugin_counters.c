/* plugin_counters - see the header. A plugin has a dozen counters: finding one walks a list. */
#include "plugin-host/plugin_counters.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A dozen is usual; a plugin that makes names from data would fill the memory. */
#define COUNTERS_MAX 128
#define NAME_MAX_LEN 63 /* what metrics systems still show in one line */

static bool name_valid(const char *name, size_t len)
{
    return len > 0 && len <= NAME_MAX_LEN && strspn(name, "abcdefghijklmnopqrstuvwxyz_") == len;
}

void plugin_counters_fini(struct plugin_counters *counters)
{
    struct plugin_counter *counter;

    while ((counter = LIST_FIRST(&counters->list))) {
        LIST_REMOVE(counter, link);
        free(counter);
    }
    counters->count = 0;
}

void plugin_counters_add(struct plugin_counters *counters, const char *name, uint64_t delta)
{
    struct plugin_counter *counter;
    size_t len = strnlen(name, NAME_MAX_LEN + 1);

    LIST_FOREACH(counter, &counters->list, link)
    {
        if (strcmp(counter->name, name) == 0) {
            counter->value += delta;
            return;
        }
    }
    if (counters->count == COUNTERS_MAX || !name_valid(name, len))
        return;
    counter = calloc(1, sizeof(*counter) + len + 1);
    if (!counter)
        return;
    memcpy(counter->name, name, len + 1);
    counter->value = delta;
    LIST_INSERT_HEAD(&counters->list, counter, link);
    counters->count++;
}

void plugin_counters_each(const struct plugin_counters *counters, plugin_counters_fn fn, void *arg)
{
    const struct plugin_counter *counter;

    LIST_FOREACH(counter, &counters->list, link)
    {
        fn(arg, counter->name, counter->value);
    }
}

void plugin_counters_take(struct plugin_counters *counters, plugin_counters_fn fn, void *arg)
{
    struct plugin_counter *counter;

    LIST_FOREACH(counter, &counters->list, link)
    {
        if (counter->value == counter->taken)
            continue;
        fn(arg, counter->name, counter->value - counter->taken);
        counter->taken = counter->value;
    }
}
