/* local-push - what a push service would have carried, over the socket of an app in the background.
 *
 * The host renders the notification document and sends it on inbox/notify/...; the app shows it as
 * a local notification, and its PUBACK, which means "shown", is the outcome. Nothing is kept here.
 */
#include "beckon/delivery_plugin.h"

#include <stdio.h>
#include <stdlib.h>

/* A lost connection is asked again at once: the host knows whether the device has a new one. */
#define LOST_RETRY_MS 0

struct local_push {
    const struct dp_host *host;
};

static int32_t local_push_open(const struct dp_host *host, const struct dp_setting *settings,
                               size_t setting_count, void **ret_instance, char *error,
                               size_t error_size)
{
    struct local_push *local_push;

    if (setting_count > 0) {
        snprintf(error, error_size, "%s: unknown setting \"%s\", expected none", settings[0].where,
                 settings[0].path);
        return -1;
    }
    if (!host->socket_send) {
        snprintf(error, error_size, "cannot run outside the broker: it needs the device's socket");
        return -1;
    }
    local_push = malloc(sizeof(*local_push));
    if (!local_push) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    local_push->host = host;
    *ret_instance = local_push;
    return 0;
}

static void report(const struct local_push *local_push, uint64_t id, uint32_t kind,
                   uint64_t retry_after_ms, const char *reason)
{
    struct dp_outcome outcome = {.struct_size = sizeof(outcome),
                                 .kind = kind,
                                 .retry_after_ms = retry_after_ms,
                                 .reason = reason};

    local_push->host->complete(local_push->host->ctx, id, &outcome);
}

static int32_t local_push_deliver(void *instance, const struct dp_delivery *delivery)
{
    const struct local_push *local_push = instance;

    if (local_push->host->socket_send(local_push->host->ctx, delivery->id,
                                      DP_SOCKET_NOTIFICATION) != 0)
        report(local_push, delivery->id, DP_FAILED, 0, "no-socket");
    return 0;
}

static void local_push_socket_result(void *instance, uint64_t id, uint32_t result)
{
    const struct local_push *local_push = instance;

    switch (result) {
    case DP_SOCKET_ACKED:
        report(local_push, id, DP_ACKNOWLEDGED, 0, NULL);
        break;
    case DP_SOCKET_TOO_LARGE:
        report(local_push, id, DP_FAILED, 0, "too-large");
        break;
    default:
        report(local_push, id, DP_RETRY, LOST_RETRY_MS, "connection-lost");
        break;
    }
}

static void local_push_close(void *instance)
{
    free(instance);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "local-push",
        .version = BECKON_VERSION,
        .flags = DP_USES_SOCKET | DP_USES_NOTIFICATION,
        .open = local_push_open,
        .deliver = local_push_deliver,
        .socket_result = local_push_socket_result,
        .close = local_push_close,
    };

    (void)host_abi; /* one ABI so far: the host compares plugin.abi */
    return &plugin;
}
