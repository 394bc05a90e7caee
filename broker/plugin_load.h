/* plugin_load - delivery plugins as files: found, loaded, checked against the ABI, opened with
 * their section of the configuration. How a plugin then runs in this process is plugin_inline.
 * Start-up only. */
#ifndef BECKON_BROKER_PLUGIN_LOAD_H
#define BECKON_BROKER_PLUGIN_LOAD_H

#include "beckon/delivery_plugin.h"
#include "common/err.h"

#include <libconfig.h>
#include <stdbool.h>
#include <sys/queue.h>

struct broker;

/* A loaded shared object. */
struct plugin_file {
    void *handle; /* dlopen's */
    const struct dp_plugin *descriptor;
};

/* Loads path and checks its descriptor. ERR_PLUGIN with et: what is wrong, what was expected, both
 * ABI numbers where they differ. */
MUST_CHECK int plugin_file_load(const char *path, struct plugin_file *ret_file,
                                struct err_text *et);
void plugin_file_unload(struct plugin_file *file);

/* `plugins` of the configuration: its shape. For the option table. */
int plugin_check_setting(const config_setting_t *setting, struct err_text *et);
/* True when the configuration has a plugin of that name. */
bool plugin_configured(const config_t *config, const char *name);
/* That every named file loads. For --check-config. */
MUST_CHECK int plugin_check_files(const config_t *config, const char *plugin_dir,
                                  struct err_text *et);

#endif
