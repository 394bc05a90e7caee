/* link - see docs/wire.md, "Start of a link".
 *
 * States: DOWN (a pause before the next socket), GREETING (a socket; HELLO goes out as soon as it
 * is connected), UP (WELCOME has come). Every way a link can end sets a reason and posts one task
 * that closes the socket, so that no socket is closed under a callback that uses it. Records of a
 * turn share one frame, because a ZeroMQ message costs more than the records in it; a frame that
 * can't be sent stays, grows, and is tried again, and its owner is told when to stop filling it.
 * One that is full waits behind those before it: an announcement may be larger than any single
 * message that a broker takes. */
#include "common/link/link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <zmq.h>

#include "common/auto.h"
#include "common/log.h"

#include "common/link/link_socket.h"

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

enum link_state { LINK_DOWN, LINK_GREETING, LINK_UP };

/* Why there is no link, as it is in the log since then. */
struct reason {
    char text[256];
    uint64_t at_ms;
};

struct full_frame {
    STAILQ_ENTRY(full_frame) link;
    struct buf data;
};

struct link {
    struct loop *loop;
    struct link_config config;
    char *endpoint;
    struct link_keys keys;
    struct link_socket socket;
    enum link_state state;
    uint64_t generation;            /* that our frames carry */
    uint64_t their_generation;      /* the generation that the broker has told last */
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

static void fail_link(struct link *link, uint32_t backoff_ms, const char *why)
{
    if (link->why[0] != '\0')
        return; /* the first reason is the cause */
    snprintf(link->why, sizeof(link->why), "%s", why);
    if (backoff_ms > link->backoff_ms)
        link->backoff_ms = backoff_ms;
    loop_post(link->loop, &link->drop);
}

/* Tries come every two seconds for as long as it takes: a reason is worth a line when it is new,
 * and now and then. Two of them may take turns, when a refusal is seen now as such and now as a
 * connection that ended. */
static void tell(struct link *link)
{
    uint64_t now_ms = loop_now_ms(link->loop);
    struct reason *older =
        link->told[0].at_ms <= link->told[1].at_ms ? &link->told[0] : &link->told[1];

    for (size_t i = 0; i < ARRAY_LEN(link->told); i++) {
        if (strcmp(link->told[i].text, link->why) != 0)
            continue;
        if (now_ms - link->told[i].at_ms < REMIND_MS)
            return;
        older = &link->told[i];
    }
    memcpy(older->text, link->why, sizeof(older->text));
    older->at_ms = now_ms;
    log_warning(NULL, "could not link to %s: %s", link->endpoint, link->why);
}

static void drop_full(struct link *link, struct full_frame *full)
{
    STAILQ_REMOVE_HEAD(&link->full, link);
    buf_release(&full->data);
    free(full);
}

static void release_frames(struct link *link)
{
    struct full_frame *full;

    while ((full = STAILQ_FIRST(&link->full)) != NULL)
        drop_full(link, full);
    buf_release(&link->frame);
    link->blocked = false;
}

static void on_drop(void *arg)
{
    struct link *link = arg;
    bool was_up = link->state == LINK_UP;

    link_socket_close(&link->socket, 0);
    loop_timer_cancel(link->loop, &link->heartbeat);
    loop_timer_cancel(link->loop, &link->retry);
    release_frames(link);
    link->state = LINK_DOWN;
    loop_timer_add(link->loop, &link->connect, link->backoff_ms);
    if (was_up) {
        ++*link->config.counters.lost;
        link->config.events->lost(link->config.arg, link->why);
    } else {
        tell(link);
    }
    link->backoff_ms =
        link->backoff_ms * 2 < BACKOFF_MAX_MS ? link->backoff_ms * 2 : BACKOFF_MAX_MS;
    link->why[0] = '\0';
}

/* True when it is with ZeroMQ. */
static bool send_buf(struct link *link, const struct buf *frame)
{
    int r;

    if (!buf_ok(frame)) {
        fail_link(link, 0, "out of memory for a frame");
        return false;
    }
    r = link_socket_send(&link->socket, frame);
    link->blocked = r == ERR_AGAIN;
    if (r == ERR_AGAIN) {
        if (!timer_armed(&link->retry)) {
            ++*link->config.counters.sends_blocked;
            loop_timer_add(link->loop, &link->retry, RETRY_MS);
        }
        return false;
    }
    if (r < 0) {
        fail_link(link, 0, zmq_strerror(errno));
        return false;
    }
    ++*link->config.counters.frames_sent;
    link->last_sent_ms = loop_now_ms(link->loop);
    return true;
}

static void send_frame(struct link *link)
{
    if (!send_buf(link, &link->frame))
        return;
    loop_timer_cancel(link->loop, &link->retry);
    if (link->frame.cap > FRAME_KEEP_BYTES)
        buf_release(&link->frame);
    else
        buf_clear(&link->frame);
}

/* The frame that is forming has enough. */
static void set_aside(struct link *link)
{
    struct full_frame *full = malloc(sizeof(*full));

    if (full == NULL) {
        fail_link(link, 0, "out of memory for a frame");
        return;
    }
    full->data = link->frame;
    link->frame = (struct buf){0};
    STAILQ_INSERT_TAIL(&link->full, full, link);
}

static struct buf *frame_to_fill(struct link *link)
{
    if (link->frame.len >= FRAME_BYTES && buf_ok(&link->frame))
        set_aside(link);
    if (link->frame.len == 0)
        wire_begin(&link->frame, link->generation);
    return &link->frame;
}

void link_flush(struct link *link)
{
    struct full_frame *full;

    if (link->state == LINK_DOWN || link->why[0] != '\0')
        return;
    while ((full = STAILQ_FIRST(&link->full)) != NULL) {
        if (!send_buf(link, &full->data))
            return;
        drop_full(link, full);
    }
    if (link->frame.len > 0)
        send_frame(link);
}

static void on_retry(struct timer *timer)
{
    (void)timer; /* waking the loop is all: the end of the turn sends */
}

struct buf *link_frame(struct link *link)
{
    return link->state == LINK_UP ? frame_to_fill(link) : NULL;
}

bool link_is_sending(const struct link *link)
{
    return link->state == LINK_UP && link->frame.len > 0 && !link->blocked;
}

size_t link_frame_bytes(const struct link *link)
{
    return link->frame.len;
}

bool link_congested(const struct link *link)
{
    return link->blocked && (!STAILQ_EMPTY(&link->full) || link->frame.len >= FRAME_BYTES);
}

/* The link's own records: WELCOME, PING, REFUSE. */

static void on_heartbeat(struct timer *timer)
{
    struct link *link = CONTAINER_OF(timer, struct link, heartbeat);
    uint64_t now_ms = loop_now_ms(link->loop);

    if (now_ms - link->last_received_ms >= (uint64_t)link->heartbeat_ms * SILENT_INTERVALS) {
        fail_link(link, 0, "the broker fell silent");
        return;
    }
    if (now_ms - link->last_sent_ms >= link->heartbeat_ms / 2 && link->frame.len == 0)
        wire_put_empty(frame_to_fill(link), WIRE_PING);
    loop_timer_add(link->loop, &link->heartbeat, link->heartbeat_ms / 2);
}

static void on_welcome(struct link *link, const struct wire_welcome *welcome)
{
    if (link->state != LINK_GREETING) {
        fail_link(link, 0, "WELCOME came twice");
        return;
    }
    link->state = LINK_UP;
    link->their_generation = welcome->members.generation;
    memset(link->told, 0, sizeof(link->told));
    link->backoff_ms = BACKOFF_FIRST_MS;
    /* Two looks an interval need a length. */
    link->heartbeat_ms = welcome->heartbeat_ms >= 2 ? welcome->heartbeat_ms : 2;
    loop_timer_cancel(link->loop, &link->connect);
    loop_timer_add(link->loop, &link->heartbeat, link->heartbeat_ms / 2);
    ++*link->config.counters.up;
    link->config.events->welcomed(link->config.arg, welcome);
}

static void on_refuse(struct link *link, const struct wire_refuse *refuse)
{
    char why[200];

    snprintf(why, sizeof(why), "refused by the broker (wire version %u, reason %u): %.*s",
             refuse->version, refuse->reason, BYTES_FMT(refuse->text));
    /* Only an upgrade helps against another version; everything else may pass soon. */
    fail_link(link, refuse->reason == WIRE_REFUSED_VERSION ? BACKOFF_MAX_MS : 0, why);
}

static void refuse_frame(struct link *link, int err, uint8_t version)
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
    log_limited(loop_now_ms(link->loop), LOG_ERROR, NULL, "refused a frame of the broker at %s: %s",
                link->endpoint, text);
    refuse.text = bytes_of_string(text);
    buf_clear(&link->frame);
    wire_begin_refusal(&link->frame, err == ERR_VERSION ? version : WIRE_VERSION);
    wire_put_refuse(&link->frame, &refuse);
    /* Best effort: the socket is closed in this turn, and the broker finds out that way too. */
    send_frame(link);
    fail_link(link, err == ERR_VERSION ? BACKOFF_MAX_MS : 0, text);
}

