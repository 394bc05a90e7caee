/* A connector's view of a broker: a DEALER that says HELLO. The broker then counts on a connector
 * that announces what it holds and holds back pushes until it has, so ANNOUNCE_END follows at once:
 * nothing is held here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include "common/wire.h"
#include "ping.h"

/* For ANNOUNCE_END to leave before the socket is closed. */
#define LINGER_MS 200

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
    struct wire_hello hello = {.name = bytes_of_string("beckonctl/ping")};
    struct buf frame = {0};

    if (getrandom(hello.instance, sizeof(hello.instance), 0) != (ssize_t)sizeof(hello.instance))
        return err_set(et, ERR_SYSTEM, "could not get random bytes: %s", strerror(errno));
    wire_begin(&frame);
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

static int await_welcome(void *socket, uint64_t deadline_ms, char *ret_name, size_t name_size,
                         struct err_text *et)
{
    int result = 0;

    while (result == 0) {
        zmq_msg_t message;
        int left_ms = ping_left_ms(deadline_ms);
        if (left_ms == 0)
            return err_set(et, ERR_EXPIRED, "no answer in time");
        if (zmq_setsockopt(socket, ZMQ_RCVTIMEO, &left_ms, sizeof(left_ms)) != 0)
            return failed_zmq(et, "set a timeout");
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, socket, 0) < 0) {
            if (errno != EAGAIN && errno != EINTR)
                result = failed_zmq(et, "receive");
            zmq_msg_close(&message);
            continue;
        }
        if (zmq_msg_size(&message) > UINT32_MAX)
            result = err_set(et, ERR_MALFORMED, "the answer is no frame of Beckon's");
        else
            result = read_frame(bytes_of(zmq_msg_data(&message), (uint32_t)zmq_msg_size(&message)),
                                ret_name, name_size, et);
        zmq_msg_close(&message);
    }
    return result;
}

static int exchange(void *socket, const char *endpoint, uint32_t timeout_ms, char *ret_name,
                    size_t name_size, struct err_text *et)
{
    uint64_t deadline_ms = ping_now_ms() + timeout_ms;
    int send_timeout_ms = (int)timeout_ms, linger_ms = LINGER_MS;

    /* Without a connection zmq_send keeps the message and waits for one. */
    if (zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms)) != 0 ||
        zmq_setsockopt(socket, ZMQ_SNDTIMEO, &send_timeout_ms, sizeof(send_timeout_ms)) != 0)
        return failed_zmq(et, "set up the socket");
    if (zmq_connect(socket, endpoint) != 0)
        return failed_zmq(et, "connect");
    int result = send_hello(socket, et);
    if (result == 0)
        result = await_welcome(socket, deadline_ms, ret_name, name_size, et);
    if (result < 0)
        return result;

    struct buf frame = {0};
    wire_begin(&frame);
    wire_put_empty(&frame, WIRE_ANNOUNCE_END);
    result = send_frame(socket, &frame, et);
    buf_release(&frame);
    return result;
}

int ping_broker(const char *endpoint, uint32_t timeout_ms, char *ret_name, size_t name_size,
                struct err_text *et)
{
    void *context = zmq_ctx_new();
    void *socket = context == NULL ? NULL : zmq_socket(context, ZMQ_DEALER);
    int result = socket == NULL ? failed_zmq(et, "make a socket")
                                : exchange(socket, endpoint, timeout_ms, ret_name, name_size, et);

    if (socket != NULL)
        zmq_close(socket);
    if (context != NULL)
        zmq_ctx_term(context);
    return result;
}
