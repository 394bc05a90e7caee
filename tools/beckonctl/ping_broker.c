/* A connector's view of a broker: a DEALER that says HELLO. The broker then counts on a connector
 * that announces what it holds and holds back pushes until it has, so ANNOUNCE_END follows at once:
 * nothing is held here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include "common/auto.h"
#include "common/wire.h"
#include "common/zmonitor.h"
#include "ping.h"

/* For ANNOUNCE_END to leave before the socket is closed. */
#define LINGER_MS 200
#define MONITOR "inproc://ping-monitor"

struct sockets {
    void *dealer, *monitor;
};

static int failed_zmq(struct err_text *et, const char *what)
{
    return err_set(et, ERR_IO, "could not %s: %s", what, zmq_strerror(errno));
}

static int send_frame(void *socket, const struct buf *frame, struct err_text *et)
{
    if (!buf_ok(frame))
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    return zmq_send(socket, frame->data, frame->len, 0) < 0 ? failed_zmq(et, "send") : 0;
}

static int send_hello(void *socket, struct err_text *et)
{
    struct wire_hello hello = {.kind = WIRE_PEER_PROBE, .name = bytes_of_string("beckonctl/ping")};
    struct buf frame = {0};

    if (getrandom(hello.instance, sizeof(hello.instance), 0) != (ssize_t)sizeof(hello.instance))
        return err_set(et, ERR_SYSTEM, "could not get random bytes: %s", strerror(errno));
    wire_begin(&frame, 0);
    wire_put_hello(&frame, &hello);
    int result = send_frame(socket, &frame, et);
    buf_release(&frame);
    return result;
}

/* Looks through one frame. 1: WELCOME was in it; 0: nothing that matters; or a negative ERR_*. */
static int read_frame(struct bytes frame, char *ret_name, size_t name_size, struct err_text *et)
{
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version;
    int result = wire_open_frame(frame, &reader, &version);

    if (result == ERR_VERSION)
        return err_set(et, ERR_VERSION, "speaks wire version %u, expected %u", version,
                       WIRE_VERSION);
    while (result == 0 && (result = wire_next(&reader, &record)) == 1) {
        result = 0;
        if (record.type == WIRE_REFUSE)
            return err_set(et, ERR_DENIED, "refused: %.*s", BYTES_FMT(record.refuse.text));
        if (record.type == WIRE_WELCOME) {
            snprintf(ret_name, name_size, "%.*s", BYTES_FMT(record.welcome.name));
            return 1;
        }
    }
    return result == 0 ? 0 : err_set(et, ERR_MALFORMED, "the answer is no frame of Beckon's");
}

/* Takes what has come. 1: WELCOME; 0: not yet; or a negative ERR_*. */
static int receive(void *socket, char *ret_name, size_t name_size, struct err_text *et)
{
    zmq_msg_t message;
    int result = 0;

    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            result = failed_zmq(et, "receive");
    } else if (zmq_msg_size(&message) > UINT32_MAX) {
        result = err_set(et, ERR_MALFORMED, "the answer is no frame of Beckon's");
    } else {
        result = read_frame(bytes_of(zmq_msg_data(&message), (uint32_t)zmq_msg_size(&message)),
                            ret_name, name_size, et);
    }
    zmq_msg_close(&message);
    return result;
}

/* A handshake that failed is the answer: it would fail again. */
static int look_at_monitor(void *monitor, bool with_keys, struct err_text *et)
{
    struct zmonitor_event event;
    char why[200];

    while (zmonitor_read(monitor, &event)) {
        if (zmonitor_why(&event, with_keys, why, sizeof(why)) != NULL)
            return err_set(et, ERR_DENIED, "%s", why);
    }
    return 0;
}

