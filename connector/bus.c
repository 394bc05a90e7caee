/* bus - see docs/wire.md, "Start of a link".
 *
 * States: DOWN (a pause before the next socket), GREETING (a socket; HELLO goes out as soon as it
 * is connected), UP (WELCOME has come). Every way a link can end sets a reason and posts one task
 * that closes the socket, so that no socket is closed under a callback that uses it. Records of a
 * turn share one frame, because a ZeroMQ message costs more than the records in it; a frame that
 * can't be sent stays, grows, and is tried again, and its owner is told when to stop filling it.
 * One that is full waits behind those before it: an announcement may be larger than any single
 * message that a broker takes. */
#include "connector/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <zmq.h>

#include "common/auto.h"
#include "common/log.h"

#include "connector/bus_socket.h"
#include "connector/connector.h"

/* docs/wire.md, "Sockets": fast enough that a restarted broker is found at once, slow enough that
 * hundreds of connectors do not hammer one that is down. */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 1000
/* From a new socket to WELCOME. Covers a broker that accepts and is frozen. */
#define GREETING_MS 2000
/* Silent heartbeat intervals that end a link. docs/wire.md */
#define SILENT_INTERVALS 3
/* How soon a frame that found the link full is tried again. */
#define RETRY_MS 2
/* The next record begins another frame: far below what a broker takes (docs/wire.md), and some ten
 * milliseconds of its work. One this large that can't be sent means that the broker is behind by
 * more than it takes in at once. */
#define FRAME_BYTES (4u << 20)
/* Memory the frame keeps from turn to turn: an ordinary full turn. */
#define FRAME_KEEP_BYTES (1u << 20)
/* Frames read in one turn: the broker sends one a turn, so more than a few are a backlog. */
#define FRAMES_PER_TURN 32
/* How often the log repeats why there is no link: a broker that is down for a night is a few
 * hundred lines, and who looks at the log's end sees the reason. */
#define REMIND_MS 60000
/* What is sent last before the process ends must reach the kernel. */
#define LINGER_MS 1000

enum bus_state { BUS_DOWN, BUS_GREETING, BUS_UP };

/* Why there is no link, as it is in the log since then. */
struct reason {
    char text[256];
    uint64_t at_ms;
};

struct full_frame {
    STAILQ_ENTRY(full_frame) link;
    struct buf data;
};

struct bus {
    struct loop *loop;
    struct bus_config config;
    struct curve_link curve;
    void *context;
    struct bus_socket socket;
    unsigned socket_number;
    enum bus_state state;
    uint64_t generation; /* of WELCOME; 0 before the first */
    uint8_t instance[WIRE_INSTANCE_SIZE];
    STAILQ_HEAD(, full_frame) full; /* oldest first */
    struct buf frame;               /* the one that is forming; comes after them */
    bool blocked;                   /* the last send found no room */
    struct timer connect;           /* DOWN: make a socket; GREETING: give up */
    struct timer heartbeat, retry;
    struct loop_task drop; /* posted when the link failed */
    char why[256];         /* it failed; "" = it did not */
    struct reason told[2]; /* since the last link */
    bool connected;        /* this socket's handshake is done */
    uint64_t last_sent_ms, last_received_ms;
    uint32_t heartbeat_ms;
    uint32_t backoff_ms;
};

static void fail_link(struct bus *bus, uint32_t backoff_ms, const char *why)
{
    if (bus->why[0] != '\0')
        return; /* the first reason is the cause */
    snprintf(bus->why, sizeof(bus->why), "%s", why);
    if (backoff_ms > bus->backoff_ms)
        bus->backoff_ms = backoff_ms;
    loop_post(bus->loop, &bus->drop);
}

/* Tries come every two seconds for as long as it takes: a reason is worth a line when it is new,
 * and now and then. Two of them may take turns, when a refusal is seen now as such and now as a
 * connection that ended. */
static void tell(struct bus *bus)
{
    uint64_t now_ms = loop_now_ms(bus->loop);
    struct reason *older = bus->told[0].at_ms <= bus->told[1].at_ms ? &bus->told[0] : &bus->told[1];

    for (size_t i = 0; i < ARRAY_LEN(bus->told); i++) {
        if (strcmp(bus->told[i].text, bus->why) != 0)
            continue;
        if (now_ms - bus->told[i].at_ms < REMIND_MS)
            return;
        older = &bus->told[i];
    }
    memcpy(older->text, bus->why, sizeof(older->text));
    older->at_ms = now_ms;
    log_warning(NULL, "could not link to %s: %s", bus->config.endpoint, bus->why);
}

