/* option_reload - see the header. */
#include "common/option_reload.h"

#include <stdlib.h>
#include <string.h>

static void destroy(struct option_set *set)
{
    if (!set)
        return;
    free(set->values);
    option_set_fini(set);
    free(set);
}

int option_reload_read(struct option_reload *reload)
{
    struct option_set *set = calloc(1, sizeof(*set));
    void *values = calloc(1, reload->values_size);

    option_reload_drop(reload);
    if (!set || !values) {
        free(set);
        free(values);
        return ERR_NO_MEMORY;
    }
    option_set_init(set, reload->table, reload->count, values);
    if (option_command_line(set, reload->command, reload->argc, reload->argv) != 0) {
        destroy(set);
        return ERR_CONFIG;
    }
    reload->fresh = set;
    return 0;
}

static size_t value_size(enum option_type type)
{
    switch (type) {
    case OPTION_BOOL:
        return sizeof(bool);
    case OPTION_UINT:
        return sizeof(uint32_t);
    case OPTION_UINT64:
        return sizeof(uint64_t);
    case OPTION_STRING:
        return sizeof(const char *);
    case OPTION_LIST:
        break; /* lives in the configuration, not in the struct */
    }
    return 0;
}

void option_reload_take(struct option_reload *reload, void *values)
{
    const char *from = reload->fresh->values;

    for (size_t i = 0; i < reload->count; i++) {
        const struct option *option = &reload->table[i];

        if (option->reloadable)
            memcpy((char *)values + option->offset, from + option->offset,
                   value_size(option->type));
    }
    destroy(reload->taken);
    reload->taken = reload->fresh;
    reload->fresh = NULL;
}

void option_reload_drop(struct option_reload *reload)
{
    destroy(reload->fresh);
    reload->fresh = NULL;
}

void option_reload_fini(struct option_reload *reload)
{
    option_reload_drop(reload);
    destroy(reload->taken);
    reload->taken = NULL;
}
