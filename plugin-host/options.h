/* options - the configuration of beckon-plugin-host. The broker gives all of it with --set; by hand
 * it serves to check a plugin's file. */
#ifndef BECKON_PLUGIN_HOST_OPTIONS_H
#define BECKON_PLUGIN_HOST_OPTIONS_H

#include "common/option.h"

struct plugin_file;

struct host_options {
    uint32_t index;
    const char *log_level;
    const char *endpoint;
    const char *plugin_file;
    const char *plugin_name;
    uint32_t memory_mb;
    uint32_t silence_ms;
};

extern const struct option host_options_table[];
extern const size_t host_options_count;

/* Loads the configured plugin and checks that it may run here under its configured name.
 * ERR_PLUGIN with et. */
MUST_CHECK int host_options_load(const struct host_options *options, struct plugin_file *ret_file,
                                 struct err_text *et);
/* What the table can't check by itself. For --check-config. */
int host_options_check(struct option_set *set, struct err_text *et);

#endif
