/* host - see the header.
 *
 * The broker is the only peer and decides everything; whatever is wrong here ends the process, and
 * the broker starts another one. What a turn produced leaves as one frame at its end.
 *
 * The process must not outlive its broker: the kernel kills it then (main.c). A look at the parent
 * covers a program between the two, and silence a broker that was gone before any of this. */
#include "plugin-host/host.h"

#include "common/auto.h"
#include "common/log.h"
#include "common/zwatch.h"
#include "plugin-host/pending.h"
#include "plugin-host/plugin_counters.h"
#include "plugin-host/plugin_file.h"
#include "plugin-host/plugin_services.h"
#include "plugin-host/plugin_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

/* What a plugin's open may say about its failure. */
#define ERROR_SIZE 384
/* How soon deliveries that the plugin refused are offered again when none of its outcomes says that
 * there is room. */
#define PENDING_RETRY_MS 20
/* How often the parent and the silence are looked at. */
#define WATCH_MS 1000
/* How long the broker may take to send the plugin's settings: more than the ten seconds that it
 * waits itself. A broker that died before the kernel was asked to follow it never sends them. */
#define OPEN_MS 30000
/* How long the outcomes of the end may take to reach the broker. */
#define LINGER_MS 1000
/* Frames read in one turn: bounds the work before outcomes go out. */
#define FRAMES_PER_TURN 16
/* Reports that wait for the link. Far above what the broker's limit of deliveries in flight allows,
 * so that a plugin which reports without end is ended before it fills the memory. */
#define OUT_MAX_BYTES (64 * 1024 * 1024)
/* Lines of the plugin that are passed on in a second; the broker limits them once more. */
#define LOG_PER_SECOND 100

struct host {
    struct loop *loop;
    const struct host_options *options;
    void *context, *socket;
    struct zwatch *watch;
    struct buf out;
    struct loop_task flush;
    struct timer parent_timer, pending_timer;
    struct plugin_file file;
    struct plugin_services *services;
    void *instance;
    bool opened;
    struct plugin_counters counters;
    struct pending pending;
    uint64_t heard_ms;
    uint64_t log_second;
    uint32_t log_lines;
    pid_t parent;
    int result;
};

static void stop(struct host *host, int result)
{
    if (host->result == 0)
        host->result = result;
    loop_stop(host->loop);
}

/* --- to the broker --- */

/* The frame of this turn. */
static struct buf *out(struct host *host)
{
    if (host->out.len == 0 && buf_ok(&host->out))
        plugin_wire_begin(&host->out);
    loop_post(host->loop, &host->flush);
    return &host->out;
}

static void send_out(struct host *host)
{
    if (host->out.len == 0)
        return;
    if (!buf_ok(&host->out) || host->out.len > OUT_MAX_BYTES) {
        log_error(NULL, "the plugin reports more than the link can carry, giving up");
        stop(host, ERR_NO_MEMORY);
        return;
    }
    if (zmq_send(host->socket, host->out.data, host->out.len, ZMQ_DONTWAIT) >= 0)
        buf_clear(&host->out);
    else if (errno != EAGAIN && errno != EINTR)
        stop(host, ERR_IO);
    /* else: it waits for the next report; the broker's PING brings one */
}

static void on_flush(void *arg)
{
    send_out(arg);
}

static void on_count_taken(void *arg, const char *name, uint64_t delta)
{
    plugin_wire_put_count(out(arg), name, delta);
}

/* --- the plugin's services --- */

static void on_complete(void *arg, uint64_t id, const struct dp_outcome *outcome)
{
    struct host *host = arg;

    plugin_wire_put_outcome(out(host), id, outcome);
    /* an outcome is room: ask again in this turn */
    if (!TAILQ_EMPTY(&host->pending))
        loop_timer_add(host->loop, &host->pending_timer, 0);
}

static void on_log(void *arg, uint32_t level, const char *text)
{
    struct host *host = arg;
    uint64_t second = loop_now_ms(host->loop) / 1000;

    if (host->log_second != second) {
        host->log_second = second;
        host->log_lines = 0;
    }
    if (host->log_lines++ < LOG_PER_SECOND)
        plugin_wire_put_log(out(host), level, text);
    else
        plugin_counters_add(&host->counters, "log_lines_dropped", 1);
}

static void on_count(void *arg, const char *name, uint64_t delta)
{
    plugin_counters_add(&((struct host *)arg)->counters, name, delta);
}

static const struct plugin_services_hooks hooks = {
    .complete = on_complete, .log = on_log, .count = on_count};

/* --- what the broker asks for --- */

