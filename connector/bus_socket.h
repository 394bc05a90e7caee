/* bus_socket - one DEALER and the monitor that tells about its TCP connection. Used by bus.c only;
 * see there for when sockets come and go. */
#ifndef BECKON_CONNECTOR_BUS_SOCKET_H
#define BECKON_CONNECTOR_BUS_SOCKET_H

#include "common/buf.h"
#include "common/loop.h"
#include "common/zmonitor.h"
#include "common/zwatch.h"

#include "connector/curve_link.h"

struct bus_socket {
    void *dealer, *monitor; /* NULL when closed */
    struct zwatch *dealer_watch, *monitor_watch;
};

enum bus_socket_news {
    BUS_SOCKET_NOTHING,
    BUS_SOCKET_CONNECTED,
    BUS_SOCKET_REFUSED, /* no handshake: zmonitor_why of the event knows more */
    BUS_SOCKET_GONE
};

struct bus_socket_config {
    const char *endpoint;
    const struct curve_link *curve;
    unsigned number; /* makes the monitor's address unique in the process */
    zwatch_fn on_readable, on_monitor;
    void *arg;
};

/* Begins to connect. 0; ERR_CONFIG (a bad endpoint), ERR_SYSTEM, ERR_NO_MEMORY; then nothing is
 * left open. */
MUST_CHECK int bus_socket_open(struct bus_socket *s, struct loop *loop, void *context,
                               const struct bus_socket_config *config);
/* linger_ms: how long the context may still try to write what was sent. */
void bus_socket_close(struct bus_socket *s, int linger_ms);
/* Takes one event off the monitor. */
enum bus_socket_news bus_socket_news(struct bus_socket *s, struct zmonitor_event *ret_event);
/* 0; ERR_AGAIN when the link is full or not there (yet); ERR_SYSTEM. */
MUST_CHECK int bus_socket_send(struct bus_socket *s, const struct buf *frame);

#endif