static void drop_full(struct bus *bus, struct full_frame *full)
{
    STAILQ_REMOVE_HEAD(&bus->full, link);
    buf_release(&full->data);
    free(full);
}

static void release_frames(struct bus *bus)
{
    struct full_frame *full;

    while ((full = STAILQ_FIRST(&bus->full)) != NULL)
        drop_full(bus, full);
    buf_release(&bus->frame);
    bus->blocked = false;
}

static void on_drop(void *arg)
{
    struct bus *bus = arg;
    bool was_up = bus->state == BUS_UP;

    bus_socket_close(&bus->socket, 0);
    loop_timer_cancel(bus->loop, &bus->heartbeat);
    loop_timer_cancel(bus->loop, &bus->retry);
    release_frames(bus);
    bus->state = BUS_DOWN;
    loop_timer_add(bus->loop, &bus->connect, bus->backoff_ms);
    if (was_up) {
        bus->config.metrics->links_lost++;
        bus->config.events->lost(bus->config.arg, bus->why);
    } else {
        tell(bus);
    }
    bus->backoff_ms = bus->backoff_ms * 2 < BACKOFF_MAX_MS ? bus->backoff_ms * 2 : BACKOFF_MAX_MS;
    bus->why[0] = '\0';
}

/* True when it is with ZeroMQ. */
static bool send_buf(struct bus *bus, const struct buf *frame)
{
    int r;

    if (!buf_ok(frame)) {
        fail_link(bus, 0, "out of memory for a frame");
        return false;
    }
    r = bus_socket_send(&bus->socket, frame);
    bus->blocked = r == ERR_AGAIN;
    if (r == ERR_AGAIN) {
        if (!timer_armed(&bus->retry)) {
            bus->config.metrics->sends_blocked++;
            loop_timer_add(bus->loop, &bus->retry, RETRY_MS);
        }
        return false;
    }
    if (r < 0) {
        fail_link(bus, 0, zmq_strerror(errno));
        return false;
    }
    bus->config.metrics->frames_sent++;
    bus->last_sent_ms = loop_now_ms(bus->loop);
    return true;
}

static void send_frame(struct bus *bus)
{
    if (!send_buf(bus, &bus->frame))
        return;
    loop_timer_cancel(bus->loop, &bus->retry);
    if (bus->frame.cap > FRAME_KEEP_BYTES)
        buf_release(&bus->frame);
    else
        buf_clear(&bus->frame);
}

/* The frame that is forming has enough. */
static void set_aside(struct bus *bus)
{
    struct full_frame *full = malloc(sizeof(*full));

    if (full == NULL) {
        fail_link(bus, 0, "out of memory for a frame");
        return;
    }
    full->data = bus->frame;
    bus->frame = (struct buf){0};
    STAILQ_INSERT_TAIL(&bus->full, full, link);
}

static struct buf *frame_to_fill(struct bus *bus)
{
    if (bus->frame.len >= FRAME_BYTES && buf_ok(&bus->frame))
        set_aside(bus);
    if (bus->frame.len == 0)
        wire_begin(&bus->frame, bus->generation);
    return &bus->frame;
}

static void on_turn_end(void *arg)
{
    struct bus *bus = arg;
    struct full_frame *full;

    if (bus->state == BUS_DOWN || bus->why[0] != '\0')
        return;
    while ((full = STAILQ_FIRST(&bus->full)) != NULL) {
        if (!send_buf(bus, &full->data))
            return;
        drop_full(bus, full);
    }
    if (bus->frame.len > 0)
        send_frame(bus);
}

static void on_retry(struct timer *timer)
{
    (void)timer; /* waking the loop is all: the end of the turn sends */
}

struct buf *bus_frame(struct bus *bus)
{
    return bus->state == BUS_UP ? frame_to_fill(bus) : NULL;
}

bool bus_is_sending(const struct bus *bus)
{
    return bus->state == BUS_UP && bus->frame.len > 0 && !bus->blocked;
}

bool bus_congested(const struct bus *bus)
{
    return bus->blocked && (!STAILQ_EMPTY(&bus->full) || bus->frame.len >= FRAME_BYTES);
}

/* The link's own records: WELCOME, PING, REFUSE. */

static void on_heartbeat(struct timer *timer)
{
    struct bus *bus = CONTAINER_OF(timer, struct bus, heartbeat);
    uint64_t now_ms = loop_now_ms(bus->loop);

    if (now_ms - bus->last_received_ms >= (uint64_t)bus->heartbeat_ms * SILENT_INTERVALS) {
        fail_link(bus, 0, "the broker fell silent");
        return;
    }
    if (now_ms - bus->last_sent_ms >= bus->heartbeat_ms / 2 && bus->frame.len == 0)
        wire_put_empty(frame_to_fill(bus), WIRE_PING);
    loop_timer_add(bus->loop, &bus->heartbeat, bus->heartbeat_ms / 2);
}

