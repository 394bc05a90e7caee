/* link_socket - one DEALER and the monitor that tells about its TCP connection. Used by link.c
 * only; see there for when sockets come and go. */
#ifndef BECKON_COMMON_LINK_LINK_SOCKET_H
#define BECKON_COMMON_LINK_LINK_SOCKET_H

#include "common/buf.h"
#include "common/loop.h"
#include "common/zmonitor.h"
#include "common/zwatch.h"

#include "common/link/link_keys.h"

struct link_socket {
    void *dealer, *monitor; /* NULL when closed */
    struct zwatch *dealer_watch, *monitor_watch;
};

enum link_socket_news {
    LINK_SOCKET_NOTHING,
    LINK_SOCKET_CONNECTED,
    LINK_SOCKET_REFUSED, /* no handshake: zmonitor_why of the event knows more */
    LINK_SOCKET_GONE
};

struct link_socket_config {
    const char *endpoint;
    const struct link_keys *keys;
    unsigned number; /* makes the monitor's address unique in the process */
    zwatch_fn on_readable, on_monitor;
    void *arg;
};

/* Begins to connect. 0; ERR_CONFIG (a bad endpoint), ERR_SYSTEM, ERR_NO_MEMORY; then nothing is
 * left open. */
MUST_CHECK int link_socket_open(struct link_socket *s, struct loop *loop, void *context,
                                const struct link_socket_config *config);
/* linger_ms: how long the context may still try to write what was sent. */
void link_socket_close(struct link_socket *s, int linger_ms);
/* Takes one event off the monitor. */
enum link_socket_news link_socket_news(struct link_socket *s, struct zmonitor_event *ret_event);
/* 0; ERR_AGAIN when the link is full or not there (yet); ERR_SYSTEM. */
MUST_CHECK int link_socket_send(struct link_socket *s, const struct buf *frame);

#endif