/* generation: of the frame it came in. */
static void take_record(struct link *link, uint64_t generation, const struct wire_record *record)
{
    char why[128];

    if (record->type == WIRE_MEMBERS) {
        link->their_generation = record->members.generation;
        link->config.events->members(link->config.arg, &record->members);
    } else if (generation > link->their_generation) {
        snprintf(why, sizeof(why),
                 "it sent records of generation %llu, and had told who the brokers are in %llu",
                 (unsigned long long)generation, (unsigned long long)link->their_generation);
        fail_link(link, 0, why);
    } else {
        link->config.events->received(link->config.arg, record);
    }
}

static void take_frame(struct link *link, struct bytes frame)
{
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version = 0;
    int r = wire_open_frame(frame, &reader, &version);

    while (r >= 0 && link->why[0] == '\0') {
        r = wire_next(&reader, &record);
        if (r <= 0)
            break;
        if (record.type == WIRE_WELCOME)
            on_welcome(link, &record.welcome);
        else if (record.type == WIRE_REFUSE)
            on_refuse(link, &record.refuse);
        else if (record.type != WIRE_PING && link->state == LINK_UP)
            take_record(link, reader.generation, &record);
    }
    if (r < 0)
        refuse_frame(link, r, version);
}

static void on_readable(void *arg)
{
    struct link *link = arg;

    for (unsigned i = 0; i < FRAMES_PER_TURN && link->why[0] == '\0'; i++) {
        zmq_msg_t message;

        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, link->socket.dealer, ZMQ_DONTWAIT) < 0) {
            int err = errno;

            zmq_msg_close(&message);
            if (err == EAGAIN)
                zwatch_drained(link->socket.dealer_watch);
            else if (err != EINTR)
                fail_link(link, 0, zmq_strerror(err));
            return;
        }
        ++*link->config.counters.frames_received;
        link->last_received_ms = loop_now_ms(link->loop);
        if (zmq_msg_size(&message) <= UINT32_MAX)
            take_frame(link, bytes_of(zmq_msg_data(&message), (uint32_t)zmq_msg_size(&message)));
        else
            fail_link(link, 0, "a frame above 4 GiB");
        zmq_msg_close(&message);
    }
}

