/* plugin_remote - a delivery plugin in a process of its own. A crash, a hang, a leak or silence
 * costs the deliveries that were in flight, each reported once as DP_RETRY, and nothing else: the
 * process is started again. Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_REMOTE_H
#define BECKON_BROKER_PLUGIN_REMOTE_H

#include "broker/plugin.h"
#include "broker/plugin_settings.h"

/* Starts the process that is to open the plugin; plugin_hosts_wait says how that went. Takes
 * settings (and zeroes them), on failure too. in_flight: deliveries it may have unanswered.
 * ERR_SYSTEM, ERR_NO_MEMORY, ERR_CONFIG with et. */
MUST_CHECK int plugin_remote_start(struct broker *broker, const char *name, const char *path,
                                   struct plugin_settings *settings, uint32_t in_flight,
                                   struct err_text *et);

/* Turns the loop until each started plugin is open, ten seconds at most. ERR_PLUGIN with the first
 * failure's own words in et. */
MUST_CHECK int plugin_hosts_wait(struct broker *broker, struct err_text *et);
/* Tells all processes to end; plugin->ops->close waits for each. */
void plugin_hosts_close(struct broker *broker);

#endif
