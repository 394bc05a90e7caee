/* plugin_inline - a delivery plugin running in the broker's own process, on its loop. */
#ifndef BECKON_BROKER_PLUGIN_INLINE_H
#define BECKON_BROKER_PLUGIN_INLINE_H

#include "broker/plugin.h"
#include "plugin-host/plugin_file.h"

/* Opens an instance. Takes file, on failure too. ERR_PLUGIN with the plugin's own words in et. */
MUST_CHECK int plugin_inline_open(struct broker *broker, struct plugin_file *file,
                                  const struct dp_setting *settings, size_t setting_count,
                                  struct err_text *et);

#endif
