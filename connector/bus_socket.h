/* bus_socket - one DEALER and the monitor that tells about its TCP connection. Used by bus.c only;
 * see there for when sockets come and go. */
#ifndef BECKON_CONNECTOR_BUS_SOCKET_H
#define BECKON_CONNECTOR_BUS_SOCKET_H

#include "common/buf.h"
#include "common/loop.h"
#include "common/zwatch.h"

struct bus_socket {
    void *dealer, *monitor; /* NULL when closed */
    struct zwatch *dealer_watch, *monitor_watch;
};

enum bus_socket_news { BUS_SOCKET_NOTHING, BUS_SOCKET_CONNECTED, BUS_SOCKET_GONE };

/* Begins to connect. number makes the monitor's address unique in the process. on_readable and
 * on_monitor are called with arg. 0; ERR_CONFIG (a bad endpoint), ERR_SYSTEM, ERR_NO_MEMORY; then
 * nothing is left open. */
MUST_CHECK int bus_socket_open(struct bus_socket *s, struct loop *loop, void *context,
                               const char *endpoint, unsigned number, zwatch_fn on_readable,
                               zwatch_fn on_monitor, void *arg);
/* linger_ms: how long the context may still try to write what was sent. */
void bus_socket_close(struct bus_socket *s, int linger_ms);
/* Takes one event off the monitor. */
enum bus_socket_news bus_socket_news(struct bus_socket *s);
/* 0; ERR_AGAIN when the link is full or not there (yet); ERR_SYSTEM. */
MUST_CHECK int bus_socket_send(struct bus_socket *s, const struct buf *frame);

#endif
