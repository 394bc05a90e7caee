/* plugin - a delivery plugin as routes see it, wherever it runs: inline in this process
 * (plugin_inline.c) or in a process of its own (plugin_remote.c). Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_H
#define BECKON_BROKER_PLUGIN_H

#include "beckon/delivery_plugin.h"
#include "common/err.h"

#include <libconfig.h>
#include <stdbool.h>

struct broker;
struct delivery_source;
struct plugin;

/* Loads and opens every configured plugin; without a `plugins` setting, the ones that need no
 * configuration. ERR_CONFIG, ERR_PLUGIN with et. */
MUST_CHECK int plugins_create(struct broker *broker, const config_t *config, struct err_text *et);
void plugins_destroy(struct broker *broker);
/* NULL when no such plugin is loaded. */
struct plugin *plugin_find(struct broker *broker, const char *name);
const char *plugin_name(const struct plugin *plugin);
/* enum dp_plugin_flags */
uint32_t plugin_flags(const struct plugin *plugin);

/* Gives the plugin a delivery. Borrows everything until it returns. 0: delivery_outcome follows
 * exactly once, maybe inside this call. ERR_AGAIN: not taken now (a full queue, a plugin that is
 * being restarted); delivery_plugin_ready follows when asking again makes sense. */
MUST_CHECK int plugin_deliver(struct plugin *plugin, const struct dp_delivery *delivery,
                              const struct delivery_source *source);
/* A hint: the outcome is no longer needed. */
void plugin_cancel(struct plugin *plugin, uint64_t id);
/* How the socket answered. Inline plugins with DP_USES_SOCKET. */
void plugin_socket_result(struct plugin *plugin, uint64_t id, uint32_t result);
/* For metrics. */
struct plugin_status {
    const char *name;
    bool hosted, up;
    uint32_t in_flight; /* hosted ones */
    uint64_t restarts;
};
void plugins_each_counter(struct broker *broker,
                          void (*fn)(void *arg, const char *plugin, const char *name,
                                     uint64_t value),
                          void *arg);
void plugins_each_status(struct broker *broker,
                         void (*fn)(void *arg, const struct plugin_status *status), void *arg);
/* True when each takes deliveries. */
bool plugins_ready(struct broker *broker);
/* The plugins' own counters, a log line each. */
void plugins_log_counters(struct broker *broker);

#endif
