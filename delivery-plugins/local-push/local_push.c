/* local-push - what a push service would have carried, over the socket of an app in the background.
 *
 * The host renders the notification document and sends it on inbox/notify/...; the app shows it as
 * a local notification, and its PUBACK means "shown". */
#include "delivery-plugins/socket/socket_route.h"

static int32_t local_push_deliver(void *instance, const struct dp_delivery *delivery)
{
    return socket_route_deliver(instance, delivery, DP_SOCKET_NOTIFICATION);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "local-push",
        .version = BECKON_VERSION,
        .flags = DP_USES_SOCKET | DP_USES_NOTIFICATION,
        .open = socket_route_open,
        .deliver = local_push_deliver,
        .socket_result = socket_route_result,
        .close = socket_route_close,
    };

    (void)host_abi; /* one ABI so far: the host compares plugin.abi */
    return &plugin;
}
