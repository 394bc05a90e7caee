/* live - delivery over the socket of an app in the foreground.
 *
 * The message goes back to the connector that holds the device's socket, and the device's PUBACK
 * is the outcome. Nothing is kept here: the delivery's id is all that socket_result needs, so a
 * delivery costs two indirect calls and no memory. */
#include "beckon/delivery_plugin.h"

#include <stdio.h>
#include <stdlib.h>

/* A lost connection is asked again at once: the host knows whether the device has a new one. */
#define LOST_RETRY_MS 0

struct live {
    const struct dp_host *host;
};

static int32_t live_open(const struct dp_host *host, const struct dp_setting *settings,
                         size_t setting_count, void **ret_instance, char *error, size_t error_size)
{
    struct live *live;

    if (setting_count > 0) {
        snprintf(error, error_size, "%s: unknown setting \"%s\", expected none", settings[0].where,
                 settings[0].path);
        return -1;
    }
    if (!host->socket_send) {
        snprintf(error, error_size, "cannot run outside the broker: it needs the device's socket");
        return -1;
    }
    live = malloc(sizeof(*live));
    if (!live) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    live->host = host;
    *ret_instance = live;
    return 0;
}

static void report(const struct live *live, uint64_t id, uint32_t kind, uint64_t retry_after_ms,
                   const char *reason)
{
    struct dp_outcome outcome = {.struct_size = sizeof(outcome),
                                 .kind = kind,
                                 .retry_after_ms = retry_after_ms,
                                 .reason = reason};

    live->host->complete(live->host->ctx, id, &outcome);
}

static int32_t live_deliver(void *instance, const struct dp_delivery *delivery)
{
    const struct live *live = instance;

    if (live->host->socket_send(live->host->ctx, delivery->id, DP_SOCKET_MESSAGE) != 0)
        report(live, delivery->id, DP_FAILED, 0, "no-socket");
    return 0;
}

static void live_socket_result(void *instance, uint64_t id, uint32_t result)
{
    const struct live *live = instance;

    switch (result) {
    case DP_SOCKET_ACKED:
        report(live, id, DP_ACKNOWLEDGED, 0, NULL);
        break;
    case DP_SOCKET_TOO_LARGE:
        report(live, id, DP_FAILED, 0, "too-large");
        break;
    default:
        report(live, id, DP_RETRY, LOST_RETRY_MS, "connection-lost");
        break;
    }
}

static void live_close(void *instance)
{
    free(instance);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "live",
        .version = BECKON_VERSION,
        .flags = DP_USES_SOCKET,
        .open = live_open,
        .deliver = live_deliver,
        .socket_result = live_socket_result,
        .close = live_close,
    };

    (void)host_abi; /* one ABI so far: the host compares plugin.abi */
    return &plugin;
}
