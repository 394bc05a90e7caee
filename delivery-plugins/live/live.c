/* live - delivery over the socket of an app in the foreground: the message itself. */
#include "delivery-plugins/socket/socket_route.h"

static int32_t live_deliver(void *instance, const struct dp_delivery *delivery)
{
    return socket_route_deliver(instance, delivery, DP_SOCKET_MESSAGE);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "live",
        .version = BECKON_VERSION,
        .flags = DP_USES_SOCKET,
        .open = socket_route_open,
        .deliver = live_deliver,
        .socket_result = socket_route_result,
        .close = socket_route_close,
    };

    (void)host_abi; /* one ABI so far: the host compares plugin.abi */
    return &plugin;
}
