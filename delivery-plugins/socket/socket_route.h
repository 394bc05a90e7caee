/* socket_route - what the plugins have in common whose route is the device's own socket: live and
 * local-push. The delivery goes back to the connector that holds the socket, and the device's
 * PUBACK is the outcome. Nothing is kept: the delivery's id is all that a result needs, so a
 * delivery costs two indirect calls and no memory.
 *
 * The functions are those of struct dp_plugin, beckon/delivery_plugin.h. */
#ifndef BECKON_SOCKET_ROUTE_H
#define BECKON_SOCKET_ROUTE_H

#include "beckon/delivery_plugin.h"

int32_t socket_route_open(const struct dp_host *host, const struct dp_setting *settings,
                          size_t setting_count, void **ret_instance, char *error,
                          size_t error_size);
/* what: DP_SOCKET_MESSAGE or DP_SOCKET_NOTIFICATION. */
int32_t socket_route_deliver(void *instance, const struct dp_delivery *delivery, uint32_t what);
void socket_route_result(void *instance, uint64_t id, uint32_t result);
void socket_route_close(void *instance);

#endif