static void on_monitor(void *arg)
{
    struct link *link = arg;
    struct wire_hello hello = {.kind = link->config.kind,
                               .name = bytes_of_string(link->config.name)};
    struct zmonitor_event event;
    char why[200];

    switch (link_socket_news(&link->socket, &event)) {
    case LINK_SOCKET_CONNECTED:
        link->connected = true;
        memcpy(hello.instance, link->config.instance, WIRE_INSTANCE_SIZE);
        wire_put_hello(frame_to_fill(link), &hello);
        break;
    case LINK_SOCKET_REFUSED:
        ++*link->config.counters.handshakes_failed;
        fail_link(link, 0, zmonitor_why(&event, link_keys_has_keys(&link->keys), why, sizeof(why)));
        break;
    case LINK_SOCKET_GONE:
        fail_link(link, 0, link->connected ? "connection lost" : "could not connect");
        break;
    case LINK_SOCKET_NOTHING:
        break;
    }
}

static int open_socket(struct link *link)
{
    static unsigned socket_number; /* of the process */
    const struct link_socket_config config = {
        .endpoint = link->endpoint,
        .keys = &link->keys,
        .number = ++socket_number,
        .on_readable = on_readable,
        .on_monitor = on_monitor,
        .arg = link,
    };
    int r = link_socket_open(&link->socket, link->loop, link->config.context, &config);

    if (r < 0)
        return r;
    link->connected = false;
    link->state = LINK_GREETING;
    link->last_received_ms = loop_now_ms(link->loop);
    loop_timer_add(link->loop, &link->connect, GREETING_MS);
    return 0;
}