static int await_welcome(const struct sockets *s, bool with_keys, uint64_t deadline_ms,
                         char *ret_name, size_t name_size, struct err_text *et)
{
    int result = 0;

    while (result == 0) {
        zmq_pollitem_t items[] = {{.socket = s->dealer, .events = ZMQ_POLLIN},
                                  {.socket = s->monitor, .events = ZMQ_POLLIN}};
        int left_ms = ping_left_ms(deadline_ms);

        if (left_ms == 0)
            return err_set(et, ERR_EXPIRED, "no answer in time");
        if (zmq_poll(items, ARRAY_LEN(items), left_ms) < 0 && errno != EINTR)
            return failed_zmq(et, "wait");
        result = receive(s->dealer, ret_name, name_size, et);
        if (result == 0)
            result = look_at_monitor(s->monitor, with_keys, et);
    }
    return result;
}

static int set_up(const struct sockets *s, const struct ping_broker *ping, struct err_text *et)
{
    int send_timeout_ms = (int)ping->timeout_ms, linger_ms = LINGER_MS, ipv6 = 1;

    /* Without a connection zmq_send keeps the message and waits for one. */
    if (zmq_setsockopt(s->dealer, ZMQ_LINGER, &linger_ms, sizeof(linger_ms)) != 0 ||
        zmq_setsockopt(s->dealer, ZMQ_IPV6, &ipv6, sizeof(ipv6)) != 0 ||
        zmq_setsockopt(s->dealer, ZMQ_SNDTIMEO, &send_timeout_ms, sizeof(send_timeout_ms)) != 0 ||
        zmq_socket_monitor(s->dealer, MONITOR, ZMQ_EVENT_ALL) != 0 ||
        zmq_connect(s->monitor, MONITOR) != 0)
        return failed_zmq(et, "set up the socket");
    if (ping->server_key[0] != '\0' &&
        (zmq_setsockopt(s->dealer, ZMQ_CURVE_SERVERKEY, ping->server_key, CURVE_KEY_SIZE) != 0 ||
         zmq_setsockopt(s->dealer, ZMQ_CURVE_PUBLICKEY, ping->own.public_key, CURVE_KEY_SIZE) !=
             0 ||
         zmq_setsockopt(s->dealer, ZMQ_CURVE_SECRETKEY, ping->own.secret_key, CURVE_KEY_SIZE) != 0))
        return failed_zmq(et, "set up CURVE");
    return zmq_connect(s->dealer, ping->endpoint) != 0 ? failed_zmq(et, "connect") : 0;
}

static int exchange(const struct sockets *s, const struct ping_broker *ping, char *ret_name,
                    size_t name_size, struct err_text *et)
{
    uint64_t deadline_ms = ping_now_ms() + ping->timeout_ms;
    int result = set_up(s, ping, et);

    if (result == 0)
        result = send_hello(s->dealer, et);
    if (result == 0)
        result =
            await_welcome(s, ping->server_key[0] != '\0', deadline_ms, ret_name, name_size, et);
    if (result < 0)
        return result;

    struct buf frame = {0};
    wire_begin(&frame, 0);
    wire_put_empty(&frame, WIRE_ANNOUNCE_END);
    result = send_frame(s->dealer, &frame, et);
    buf_release(&frame);
    return result;
}

int ping_broker(const struct ping_broker *ping, char *ret_name, size_t name_size,
                struct err_text *et)
{
    void *context = zmq_ctx_new();
    struct sockets s = {.dealer = context == NULL ? NULL : zmq_socket(context, ZMQ_DEALER),
                        .monitor = context == NULL ? NULL : zmq_socket(context, ZMQ_PAIR)};
    int result = s.dealer == NULL || s.monitor == NULL
                     ? failed_zmq(et, "make a socket")
                     : exchange(&s, ping, ret_name, name_size, et);

    if (s.dealer != NULL)
        zmq_close(s.dealer);
    if (s.monitor != NULL)
        zmq_close(s.monitor);
    if (context != NULL)
        zmq_ctx_term(context);
    return result;
}