static int open_plugin(struct host *host, struct plugin_wire_record *record, struct err_text *et)
{
    char error[ERROR_SIZE] = "no reason given";
    size_t count = record->settings.count;
    struct dp_setting *settings = calloc(count + 1, sizeof(*settings));
    int r = settings ? host_options_load(host->options, &host->file, et)
                     : err_set(et, ERR_NO_MEMORY, "out of memory");

    for (size_t i = 0; r == 0 && i < count; i++) {
        if (plugin_wire_next_setting(record, &settings[i]) != 1)
            break;
    }
    if (r == 0) {
        host->services = plugin_services_create(host->loop, &hooks, host);
        if (!host->services)
            r = err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    if (r == 0 && host->file.descriptor->open(plugin_services_host(host->services), settings, count,
                                              &host->instance, error, sizeof(error)) != 0) {
        error[sizeof(error) - 1] = '\0';
        r = err_set(et, ERR_PLUGIN, "%s", error);
    }
    free(settings);
    return r;
}

static void on_open_record(struct host *host, struct plugin_wire_record *record)
{
    struct err_text et = {""};
    int r;

    if (host->opened) {
        stop(host, ERR_PROTOCOL);
        return;
    }
    r = open_plugin(host, record, &et);
    if (r < 0) {
        plugin_wire_put_failed(out(host), et.text); /* the broker says it to the operator */
        stop(host, 0);
        return;
    }
    host->opened = true;
    plugin_wire_put_opened(out(host), host->file.descriptor);
}

static void fail(struct host *host, uint64_t id, uint32_t kind, const char *reason)
{
    const struct dp_outcome outcome = {
        .struct_size = sizeof(outcome), .kind = kind, .reason = reason};

    plugin_wire_put_outcome(out(host), id, &outcome);
}

/* raw: the record as it came. Behind those that wait already, so that order is kept. */
static void on_deliver_record(struct host *host, const struct plugin_wire_record *record,
                              struct bytes raw)
{
    const struct dp_delivery *delivery = &record->deliver.delivery;

    if (TAILQ_EMPTY(&host->pending) &&
        host->file.descriptor->deliver(host->instance, delivery) == 0)
        return;
    if (pending_add(&host->pending, delivery->id, raw) < 0)
        fail(host, delivery->id, DP_RETRY, "out-of-memory");
    else if (!timer_armed(&host->pending_timer))
        loop_timer_add(host->loop, &host->pending_timer, PENDING_RETRY_MS);
}

static void on_pending_timer(struct timer *timer)
{
    struct host *host = CONTAINER_OF(timer, struct host, pending_timer);
    struct pending_item *item;

    while ((item = TAILQ_FIRST(&host->pending))) {
        struct plugin_wire_reader reader = {.rest = bytes_of(item->record, item->len)};
        struct plugin_wire_record record;

        if (plugin_wire_next(&reader, &record) != 1 ||
            host->file.descriptor->deliver(host->instance, &record.deliver.delivery) != 0)
            break;
        pending_drop(&host->pending, item);
    }
    if (item)
        loop_timer_add(host->loop, &host->pending_timer, PENDING_RETRY_MS);
}

static void on_cancel_record(struct host *host, uint64_t id)
{
    if (pending_remove(&host->pending, id))
        fail(host, id, DP_RETRY, "cancelled");
    else if (host->file.descriptor->cancel)
        host->file.descriptor->cancel(host->instance, id);
}

/* 0; ERR_PROTOCOL for what a broker must not send now. */
static int handle(struct host *host, struct plugin_wire_record *record, struct bytes raw)
{
    switch (record->type) {
    case PLUGIN_WIRE_OPEN:
        on_open_record(host, record);
        return 0;
    case PLUGIN_WIRE_PING:
        plugin_counters_take(&host->counters, on_count_taken, host);
        plugin_wire_put_stamp(out(host), PLUGIN_WIRE_PONG, record->stamp);
        return 0;
    case PLUGIN_WIRE_CLOSE:
        stop(host, 0);
        return 0;
    case PLUGIN_WIRE_DELIVER:
        if (host->opened)
            on_deliver_record(host, record, raw);
        return host->opened ? 0 : ERR_PROTOCOL;
    case PLUGIN_WIRE_CANCEL:
        if (host->opened)
            on_cancel_record(host, record->id);
        return host->opened ? 0 : ERR_PROTOCOL;
    default:
        return ERR_PROTOCOL;
    }
}

static int read_frame(struct host *host, struct bytes frame)
{
    struct plugin_wire_reader reader = {.rest = {0}};
    struct plugin_wire_record record;
    int r = plugin_wire_open_frame(frame, &reader);

    while (r == 0) {
        const uint8_t *start = reader.rest.data;

        r = plugin_wire_next(&reader, &record);
        if (r != 1)
            break;
        r = handle(host, &record, bytes_of(start, (uint32_t)(reader.rest.data - start)));
    }
    return r;
}

static void on_link(void *arg)
{
    struct host *host = arg;
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        int r;

        if (zmq_msg_recv(&frame, host->socket, ZMQ_DONTWAIT) < 0)
            break;
        host->heard_ms = loop_now_ms(host->loop);
        r = read_frame(host, bytes_of(zmq_msg_data(&frame), (uint32_t)zmq_msg_size(&frame)));
        if (r < 0) {
            log_error(NULL, "could not read what the broker sent: %s", err_string(r));
            stop(host, r);
            break;
        }
    }
    zmq_msg_close(&frame);
}

