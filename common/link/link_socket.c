/* link_socket - libzmq's options for "one socket, one TCP connection".
 *
 * libzmq reconnects by itself and keeps its queue meanwhile, so what was sent before a break would
 * arrive at the broker ahead of what is sent again. Therefore: no reconnection (ZMQ_RECONNECT_IVL
 * -1), nothing queued without a connection (ZMQ_IMMEDIATE), and a monitor that says when the one
 * connection is up and when it is gone. */
#include "common/link/link_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#define ROUTING_ID_BYTES 16 /* random: never that of an earlier socket, on any machine */
/* Frames libzmq takes before it says "would block". A frame holds a turn's records, so a few are
 * much; what does not fit waits here, where it is counted. */
#define SEND_FRAMES 64

#define REFUSED_EVENTS                                                                             \
    (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                  \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
#define GONE_EVENTS (ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED)

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value));
}

static int configure(void *dealer)
{
    uint8_t routing_id[ROUTING_ID_BYTES];

    if (getrandom(routing_id, sizeof(routing_id), 0) != (ssize_t)sizeof(routing_id))
        return -1;
    routing_id[0] |= 1; /* libzmq keeps ids that begin with 0 for itself */
    if (zmq_setsockopt(dealer, ZMQ_ROUTING_ID, routing_id, sizeof(routing_id)) < 0 ||
        set_int(dealer, ZMQ_IMMEDIATE, 1) < 0 || set_int(dealer, ZMQ_LINGER, 0) < 0 ||
        set_int(dealer, ZMQ_RECONNECT_IVL, -1) < 0 || set_int(dealer, ZMQ_IPV6, 1) < 0 ||
        set_int(dealer, ZMQ_SNDHWM, SEND_FRAMES) < 0)
        return -1;
    return 0;
}

/* Both sides prove that they have their key before the first frame; CURVE is a mechanism of ZMTP,
 * so a side with keys and one without do not even begin. */
static int set_keys(void *dealer, const struct link_keys *keys)
{
    if (!link_keys_has_keys(keys))
        return 0;
    if (zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, keys->server_key, CURVE_KEY_SIZE) < 0 ||
        zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, keys->own.public_key, CURVE_KEY_SIZE) < 0 ||
        zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, keys->own.secret_key, CURVE_KEY_SIZE) < 0)
        return -1;
    return 0;
}

int link_socket_open(struct link_socket *s, struct loop *loop, void *context,
                     const struct link_socket_config *config)
{
    char address[48];
    int r = ERR_SYSTEM;

    snprintf(address, sizeof(address), "inproc://link-monitor-%u", config->number);
    *s = (struct link_socket){0};
    s->dealer = zmq_socket(context, ZMQ_DEALER);
    s->monitor = zmq_socket(context, ZMQ_PAIR);
    if (s->dealer == NULL || s->monitor == NULL || configure(s->dealer) < 0 ||
        set_keys(s->dealer, config->keys) < 0 || set_int(s->monitor, ZMQ_LINGER, 0) < 0 ||
        zmq_socket_monitor(s->dealer, address,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | REFUSED_EVENTS | GONE_EVENTS) < 0 ||
        zmq_connect(s->monitor, address) < 0)
        goto fail;
    r = zwatch_create(loop, s->monitor, config->on_monitor, config->arg, &s->monitor_watch);
    if (r < 0)
        goto fail;
    r = zwatch_create(loop, s->dealer, config->on_readable, config->arg, &s->dealer_watch);
    if (r < 0)
        goto fail;
    zwatch_tells(s->monitor_watch);
    zwatch_tells(s->dealer_watch);
    if (zmq_connect(s->dealer, config->endpoint) < 0) {
        r = ERR_CONFIG;
        goto fail;
    }
    return 0;

fail:
    link_socket_close(s, 0);
    return r;
}

void link_socket_close(struct link_socket *s, int linger_ms)
{
    int saved = errno;

    zwatch_destroy(s->dealer_watch);
    zwatch_destroy(s->monitor_watch);
    if (s->dealer != NULL) {
        /* Closing succeeds on any socket of ours; both calls fail only for a foreign pointer. */
        IGNORE_RESULT(zmq_socket_monitor(s->dealer, NULL, 0));
        IGNORE_RESULT(set_int(s->dealer, ZMQ_LINGER, linger_ms));
        zmq_close(s->dealer);
    }
    if (s->monitor != NULL)
        zmq_close(s->monitor);
    *s = (struct link_socket){0};
    errno = saved;
}

enum link_socket_news link_socket_news(struct link_socket *s, struct zmonitor_event *ret_event)
{
    if (!zmonitor_read(s->monitor, ret_event))
        return LINK_SOCKET_NOTHING;
    if (ret_event->event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        return LINK_SOCKET_CONNECTED;
    if ((ret_event->event & REFUSED_EVENTS) != 0)
        return LINK_SOCKET_REFUSED;
    return (ret_event->event & GONE_EVENTS) != 0 ? LINK_SOCKET_GONE : LINK_SOCKET_NOTHING;
}

int link_socket_send(struct link_socket *s, const struct buf *frame)
{
    int r;

    zwatch_sent(s->dealer_watch);
    do
        r = zmq_send(s->dealer, frame->data, frame->len, ZMQ_DONTWAIT);
    while (r < 0 && errno == EINTR);
    if (r >= 0)
        return 0;
    return errno == EAGAIN ? ERR_AGAIN : ERR_SYSTEM;
}