static void on_connect_timer(struct timer *timer)
{
    struct link *link = CONTAINER_OF(timer, struct link, connect);
    int r;

    if (link->state == LINK_GREETING) {
        fail_link(link, 0, "no WELCOME in time");
        return;
    }
    r = open_socket(link);
    if (r < 0) {
        log_limited(loop_now_ms(link->loop), LOG_ERROR, NULL, "could not make a socket to %s: %s",
                    link->endpoint, err_string(r));
        loop_timer_add(link->loop, &link->connect, BACKOFF_MAX_MS);
    }
}

static int start(struct link *link, struct err_text *et)
{
    int r = open_socket(link);

    if (r == ERR_CONFIG)
        return err_set(et, r, "the endpoint of a broker is \"%s\", expected tcp://HOST:PORT (%s)",
                       link->endpoint, zmq_strerror(errno));
    if (r < 0)
        return err_set(et, r, "could not make a socket to %s: %s", link->endpoint,
                       zmq_strerror(errno));
    return 0;
}

int link_create(struct loop *loop, const struct link_config *config, struct link **ret_link,
                struct err_text *et)
{
    struct link *link = calloc(1, sizeof(*link));
    int r;

    if (link == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    link->loop = loop;
    link->config = *config;
    link->config.endpoint = NULL; /* the caller's, as the keys */
    if (config->keys != NULL)
        link->keys = *config->keys;
    link->config.keys = NULL;
    link->generation = config->generation;
    link->backoff_ms = BACKOFF_FIRST_MS;
    STAILQ_INIT(&link->full);
    timer_init(&link->connect, on_connect_timer);
    timer_init(&link->heartbeat, on_heartbeat);
    timer_init(&link->retry, on_retry);
    link->drop.fn = on_drop;
    link->drop.arg = link;
    link->endpoint = strdup(config->endpoint);
    r = link->endpoint != NULL ? start(link, et) : err_set(et, ERR_NO_MEMORY, "out of memory");
    if (r < 0) {
        link_destroy(link);
        return r;
    }
    *ret_link = link;
    return 0;
}

void link_destroy(struct link *link)
{
    if (link == NULL)
        return;
    link_flush(link);
    link_socket_close(&link->socket, LINGER_MS);
    loop_timer_cancel(link->loop, &link->connect);
    loop_timer_cancel(link->loop, &link->heartbeat);
    loop_timer_cancel(link->loop, &link->retry);
    loop_unpost(link->loop, &link->drop);
    release_frames(link);
    link_keys_wipe(&link->keys);
    free(link->endpoint);
    free(link);
}

void link_set_keys(struct link *link, const struct link_keys *keys)
{
    link->keys = *keys;
}

void link_drop(struct link *link, const char *why)
{
    if (link->state != LINK_DOWN)
        fail_link(link, 0, why);
}

void link_put_off(struct link *link, const char *why)
{
    if (link->state != LINK_DOWN)
        fail_link(link, BACKOFF_MAX_MS, why);
}

void link_set_generation(struct link *link, uint64_t generation)
{
    if (generation != link->generation && link->frame.len > 0 && buf_ok(&link->frame))
        set_aside(link);
    link->generation = generation;
}

void link_set_arg(struct link *link, void *arg)
{
    link->config.arg = arg;
}

const char *link_endpoint(const struct link *link)
{
    return link->endpoint;
}

bool link_is_up(const struct link *link)
{
    return link->state == LINK_UP && link->why[0] == '\0';
}