static void on_parent_timer(struct timer *timer)
{
    struct host *host = CONTAINER_OF(timer, struct host, parent_timer);
    uint32_t silence_ms = host->options->silence_ms;

    if (!host->opened && silence_ms > OPEN_MS)
        silence_ms = OPEN_MS;
    if (getppid() != host->parent) {
        log_info(NULL, "the broker is gone");
        stop(host, ERR_CLOSED);
    } else if (loop_now_ms(host->loop) - host->heard_ms > silence_ms) {
        log_warning(NULL, "the broker has been silent for %u ms", silence_ms);
        stop(host, ERR_CLOSED);
    }
    loop_timer_add(host->loop, &host->parent_timer, WATCH_MS);
}

/* --- life cycle --- */

static int connect_link(struct host *host, struct err_text *et)
{
    int unlimited = 0, linger = LINGER_MS;

    host->context = zmq_ctx_new();
    host->socket = host->context ? zmq_socket(host->context, ZMQ_DEALER) : NULL;
    if (!host->socket)
        return err_set(et, ERR_SYSTEM, "could not make a ZeroMQ socket: %s", zmq_strerror(errno));
    /* the broker's limit of deliveries in flight bounds what arrives */
    if (zmq_setsockopt(host->socket, ZMQ_RCVHWM, &unlimited, sizeof(unlimited)) < 0 ||
        zmq_setsockopt(host->socket, ZMQ_LINGER, &linger, sizeof(linger)) < 0 ||
        zmq_connect(host->socket, host->options->endpoint) < 0)
        return err_set(et, ERR_CONFIG, "could not connect to endpoint \"%s\": %s",
                       host->options->endpoint, zmq_strerror(errno));
    return zwatch_create(host->loop, host->socket, on_link, host, &host->watch);
}

int host_create(struct loop *loop, const struct host_options *options, struct host **ret_host,
                struct err_text *et)
{
    struct host *host = calloc(1, sizeof(*host));
    int r;

    if (!host)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    host->loop = loop;
    host->options = options;
    host->flush = (struct loop_task){.fn = on_flush, .arg = host};
    host->heard_ms = loop_now_ms(loop);
    host->parent = getppid();
    pending_init(&host->pending);
    timer_init(&host->parent_timer, on_parent_timer);
    timer_init(&host->pending_timer, on_pending_timer);
    r = connect_link(host, et);
    if (r < 0) {
        host_destroy(host);
        return r;
    }
    loop_timer_add(loop, &host->parent_timer, WATCH_MS);
    plugin_wire_put_hello(out(host), DP_ABI);
    *ret_host = host;
    return 0;
}

int host_result(const struct host *host)
{
    return host->result;
}

void host_destroy(struct host *host)
{
    struct pending_item *item;

    if (!host)
        return;
    if (host->opened) {
        host->file.descriptor->close(host->instance);
        TAILQ_FOREACH(item, &host->pending, link)
        {
            fail(host, item->id, DP_RETRY, "plugin-closed");
        }
        plugin_counters_take(&host->counters, on_count_taken, host);
        plugin_wire_put_empty(out(host), PLUGIN_WIRE_CLOSED);
    }
    plugin_services_destroy(host->services);
    if (host->socket)
        send_out(host);
    loop_unpost(host->loop, &host->flush);
    loop_timer_cancel(host->loop, &host->parent_timer);
    loop_timer_cancel(host->loop, &host->pending_timer);
    zwatch_destroy(host->watch);
    if (host->socket)
        zmq_close(host->socket);
    if (host->context)
        zmq_ctx_term(host->context);
    plugin_file_unload(&host->file);
    plugin_counters_fini(&host->counters);
    pending_fini(&host->pending);
    buf_release(&host->out);
    free(host);
}
