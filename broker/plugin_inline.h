/* plugin_inline - a delivery plugin running in the broker's own process: the host's services as
 * delivery_plugin.h describes them. Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_INLINE_H
#define BECKON_BROKER_PLUGIN_INLINE_H

#include "broker/plugin.h"
#include "broker/plugin_load.h"

MUST_CHECK int plugins_inline_create(struct broker *broker);
void plugins_inline_destroy(struct broker *broker);

/* Opens an instance. Takes file, on failure too. ERR_PLUGIN with the plugin's own words in et. */
MUST_CHECK int plugin_inline_open(struct broker *broker, struct plugin_file *file,
                                  const struct dp_setting *settings, size_t setting_count,
                                  struct err_text *et);

#endif