static void on_welcome(struct bus *bus, const struct wire_welcome *welcome)
{
    if (bus->state != BUS_GREETING) {
        fail_link(bus, 0, "WELCOME came twice");
        return;
    }
    bus->state = BUS_UP;
    bus->generation = welcome->members.generation;
    memset(bus->told, 0, sizeof(bus->told));
    bus->backoff_ms = BACKOFF_FIRST_MS;
    /* Two looks an interval need a length. */
    bus->heartbeat_ms = welcome->heartbeat_ms >= 2 ? welcome->heartbeat_ms : 2;
    loop_timer_cancel(bus->loop, &bus->connect);
    loop_timer_add(bus->loop, &bus->heartbeat, bus->heartbeat_ms / 2);
    bus->config.metrics->links_up++;
    bus->config.events->welcomed(bus->config.arg, welcome);
}

static void on_refuse(struct bus *bus, const struct wire_refuse *refuse)
{
    char why[200];

    snprintf(why, sizeof(why), "refused by the broker (wire version %u, reason %u): %.*s",
             refuse->version, refuse->reason, BYTES_FMT(refuse->text));
    /* Only an upgrade helps against another version; everything else may pass soon. */
    fail_link(bus, refuse->reason == WIRE_REFUSED_VERSION ? BACKOFF_MAX_MS : 0, why);
}

static void refuse_frame(struct bus *bus, int err, uint8_t version)
{
    struct wire_refuse refuse = {
        .version = WIRE_VERSION,
        .reason = err == ERR_VERSION ? WIRE_REFUSED_VERSION : WIRE_REFUSED_MALFORMED,
    };
    char text[96];

    if (err == ERR_VERSION)
        snprintf(text, sizeof(text), "wire version %u, expected %u", version, WIRE_VERSION);
    else
        snprintf(text, sizeof(text), "malformed frame");
    log_limited(loop_now_ms(bus->loop), LOG_ERROR, NULL, "refused a frame of the broker: %s", text);
    refuse.text = bytes_of_string(text);
    buf_clear(&bus->frame);
    wire_begin_refusal(&bus->frame, err == ERR_VERSION ? version : WIRE_VERSION);
    wire_put_refuse(&bus->frame, &refuse);
    /* Best effort: the socket is closed in this turn, and the broker finds out that way too. */
    send_frame(bus);
    fail_link(bus, err == ERR_VERSION ? BACKOFF_MAX_MS : 0, text);
}

static void take_frame(struct bus *bus, struct bytes frame)
{
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version = 0;
    int r = wire_open_frame(frame, &reader, &version);

    while (r >= 0 && bus->why[0] == '\0') {
        r = wire_next(&reader, &record);
        if (r <= 0)
            break;
        if (record.type == WIRE_WELCOME)
            on_welcome(bus, &record.welcome);
        else if (record.type == WIRE_REFUSE)
            on_refuse(bus, &record.refuse);
        else if (record.type != WIRE_PING && bus->state == BUS_UP)
            bus->config.events->received(bus->config.arg, &record);
    }
    if (r < 0)
        refuse_frame(bus, r, version);
}

static void on_readable(void *arg)
{
    struct bus *bus = arg;

    for (unsigned i = 0; i < FRAMES_PER_TURN && bus->why[0] == '\0'; i++) {
        zmq_msg_t message;

        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, bus->socket.dealer, ZMQ_DONTWAIT) < 0) {
            int err = errno;

            zmq_msg_close(&message);
            if (err != EAGAIN && err != EINTR)
                fail_link(bus, 0, zmq_strerror(err));
            return;
        }
        bus->config.metrics->frames_received++;
        bus->last_received_ms = loop_now_ms(bus->loop);
        if (zmq_msg_size(&message) <= UINT32_MAX)
            take_frame(bus, bytes_of(zmq_msg_data(&message), (uint32_t)zmq_msg_size(&message)));
        else
            fail_link(bus, 0, "a frame above 4 GiB");
        zmq_msg_close(&message);
    }
}

