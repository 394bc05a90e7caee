/* plugin_counters - the counters one plugin made with host->count. Loop thread. */
#ifndef BECKON_PLUGIN_HOST_PLUGIN_COUNTERS_H
#define BECKON_PLUGIN_HOST_PLUGIN_COUNTERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct plugin_counter {
    LIST_ENTRY(plugin_counter) link;
    uint64_t value;
    uint64_t taken; /* of value, what plugin_counters_take has handed out */
    char name[];
};

/* Zeroed is empty. */
struct plugin_counters {
    LIST_HEAD(, plugin_counter) list;
    size_t count;
};

void plugin_counters_fini(struct plugin_counters *counters);
/* Makes the counter at its first use. A name that is not [a-z_]{1,63}, a name above the limit and a
 * failed allocation are ignored: a count is not worth failing for. */
void plugin_counters_add(struct plugin_counters *counters, const char *name, uint64_t delta);

typedef void (*plugin_counters_fn)(void *arg, const char *name, uint64_t value);
void plugin_counters_each(const struct plugin_counters *counters, plugin_counters_fn fn, void *arg);
/* Calls fn with what was added to each counter since the last time; not for those unchanged. */
void plugin_counters_take(struct plugin_counters *counters, plugin_counters_fn fn, void *arg);

#endif
