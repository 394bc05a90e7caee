/* conn - slots, handles, the end of a connection.
 *
 * Slots come in chunks of CHUNK_SLOTS that stay: a process that once had 50,000 clients will have
 * them again. A slot's generation counts its uses; it never returns to 0 and a slot whose counter
 * is used up is not used again, so a handle is unique for the life of the process. Accept, find and
 * close are O(1). */
#include "connector/conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/auto.h"

#include "connector/brokers.h"
#include "connector/keepalive.h"
#include "connector/session.h"
#include "connector/transport_tls.h"

#define CHUNK_SLOTS 256 /* 64 KiB: a unit malloc serves without waste */
/* How long a client has to read our last packet and close. Longer than the worst ordinary round
 * trip with a retransmission, short because each costs a descriptor. */
#define LINGER_MS 2000

/* A layer's words for the log: a sentence, and what OpenSSL says. */
#define EXPLAIN_BYTES 192

/* How long an acknowledgement waits for something else that goes to the broker: a frame of its own
 * costs each process on the way a wake-up, more than all else it does for a message when there are
 * few. Nobody waits for it: a broker's window is hundreds of messages, its deadlines are seconds.
 */
#define ACK_MS 2
/* Clients that take fewer messages at once would be slowed by that. */
#define ACK_WINDOW 128
#define ACKS_FIRST 64

#define FAULT 0xFF /* close_reasons.def: the caller's fault has the reason code */

static const struct close_info {
    uint8_t mqtt_reason;
    bool will;
    enum log_level level;
    size_t counter; /* offset in struct metrics */
    const char *text;
} close_infos[CLOSE_REASON_COUNT] = {
#define CLOSE(name, mqtt_reason, will, level, counter, text)                                       \
    [CLOSE_##name] = {mqtt_reason, will, level, offsetof(struct metrics, counter), text},
#include "connector/close_reasons.def"
#undef CLOSE
};

static void free_buffers(struct conn *c)
{
    free(c->in);
    c->in = NULL;
    c->in_len = c->in_cap = 0;
    outq_fini(&c->outq);
    inflight_fini(&c->inflight);
    free(c->pubacks);
    c->pubacks = NULL;
    if (c->client != NULL) {
        inflight_fini(&c->client->notified);
        held_drop(&c->client->held);
        free(c->client->will);
    }
    free(c->client);
    c->client = NULL;
}

static void on_reap(struct loop_garbage *garbage)
{
    struct conns *conns = CONTAINER_OF(garbage, struct conns, reap);
    struct conn *c;

    conns->reaping = false;
    while ((c = TAILQ_FIRST(&conns->lists.in[CONN_CLOSED])) != NULL) {
        assert((c->turn_flags & TURN_FLUSH) == 0 && !c->ready);
        free_buffers(c);
        conn_set_state(&conns->lists, c, CONN_FREE);
    }
}

static void on_ack_timer(struct timer *timer)
{
    CONTAINER_OF(timer, struct conns, ack_timer)->acks_due = true;
}

/* Those that a frame takes along, or all when they have waited long enough. */
static void send_acks(struct conns *conns)
{
    const struct brokers *brokers = conns->connector->brokers;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < conns->ack_count; i++) {
        struct conn *c = conn_find(conns, conns->acks[i]);

        if (c == NULL)
            continue;
        if (!conns->acks_due && conn_is_open(c) &&
            !broker_is_sending(brokers_at(brokers, c->owner))) {
            conns->acks[kept++] = conns->acks[i];
            continue;
        }
        c->turn_flags &= (uint8_t)~TURN_ACK;
        if (conn_is_open(c))
            session_send_ack(c);
    }
    conns->ack_count = kept;
    if (kept > 0)
        return;
    conns->acks_due = false;
    loop_timer_cancel(conns->connector->loop, &conns->ack_timer);
}

/* Writes what this turn produced. Closing a connection meanwhile may add others, or it again. */
static void on_turn_end(void *arg)
{
    struct conns *conns = arg;
    struct conn *c;

    while ((c = conns->turn) != NULL) {
        conns->turn = c->turn_next;
        c->turn_next = NULL;
        c->turn_flags &= (uint8_t)~TURN_FLUSH;
        if (c->state != CONN_CLOSED)
            conn_flush(c);
    }
    if (conns->ack_count > 0)
        send_acks(conns);
    session_resume_stalled(conns->connector);
    if (conns->ready_count == 0) /* else conns_run_ready does it */
        conns->connector->tls_steps = TLS_STEPS_PER_TURN;
}

