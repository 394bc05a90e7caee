/* bus_socket - the ROUTER that connectors link to, who is let in, and what its monitor tells about
 * those that never got as far. Used by bus.c only. */
#ifndef BECKON_BROKER_BUS_SOCKET_H
#define BECKON_BROKER_BUS_SOCKET_H

#include "broker/curve_config.h"
#include "common/zwatch.h"

#include <stdbool.h>

struct broker;
struct zap;

/* Of a frame: nothing a connector may send at once is as large. */
#define BUS_FRAME_MAX_BYTES (256 * 1024 * 1024)

struct bus_socket {
    struct broker *broker;
    void *context, *router, *monitor;
    struct zwatch *watch, *monitor_watch;
    struct zap *zap;            /* NULL: plain */
    struct curve_config *curve; /* borrowed */
};

/* Binds to listen.endpoint; on_readable is called with arg. ERR_SYSTEM, ERR_NO_MEMORY with et; then
 * bus_socket_close all the same. */
MUST_CHECK int bus_socket_open(struct bus_socket *s, struct broker *broker,
                               struct curve_config *curve, zwatch_fn on_readable, void *arg,
                               struct err_text *et);
void bus_socket_close(struct bus_socket *s);

static inline bool bus_socket_has_keys(const struct bus_socket *s)
{
    return s->curve->secret_key[0] != '\0';
}

#endif
