/* plugin_link - see the header. */
#include "broker/plugin_link.h"

#include "broker/plugin_process.h"
#include "common/auto.h"
#include "common/zwatch.h"

#include <errno.h>
#include <stddef.h>
#include <zmq.h>

/* Frames read in one turn: bounds the work of a turn. */
#define FRAMES_PER_TURN 16
/* A frame above this is a defect: outcomes are some hundred bytes each. */
#define FRAME_MAX_BYTES (128 * 1024 * 1024)
/* How soon a frame that could not be sent is tried again. */
#define RETRY_MS 5

void plugin_link_flush(struct plugin_link *link)
{
    if (!link->socket || link->out.len == 0)
        return;
    if (!buf_ok(&link->out)) {
        link->on_broken(link->arg, ERR_NO_MEMORY);
        return;
    }
    if (zmq_send(link->socket, link->out.data, link->out.len, ZMQ_DONTWAIT) >= 0) {
        buf_clear(&link->out);
        return;
    }
    if (errno == EAGAIN || errno == EINTR)
        loop_timer_add(link->loop, &link->retry, RETRY_MS);
    else
        link->on_broken(link->arg, ERR_IO);
}

static void on_flush(void *arg)
{
    plugin_link_flush(arg);
}

static void on_retry(struct timer *timer)
{
    plugin_link_flush(CONTAINER_OF(timer, struct plugin_link, retry));
}

struct buf *plugin_link_out(struct plugin_link *link)
{
    if (link->out.len == 0)
        plugin_wire_begin(&link->out);
    loop_post(link->loop, &link->flush);
    return &link->out;
}

void plugin_link_rollback(struct plugin_link *link, size_t len)
{
    link->out.len = len;
    link->out.failed = false;
}

/* --- reading --- */

static int read_frame(struct plugin_link *link, struct bytes frame)
{
    struct plugin_wire_reader reader = {.rest = {0}};
    struct plugin_wire_record record;
    int r = plugin_wire_open_frame(frame, &reader);

    while (r == 0 && link->socket) {
        r = plugin_wire_next(&reader, &record);
        if (r != 1)
            return r;
        link->on_record(link->arg, &record);
        r = 0;
    }
    return r;
}

/* False when nothing has arrived. */
static bool read_one(struct plugin_link *link, zmq_msg_t *frame)
{
    int r;

    if (zmq_msg_recv(frame, link->socket, ZMQ_DONTWAIT) < 0)
        return false;
    r = read_frame(link, bytes_of(zmq_msg_data(frame), (uint32_t)zmq_msg_size(frame)));
    if (r < 0 && link->socket)
        link->on_broken(link->arg, r);
    return true;
}

static void read_some(struct plugin_link *link, int limit)
{
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    for (int i = 0; i != limit && link->socket; i++) {
        if (!read_one(link, &frame))
            break;
    }
    zmq_msg_close(&frame);
}

static void on_readable(void *arg)
{
    read_some(arg, FRAMES_PER_TURN);
}

/* Waits for a frame, for fd or until then; reads all there is. True when fd is readable. */
static bool wait_and_read(struct plugin_link *link, int fd, uint64_t until_ms)
{
    zmq_pollitem_t items[] = {{.socket = link->socket, .events = ZMQ_POLLIN},
                              {.fd = fd, .events = ZMQ_POLLIN}};
    uint64_t now_ms = plugin_clock_ms();

    /* a wait that failed is one that was short: the caller's time runs out */
    (void)zmq_poll(items, fd < 0 ? 1 : 2, now_ms < until_ms ? (long)(until_ms - now_ms) : 0);
    read_some(link, -1);
    return items[1].revents != 0;
}

void plugin_link_finish(struct plugin_link *link, int fd, uint64_t until_ms, uint64_t settle_ms,
                        const bool *done)
{
    read_some(link, -1); /* another plugin may have used the time up */
    while (link->socket && !*done && plugin_clock_ms() < until_ms) {
        if (fd >= 0 && !wait_and_read(link, fd, until_ms))
            continue;
        fd = -1;
        if (settle_ms != 0 && plugin_clock_ms() + settle_ms < until_ms)
            until_ms = plugin_clock_ms() + settle_ms;
        settle_ms = 0;
        (void)wait_and_read(link, fd, until_ms);
    }
}

/* --- life cycle --- */

static int listen_on(struct plugin_link *link, void *context, const char *endpoint,
                     struct err_text *et)
{
    int linger = 0, unlimited = 0;
    int64_t max_bytes = FRAME_MAX_BYTES;

    link->socket = zmq_socket(context, ZMQ_DEALER);
    if (!link->socket)
        return err_set(et, ERR_SYSTEM, "could not make a ZeroMQ socket: %s", zmq_strerror(errno));
    /* the plugin's limit of deliveries in flight bounds what is queued */
    if (zmq_setsockopt(link->socket, ZMQ_LINGER, &linger, sizeof(linger)) < 0 ||
        zmq_setsockopt(link->socket, ZMQ_SNDHWM, &unlimited, sizeof(unlimited)) < 0 ||
        zmq_setsockopt(link->socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes)) < 0 ||
        zmq_bind(link->socket, endpoint) < 0)
        return err_set(et, ERR_SYSTEM, "could not listen on \"%s\": %s", endpoint,
                       zmq_strerror(errno));
    if (zwatch_create(link->loop, link->socket, on_readable, link, &link->watch) < 0)
        return err_set(et, ERR_SYSTEM, "could not watch \"%s\"", endpoint);
    return 0;
}

int plugin_link_open(struct plugin_link *link, struct loop *loop, void *context,
                     const char *endpoint, plugin_link_record_fn on_record,
                     plugin_link_broken_fn on_broken, void *arg, struct err_text *et)
{
    int r;

    *link = (struct plugin_link){
        .loop = loop, .on_record = on_record, .on_broken = on_broken, .arg = arg};
    link->flush = (struct loop_task){.fn = on_flush, .arg = link};
    timer_init(&link->retry, on_retry);
    r = listen_on(link, context, endpoint, et);
    if (r < 0)
        plugin_link_close(link);
    return r;
}

void plugin_link_close(struct plugin_link *link)
{
    if (!link->loop)
        return;
    zwatch_destroy(link->watch);
    link->watch = NULL;
    if (link->socket)
        zmq_close(link->socket);
    link->socket = NULL;
    loop_unpost(link->loop, &link->flush);
    loop_timer_cancel(link->loop, &link->retry);
    buf_release(&link->out);
}
