/* plugin - a delivery plugin as routes see it, wherever it runs: inline in this process
 * (plugin_inline.c) or in a process of its own (plugin_remote.c). Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_H
#define BECKON_BROKER_PLUGIN_H

#include "beckon/delivery_plugin.h"
#include "common/err.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>

struct broker;
struct delivery_source;
struct plugin;

/* Loads and opens every configured plugin; without a `plugins` setting, the ones that need no
 * configuration. Turns the loop until each hosted one is open, ten seconds at most. ERR_CONFIG,
 * ERR_PLUGIN with et. */
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

/* --- for operators --- */

/* The plugins' own counters, a log line each. */
void plugins_log_counters(struct broker *broker);

typedef void (*plugin_counter_fn)(void *arg, const char *plugin, const char *counter,
                                  uint64_t value);
/* Every counter of every plugin. Those of a hosted plugin are up to a second old and survive its
 * restarts; the ones the broker keeps about it are among them: host_restarts, host_no_answer and
 * host_answers_unknown. */
void plugins_each_counter(struct broker *broker, plugin_counter_fn fn, void *arg);

/* up: a hosted plugin's process is open for deliveries. in_flight and restarts are 0 for inline
 * ones. */
typedef void (*plugin_status_fn)(void *arg, const char *plugin, bool hosted, bool up,
                                 size_t in_flight, uint64_t restarts);
void plugins_each_status(struct broker *broker, plugin_status_fn fn, void *arg);
/* True when every hosted plugin is up. */
bool plugins_ready(struct broker *broker);

#endif
