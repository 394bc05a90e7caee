/* plugin_inline - a delivery plugin running in the broker's own process: the host's services as
 * delivery_plugin.h describes them. Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_INLINE_H
#define BECKON_BROKER_PLUGIN_INLINE_H

#include "broker/device.h"
#include "broker/plugin_load.h"

struct plugin;

MUST_CHECK int plugins_inline_create(struct broker *broker);
void plugins_inline_destroy(struct broker *broker);

/* Opens an instance. Takes file, on failure too. ERR_PLUGIN with the plugin's own words in et. */
MUST_CHECK int plugin_inline_open(struct broker *broker, struct plugin_file *file,
                                  const struct dp_setting *settings, size_t setting_count,
                                  struct err_text *et);

/* NULL when no such plugin is loaded. */
struct plugin *plugin_find(struct broker *broker, const char *name);

/* Gives a delivery to the plugin. 0, or ERR_AGAIN when it does not take it now. */
MUST_CHECK int plugin_deliver(struct plugin *plugin, struct device *device,
                              const struct message *message, uint64_t id, bool redelivery);
void plugin_socket_result(struct plugin *plugin, uint64_t id, uint32_t result);
/* The plugins' own counters, a log line each. */
void plugins_log_counters(struct broker *broker);

#endif
