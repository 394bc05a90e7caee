/* option_reload - SIGHUP: the configuration is read again, the same way as at start, and the
 * options that may change while the process runs are taken over; all of it or nothing. One per
 * process; the fresh set that was taken last stays, because it owns strings. */
#ifndef BECKON_COMMON_OPTION_RELOAD_H
#define BECKON_COMMON_OPTION_RELOAD_H

#include "common/option.h"

struct option_reload {
    const struct option_command *command;
    const struct option *table;
    size_t count;
    size_t values_size; /* of the options struct */
    int argc;
    char **argv;
    struct option_set *fresh; /* read, not yet taken; or NULL */
    struct option_set *taken; /* of the last reload; or NULL */
};

/* Reads the configuration into reload->fresh, for modules that read lists from its config before it
 * is taken. 0; ERR_CONFIG (printed as at start) or ERR_NO_MEMORY: nothing has changed. */
MUST_CHECK int option_reload_read(struct option_reload *reload);
/* Takes the reloadable values of fresh over into values, the options struct in force. */
void option_reload_take(struct option_reload *reload, void *values);
/* Forgets fresh: nothing has changed. */
void option_reload_drop(struct option_reload *reload);
/* At the end of the process. */
void option_reload_fini(struct option_reload *reload);

#endif
