/* route - the way a device is reached now: its state, what it waits for, and the routing table.
 *
 * A device without a session is offline. One with a session is in the foreground or the background
 * as it says; *doubtful* (a deadline or its background time passed, and nothing was heard since)
 * makes it routed as if it were offline, as long as there is another way to reach it. Loop thread.
 */
#ifndef BECKON_BROKER_ROUTE_H
#define BECKON_BROKER_ROUTE_H

#include "broker/device.h"
#include "broker/routing.h"

/* What its session says; offline without one that can take messages. */
enum route_state route_state(const struct device *device);
/* The step that carries messages on the device's socket now, or NULL. */
const struct step *route_message_step(struct broker *broker, const struct device *device);
/* The step that carries notifications on it, or NULL. */
const struct step *route_notify_step(struct broker *broker, const struct device *device);
/* True when the device has a socket that may take something soon: it is being opened, or has just
 * been and did not subscribe yet. *ret_until_ms: until when, UINT64_MAX = an event will tell. */
bool route_pending(struct broker *broker, const struct device *device, uint64_t *ret_until_ms);
/* The step with that index among those of state that need no socket and this device has. False:
 * there is none. *ret_plugin is the plugin that takes it. */
bool route_alert_step(struct broker *broker, const struct device *device, enum route_state state,
                      uint32_t index, struct plugin **ret_plugin, uint32_t *ret_ack_ms);
/* True when something can alert the device without its socket. Only then are there deadlines,
 * leases and doubt: a socket that is the only way is never given up. */
bool route_has_alert(struct broker *broker, const struct device *device);
/* The lowest sequence the device will want next, for what is kept in memory; UINT64_MAX = none. */
uint64_t route_wants(struct broker *broker, const struct device *device);
/* How long the answer to a message (or notification) on the socket may take, for deliveries whose
 * state is not known any more. */
uint32_t route_ack_ms(const struct broker *broker, bool notification);

#endif