int conns_create(struct connector *connector)
{
    struct conns *conns = calloc(1, sizeof(*conns));
    int r;

    if (conns == NULL)
        return ERR_NO_MEMORY;
    conns->connector = connector;
    connector->tls_steps = TLS_STEPS_PER_TURN;
    conn_lists_init(&conns->lists);
    TAILQ_INIT(&conns->ready);
    conns->run_ready.fn = conns_run_ready;
    conns->run_ready.arg = conns;
    conns->reap.destroy = on_reap;
    timer_init(&conns->ack_timer, on_ack_timer);
    r = loop_hook_add(connector->loop, on_turn_end, conns);
    if (r < 0) {
        free(conns);
        return r;
    }
    connector->conns = conns;
    return 0;
}

static void say_going_away(struct conn *c)
{
    if (c->transport.ops->going_away != NULL)
        c->transport.ops->going_away(&c->transport);
}

void conns_destroy(struct conns *conns)
{
    if (conns == NULL)
        return;
    for (uint32_t i = 0; i < conns->chunk_count * CHUNK_SLOTS; i++) {
        struct conn *c = &conns->chunks[i / CHUNK_SLOTS][i % CHUNK_SLOTS];

        if (c->state != CONN_FREE && c->state != CONN_CLOSED) {
            say_going_away(c);
            loop_timer_cancel(conns->connector->loop, &c->timer);
            loop_io_remove(conns->connector->loop, c->io);
            c->transport.ops->close(&c->transport);
        }
        free_buffers(c);
    }
    loop_unpost(conns->connector->loop, &conns->run_ready);
    loop_timer_cancel(conns->connector->loop, &conns->ack_timer);
    free(conns->acks);
    for (uint32_t i = 0; i < conns->chunk_count; i++)
        free(conns->chunks[i]);
    free(conns->chunks);
    free(conns);
}

uint32_t conns_open_count(const struct conns *conns)
{
    uint32_t count = 0;

    for (unsigned state = CONN_AWAIT_CONNECT; state <= CONN_DRAINING; state++)
        count += conns->lists.count[state];
    return count;
}

static int add_chunk(struct conns *conns)
{
    struct conn **chunks;
    struct conn *chunk = calloc(CHUNK_SLOTS, sizeof(*chunk));

    if (chunk == NULL)
        return ERR_NO_MEMORY;
    chunks = realloc(conns->chunks, (conns->chunk_count + 1) * sizeof(struct conn *));
    if (chunks == NULL) {
        free(chunk);
        return ERR_NO_MEMORY;
    }
    conns->chunks = chunks;
    for (uint32_t i = 0; i < CHUNK_SLOTS; i++) {
        chunk[i].slot = conns->chunk_count * CHUNK_SLOTS + i;
        conn_enter_free(&conns->lists, &chunk[i]);
    }
    chunks[conns->chunk_count++] = chunk;
    return 0;
}

/* A free slot, reset. */
static struct conn *take_slot(struct conns *conns)
{
    struct conn_list *free_list = &conns->lists.in[CONN_FREE];
    struct conn *c = TAILQ_FIRST(free_list);

    /* A slot whose generations are used up stays at the front only if all others are in use. */
    if ((c == NULL || c->generation == UINT32_MAX) && add_chunk(conns) == 0)
        c = TAILQ_LAST(free_list, conn_list);
    if (c == NULL || c->generation == UINT32_MAX)
        return NULL;
    *c = (struct conn){
        .connector = conns->connector,
        .slot = c->slot,
        .generation = c->generation + 1,
        .owner = BROKER_NONE,
        .stalled_for = BROKER_NONE,
        .state = CONN_FREE,
        .state_link = c->state_link,
        .reading = true,
    };
    return c;
}

int conn_accept(struct conns *conns, const struct door *door, int fd,
                const struct peer_address *peer)
{
    struct connector *connector = conns->connector;
    struct conn *c = take_slot(conns);
    int r;

    if (c == NULL) {
        close(fd);
        return ERR_NO_MEMORY;
    }
    c->peer = *peer;
    r = door_open(door, connector, fd, &c->peer, &c->transport);
    if (r < 0)
        return r;
    timer_init(&c->timer, keepalive_on_timer);
    r = loop_io_add(connector->loop, fd, c->transport.ops->want(&c->transport, true, false),
                    conn_on_io, c, &c->io);
    if (r < 0) {
        c->transport.ops->close(&c->transport);
        return r;
    }
    conn_set_state(&conns->lists, c, CONN_AWAIT_CONNECT);
    loop_timer_add(connector->loop, &c->timer, connector->options.connect_timeout_ms);
    return 0;
}

