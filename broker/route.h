/* route - which plugin delivers to a device now, and the hand-over to it.
 * A connected device with an inbox subscription is reached by `live`; everything else waits in the
 * inbox. Loop thread. */
#ifndef BECKON_BROKER_ROUTE_H
#define BECKON_BROKER_ROUTE_H

#include "broker/device.h"
#include "common/err.h"

/* Finds the plugins routes need. ERR_CONFIG with et. */
MUST_CHECK int route_check(struct broker *broker, struct err_text *et);
/* True when the device has a route that can take a message now. */
bool route_available(const struct device *device);
/* Hands message to the device's plugin as delivery `id`; the outcome comes to inbox_outcome, maybe
 * inside this call. ERR_AGAIN: not taken now. */
MUST_CHECK int route_deliver(struct broker *broker, struct device *device, struct message *message,
                             uint64_t id, bool redelivery);
/* The socket's answer for a delivery that a plugin handed to it. */
void route_socket_result(struct broker *broker, uint64_t id, uint32_t result);

#endif
