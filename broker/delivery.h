/* delivery - one message on its way to one device through one plugin: what the plugin is given, and
 * what comes back. The seam between routing and running plugins. Loop thread. */
#ifndef BECKON_BROKER_DELIVERY_H
#define BECKON_BROKER_DELIVERY_H

#include "broker/device.h"
#include "broker/plugin.h"

/* What is being delivered, for socket_send. Borrowed during plugin_deliver. */
struct delivery_source {
    struct device *device;
    struct message *message;
    bool redelivery;
};

/* Hands the source to plugin as delivery `id`. 0 or ERR_AGAIN as plugin_deliver. */
MUST_CHECK int delivery_start(struct broker *broker, struct plugin *plugin,
                              const struct delivery_source *source, uint64_t id);

/* --- for the plugin runners --- */

/* A plugin reported: exactly once for each delivery it took; anything else is ignored and counted.
 */
void delivery_outcome(struct broker *broker, struct plugin *plugin, uint64_t id,
                      const struct dp_outcome *outcome);
/* A plugin that answered ERR_AGAIN takes deliveries again. */
void delivery_plugin_ready(struct broker *broker, struct plugin *plugin);
/* dp_host's socket_send: 0, or -1 when the device has no socket now. */
int32_t delivery_socket_send(struct broker *broker, const struct delivery_source *source,
                             uint32_t kind);

#endif
