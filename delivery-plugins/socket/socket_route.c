/* socket_route - see the header. */
#include "socket_route.h"

#include <stdio.h>
#include <stdlib.h>

/* A lost connection is asked again at once: the host knows whether the device has a new one. */
#define LOST_RETRY_MS 0

struct socket_route {
    const struct dp_host *host;
};

int32_t socket_route_open(const struct dp_host *host, const struct dp_setting *settings,
                          size_t setting_count, void **ret_instance, char *error, size_t error_size)
{
    struct socket_route *route;

    if (setting_count > 0) {
        snprintf(error, error_size, "%s: unknown setting \"%s\", expected none", settings[0].where,
                 settings[0].path);
        return -1;
    }
    if (!host->socket_send) {
        snprintf(error, error_size, "cannot run outside the broker: it needs the device's socket");
        return -1;
    }
    route = malloc(sizeof(*route));
    if (!route) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    route->host = host;
    *ret_instance = route;
    return 0;
}

static void report(const struct socket_route *route, uint64_t id, uint32_t kind,
                   uint64_t retry_after_ms, const char *reason)
{
    struct dp_outcome outcome = {.struct_size = sizeof(outcome),
                                 .kind = kind,
                                 .retry_after_ms = retry_after_ms,
                                 .reason = reason};

    route->host->complete(route->host->ctx, id, &outcome);
}

int32_t socket_route_deliver(void *instance, const struct dp_delivery *delivery, uint32_t what)
{
    const struct socket_route *route = instance;

    if (route->host->socket_send(route->host->ctx, delivery->id, what) != 0)
        report(route, delivery->id, DP_FAILED, 0, "no-socket");
    return 0;
}

void socket_route_result(void *instance, uint64_t id, uint32_t result)
{
    const struct socket_route *route = instance;

    switch (result) {
    case DP_SOCKET_ACKED:
        report(route, id, DP_ACKNOWLEDGED, 0, NULL);
        break;
    case DP_SOCKET_TOO_LARGE:
        report(route, id, DP_FAILED, 0, "too-large");
        break;
    default:
        report(route, id, DP_RETRY, LOST_RETRY_MS, "connection-lost");
        break;
    }
}

void socket_route_close(void *instance)
{
    free(instance);
}