uint64_t conn_handle(const struct conn *c)
{
    return (uint64_t)c->generation << 32 | (c->slot + 1);
}

struct conn *conn_find(const struct conns *conns, uint64_t handle)
{
    uint32_t slot = (uint32_t)handle - 1;
    struct conn *c;

    if ((uint32_t)handle == 0 || slot / CHUNK_SLOTS >= conns->chunk_count)
        return NULL;
    c = &conns->chunks[slot / CHUNK_SLOTS][slot % CHUNK_SLOTS];
    if (c->generation != handle >> 32 || c->state == CONN_FREE || c->state == CONN_CLOSED)
        return NULL;
    return c;
}

struct conn *conn_of(const struct broker *broker, uint64_t handle)
{
    struct conn *c = conn_find(broker->brokers->connector->conns, handle);

    return c != NULL && c->owner == broker->slot ? c : NULL;
}

void conn_flush_later(struct conn *c)
{
    struct conns *conns = c->connector->conns;

    if ((c->turn_flags & TURN_FLUSH) != 0)
        return;
    c->turn_flags |= TURN_FLUSH;
    c->turn_next = conns->turn;
    conns->turn = c;
}

static int grow_acks(struct conns *conns)
{
    uint32_t cap = conns->ack_cap == 0 ? ACKS_FIRST : conns->ack_cap * 2;
    uint64_t *acks = reallocarray(conns->acks, cap, sizeof(*acks));

    if (acks == NULL)
        return ERR_NO_MEMORY;
    conns->acks = acks;
    conns->ack_cap = cap;
    return 0;
}

void conn_ack_later(struct conn *c)
{
    struct conns *conns = c->connector->conns;

    if ((c->turn_flags & TURN_ACK) != 0)
        return;
    if (conns->ack_count == conns->ack_cap && grow_acks(conns) < 0) {
        conn_close(c, CLOSE_NO_MEMORY, NULL);
        return;
    }
    conns->acks[conns->ack_count++] = conn_handle(c);
    c->turn_flags |= TURN_ACK;
    if (c->client->receive_max < ACK_WINDOW)
        conns->acks_due = true;
    else if (!timer_armed(&conns->ack_timer))
        loop_timer_add(c->connector->loop, &conns->ack_timer, ACK_MS);
}

struct buf conn_begin(struct conn *c)
{
    return outq_begin(&c->outq);
}

void conn_end(struct conn *c, struct buf *buf)
{
    /* What waited before counts: one packet always fits, however large. */
    bool over = outq_waiting(&c->outq) > c->connector->options.queue_bytes;

    if (outq_end(&c->outq, buf) < 0)
        conn_close(c, CLOSE_NO_MEMORY, NULL);
    else if (over && conn_is_open(c))
        conn_flush(c); /* the socket may still take it: only a slow reader is closed */
    else
        conn_flush_later(c);
    if (over && conn_is_open(c) && outq_waiting(&c->outq) > c->connector->options.queue_bytes)
        conn_close(c, CLOSE_QUEUE_FULL, NULL);
}

const char *conn_reason_string(const struct conn *c, const char *text)
{
    /* The largest of CONNACK, PUBACK, DISCONNECT without its Reason String, rounded up. */
    enum { OTHER_BYTES = 64 };

    if (text == NULL || c->max_packet_bytes == 0)
        return text;
    return strlen(text) + OTHER_BYTES <= c->max_packet_bytes ? text : NULL;
}

void conn_close_now(struct conn *c)
{
    struct conns *conns = c->connector->conns;

    if (c->state == CONN_CLOSED)
        return;
    loop_timer_cancel(c->connector->loop, &c->timer);
    loop_io_forget(c->connector->loop, c->io);
    c->transport.ops->close(&c->transport);
    conn_not_ready(c);
    conn_set_state(&conns->lists, c, CONN_CLOSED);
    if (!conns->reaping) {
        conns->reaping = true;
        loop_defer_free(c->connector->loop, &conns->reap);
    }
}