static void on_monitor(void *arg)
{
    struct bus *bus = arg;
    struct wire_hello hello = {.kind = WIRE_PEER_CONNECTOR,
                               .name = bytes_of_string(bus->config.name)};
    struct zmonitor_event event;
    char why[200];

    switch (bus_socket_news(&bus->socket, &event)) {
    case BUS_SOCKET_CONNECTED:
        bus->connected = true;
        memcpy(hello.instance, bus->instance, WIRE_INSTANCE_SIZE);
        wire_put_hello(frame_to_fill(bus), &hello);
        break;
    case BUS_SOCKET_REFUSED:
        bus->config.metrics->handshakes_failed++;
        fail_link(bus, 0, zmonitor_why(&event, curve_link_has_keys(&bus->curve), why, sizeof(why)));
        break;
    case BUS_SOCKET_GONE:
        fail_link(bus, 0, bus->connected ? "connection lost" : "could not connect");
        break;
    case BUS_SOCKET_NOTHING:
        break;
    }
}

static int open_socket(struct bus *bus)
{
    const struct bus_socket_config config = {
        .endpoint = bus->config.endpoint,
        .curve = &bus->curve,
        .number = ++bus->socket_number,
        .on_readable = on_readable,
        .on_monitor = on_monitor,
        .arg = bus,
    };
    int r = bus_socket_open(&bus->socket, bus->loop, bus->context, &config);

    if (r < 0)
        return r;
    bus->connected = false;
    bus->state = BUS_GREETING;
    bus->last_received_ms = loop_now_ms(bus->loop);
    loop_timer_add(bus->loop, &bus->connect, GREETING_MS);
    return 0;
}

static void on_connect_timer(struct timer *timer)
{
    struct bus *bus = CONTAINER_OF(timer, struct bus, connect);
    int r;

    if (bus->state == BUS_GREETING) {
        fail_link(bus, 0, "no WELCOME in time");
        return;
    }
    r = open_socket(bus);
    if (r < 0) {
        log_limited(loop_now_ms(bus->loop), LOG_ERROR, NULL, "could not make a socket to %s: %s",
                    bus->config.endpoint, err_string(r));
        loop_timer_add(bus->loop, &bus->connect, BACKOFF_MAX_MS);
    }
}

static int start(struct bus *bus, struct err_text *et)
{
    int r;

    if (getrandom(bus->instance, sizeof(bus->instance), 0) != (ssize_t)sizeof(bus->instance))
        return err_set(et, ERR_SYSTEM, "could not get random bytes: %s", strerror(errno));
    bus->context = zmq_ctx_new();
    if (bus->context == NULL)
        return err_set(et, ERR_SYSTEM, "could not start ZeroMQ: %s", strerror(errno));
    r = loop_hook_add(bus->loop, on_turn_end, bus);
    if (r < 0)
        return err_set(et, r, "could not set up the link: %s", err_string(r));
    r = open_socket(bus);
    if (r == ERR_CONFIG)
        return err_set(et, r, "\"broker.endpoint\" is \"%s\", expected tcp://HOST:PORT (%s)",
                       bus->config.endpoint, zmq_strerror(errno));
    if (r < 0)
        return err_set(et, r, "could not make a socket to %s: %s", bus->config.endpoint,
                       zmq_strerror(errno));
    return 0;
}

int bus_create(struct loop *loop, const struct bus_config *config, struct bus **ret_bus,
               struct err_text *et)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    int r;

    if (bus == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    bus->loop = loop;
    bus->config = *config;
    if (config->curve != NULL)
        bus->curve = *config->curve;
    bus->config.curve = NULL; /* the caller's */
    bus->backoff_ms = BACKOFF_FIRST_MS;
    STAILQ_INIT(&bus->full);
    timer_init(&bus->connect, on_connect_timer);
    timer_init(&bus->heartbeat, on_heartbeat);
    timer_init(&bus->retry, on_retry);
    bus->drop.fn = on_drop;
    bus->drop.arg = bus;
    r = start(bus, et);
    if (r < 0) {
        bus_destroy(bus);
        return r;
    }
    *ret_bus = bus;
    return 0;
}

void bus_destroy(struct bus *bus)
{
    if (bus == NULL)
        return;
    on_turn_end(bus);
    bus_socket_close(&bus->socket, LINGER_MS);
    loop_timer_cancel(bus->loop, &bus->connect);
    loop_timer_cancel(bus->loop, &bus->heartbeat);
    loop_timer_cancel(bus->loop, &bus->retry);
    loop_unpost(bus->loop, &bus->drop);
    if (bus->context != NULL)
        zmq_ctx_term(bus->context); /* waits for the linger at most */
    release_frames(bus);
    curve_link_wipe(&bus->curve);
    free(bus);
}

void bus_set_keys(struct bus *bus, const struct curve_link *curve)
{
    bus->curve = *curve;
}
