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
    struct flight *flight; /* notifications: `whole` is set when the document is made */
    uint32_t attempt;      /* pushes: 1 for the first of this step */
    uint32_t summarized;   /* pushes: messages it stands for beside its own */
    uint64_t deadline_ms;  /* monotonic; 0 = none */
};

/* Hands the source to plugin as delivery `id`. 0 or ERR_AGAIN as plugin_deliver. */
MUST_CHECK int delivery_start(struct broker *broker, struct plugin *plugin,
                              const struct delivery_source *source, uint64_t id);

/* The lines of log.deliveries. */
void delivery_log(struct broker *broker, const struct device *device, const struct flight *flight,
                  const char *route, const char *what);
void delivery_log_push(struct broker *broker, const struct device *device,
                       const struct message *message, const char *route, uint64_t began_ms);

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