static void log_close(const struct conn *c, const struct close_info *info, uint8_t mqtt_reason,
                      const struct mqtt_fault *fault)
{
    const struct log_subject subject = conn_log(c);
    uint64_t now_ms = loop_now_ms(c->connector->loop);

    if (fault != NULL && fault->clause == NULL)
        log_limited(now_ms, info->level, &subject, "%s: %s", info->text, fault->text);
    else if (fault != NULL)
        log_limited(now_ms, info->level, &subject, "%s: %s (reason 0x%02X, %s)", info->text,
                    fault->text, mqtt_reason, fault->clause);
    else if (mqtt_reason != 0)
        log_limited(now_ms, info->level, &subject, "%s (reason 0x%02X)", info->text, mqtt_reason);
    else if (info->level != LOG_DEBUG)
        log_limited(now_ms, info->level, &subject, "%s", info->text);
    else
        log_debug(&subject, "%s", info->text);
}

/* True when there is nobody to wait for: the peer is gone, or said goodbye and has all it is owed.
 */
static bool close_at_once(const struct conn *c, enum close_reason reason)
{
    bool goodbye = reason == CLOSE_CLIENT || reason == CLOSE_CLIENT_WILL;

    return reason == CLOSE_LOST ||
           (goodbye && outq_waiting(&c->outq) == 0 && !c->transport.ops->closing_handshake);
}

void conn_close(struct conn *c, enum close_reason reason, const struct mqtt_fault *fault)
{
    const struct close_info *info = &close_infos[reason];
    uint8_t mqtt_reason;
    bool was_open = conn_is_open(c);

    assert(info->mqtt_reason != FAULT || fault != NULL);
    mqtt_reason = info->mqtt_reason == FAULT ? fault->reason : info->mqtt_reason;
    if (c->state == CONN_DRAINING || c->state == CONN_CLOSED) {
        if (reason == CLOSE_LOST)
            conn_close_now(c);
        return;
    }
    log_close(c, info, mqtt_reason, fault);
    ++*(uint64_t *)(void *)((char *)&c->connector->metrics + info->counter);
    session_end(c, mqtt_reason, info->will, reason != CLOSE_KICKED);
    if (close_at_once(c, reason)) {
        conn_close_now(c);
        return;
    }
    /* both mean that this server stops; the other one is CONNACK's word for it */
    if (mqtt_reason == MQTT_SERVER_SHUTTING_DOWN || mqtt_reason == MQTT_USE_ANOTHER_SERVER)
        say_going_away(c);
    conn_set_state(&c->connector->conns->lists, c, CONN_DRAINING);
    if (was_open && c->level == MQTT_5 && mqtt_reason != 0) {
        struct buf out = conn_begin(c);

        mqtt_put_disconnect(&out, c->level, mqtt_reason,
                            conn_reason_string(c, fault != NULL ? fault->text : NULL));
        /* Without memory the client just sees the end of the stream. */
        IGNORE_RESULT(outq_end(&c->outq, &out));
    }
    loop_timer_add(c->connector->loop, &c->timer, LINGER_MS);
    conn_flush_later(c);
}

void conn_close_explained(struct conn *c, enum close_reason reason)
{
    char text[EXPLAIN_BYTES];
    const struct mqtt_fault fault = {.text = text};

    c->transport.ops->explain(&c->transport, text, sizeof(text));
    conn_close(c, reason, text[0] != '\0' ? &fault : NULL);
}

static size_t describe(const void *object, char *buf, size_t size)
{
    const struct conn *c = object;
    char address[INET6_ADDRSTRLEN] = "?", text[INET6_ADDRSTRLEN + 16];
    size_t used;

    snprintf(text, sizeof(text), "%llu", (unsigned long long)conn_handle(c));
    used = log_kv(buf, size, 0, "id", text);
    inet_ntop(c->peer.family, c->peer.octets, address, sizeof(address));
    snprintf(text, sizeof(text), c->peer.family == AF_INET6 ? "[%s]:%u" : "%s:%u", address,
             c->peer.port);
    used = log_kv(buf, size, used, "peer", text);
    if (c->client != NULL) {
        used = log_kv(buf, size, used, "client", c->client->names + c->client->user_len + 1);
        used = log_kv(buf, size, used, "user", c->client->names);
    }
    return used;
}

struct log_subject conn_log(const struct conn *c)
{
    return (struct log_subject){.describe = describe, .object = c};
}
