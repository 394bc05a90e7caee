/* plugin_settings - a plugin's section of the configuration, flattened: what its open is given.
 * Owned copies, so that a plugin which is started again gets the same. */
#ifndef BECKON_BROKER_PLUGIN_SETTINGS_H
#define BECKON_BROKER_PLUGIN_SETTINGS_H

#include "beckon/delivery_plugin.h"
#include "common/err.h"

#include <libconfig.h>

struct plugin_settings {
    struct dp_setting *list;
    size_t count;
};

/* options: a group, or NULL for no settings. ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int plugin_settings_read(const config_setting_t *options,
                                    struct plugin_settings *ret_settings, struct err_text *et);
void plugin_settings_fini(struct plugin_settings *settings);

#endif
