/* plugin_file - a delivery plugin as a shared object: loaded, and its descriptor checked against
 * the ABI. Whoever runs plugins loads them with this: the broker, beckon-plugin-host, plugin-check.
 * Any thread that may call dlopen; start-up only. */
#ifndef BECKON_PLUGIN_HOST_PLUGIN_FILE_H
#define BECKON_PLUGIN_HOST_PLUGIN_FILE_H

#include "beckon/delivery_plugin.h"
#include "common/err.h"

#include <stdbool.h>

struct plugin_file {
    void *handle; /* dlopen's */
    const struct dp_plugin *descriptor;
};

/* Loads path and checks its descriptor. ERR_PLUGIN with et: what is wrong, what was expected, both
 * ABI numbers where they differ. */
MUST_CHECK int plugin_file_load(const char *path, struct plugin_file *ret_file,
                                struct err_text *et);
void plugin_file_unload(struct plugin_file *file);

/* True for [a-z][a-z0-9-]{0,31}. NULL is allowed. */
bool plugin_name_valid(const char *name);

#endif
