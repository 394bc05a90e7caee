/* bus - see the header and docs/wire.md.
 *
 * Records of a turn are collected in one frame a peer, because a ZeroMQ message costs more than the
 * records in it. ROUTER_MANDATORY tells us when a peer's pipe is full (the frame waits and is tried
 * again) or gone (the peer is dead at once, no need to wait for its heartbeat). */
#include "broker/bus.h"

#include "broker/broker.h"
#include "broker/bus_peer.h"
#include "broker/bus_socket.h"
#include "broker/dispatch.h"
#include "broker/ownership.h"
#include "broker/store.h"
#include "common/auto.h"
#include "common/link/link.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <zmq.h>

/* Frames read in one turn: bounds the work before batches go out; a frame may hold thousands of
 * records, so this is not the limit of throughput. */
#define FRAMES_PER_TURN 64
/* Silent heartbeat intervals after which a link is dead. docs/wire.md */
#define SILENT_INTERVALS 3
/* How soon a frame that could not be sent is tried again. */
#define RETRY_MS 5
#define KEY_GONE "this connector's key is not among listen.curve.clients any more"

struct bus {
    struct broker *broker;
    struct bus_socket socket;
    struct curve_config curve;
    struct peers peers;
    struct peer_list out; /* peers with a frame to send */
    bool doomed;          /* some peer is */
    struct timer heartbeat, retry;
    uint8_t instance[WIRE_INSTANCE_SIZE];
};

struct bus_counts bus_counts(const struct broker *broker)
{
    struct bus_counts counts = {0};
    const struct peer *peer;
    const struct session *session;

    TAILQ_FOREACH(peer, &broker->bus->peers.list, link)
    {
        counts.connectors += peer->kind == WIRE_PEER_CONNECTOR;
        counts.brokers += peer->kind == WIRE_PEER_BROKER;
        TAILQ_FOREACH(session, &peer->sessions, peer_link)
        counts.sessions++;
    }
    return counts;
}

struct peer *bus_peer(struct broker *broker, uint64_t id)
{
    return id == 0 ? NULL : peers_by_id(&broker->bus->peers, id);
}

struct buf *bus_out(struct broker *broker, struct peer *peer)
{
    if (peer->out.len == 0)
        wire_begin(&peer->out, broker->generation);
    if (!peer->out_queued) {
        peer->out_queued = true;
        TAILQ_INSERT_TAIL(&broker->bus->out, peer, out_link);
    }
    return &peer->out;
}

void bus_published(struct broker *broker, uint64_t peer_id, uint64_t token, uint8_t reason)
{
    struct peer *peer = bus_peer(broker, peer_id);

    if (peer)
        wire_put_published(bus_out(broker, peer),
                           &(struct wire_published){.token = token, .reason = reason});
}

void bus_published_as(struct broker *broker, uint64_t peer_id, uint64_t token,
                      const struct mid *stored)
{
    struct peer *peer = bus_peer(broker, peer_id);

    if (peer)
        wire_put_published(
            bus_out(broker, peer),
            &(struct wire_published){.token = token, .has_stored = true, .stored = *stored});
}

void bus_kick(struct broker *broker, struct peer *peer, uint64_t conn, uint8_t reason)
{
    wire_put_kick(bus_out(broker, peer), &(struct wire_kick){.conn = conn, .reason = reason});
}

/* --- sending --- */

/* 0 sent; ERR_AGAIN full; ERR_CLOSED the routing id is unknown to the socket. */
static int send_frame(struct bus *bus, struct bytes routing_id, const struct buf *frame)
{
    zwatch_sent(bus->socket.watch);
    if (zmq_send(bus->socket.router, routing_id.data, routing_id.len, ZMQ_SNDMORE | ZMQ_DONTWAIT) <
        0)
        return errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
    return zmq_send(bus->socket.router, frame->data, frame->len, ZMQ_DONTWAIT) < 0 ? ERR_CLOSED : 0;
}

static void refuse(struct bus *bus, struct bytes routing_id, enum wire_refusal reason,
                   const char *text);

static void unqueue(struct bus *bus, struct peer *peer)
{
    if (peer->out_queued) {
        peer->out_queued = false;
        TAILQ_REMOVE(&bus->out, peer, out_link);
    }
}

static void lose_peer(struct bus *bus, struct peer *peer, const char *why)
{
    struct log_subject s = peer_log(peer);

    /* a peer without clients harms nobody by going: a health check, a connector that ended well */
    log_line(TAILQ_EMPTY(&peer->sessions) ? LOG_INFO : LOG_WARNING, &s, "lost the %s: %s",
             peer_kind_name(peer), why);
    bus->broker->metrics.links_lost++;
    sessions_lose_all(bus->broker, peer);
    unqueue(bus, peer);
    peers_remove(&bus->peers, peer);
}

static void flush_peer(struct bus *bus, struct peer *peer)
{
    int r;

    if (!buf_ok(&peer->out)) {
        lose_peer(bus, peer, "out of memory for its frame");
        return;
    }
    r = send_frame(bus, bytes_of(peer->routing_id, peer->routing_id_len), &peer->out);
    if (r == ERR_AGAIN) {
        if (!timer_armed(&bus->retry))
            loop_timer_add(bus->broker->loop, &bus->retry, RETRY_MS);
        return;
    }
    if (r < 0) {
        lose_peer(bus, peer, "its connection is gone");
        return;
    }
    peer->last_sent_ms = loop_now_ms(bus->broker->loop);
    unqueue(bus, peer);
    if (peer->out.cap > 1024 * 1024)
        buf_release(&peer->out); /* a burst's memory does not stay */
    else
        buf_clear(&peer->out);
}

void bus_doom(struct broker *broker, struct peer *peer, const char *why)
{
    peer->doomed = why;
    broker->bus->doomed = true;
}

static void lose_doomed(struct bus *bus)
{
    struct peer *peer, *next;

    bus->doomed = false;
    for (peer = TAILQ_FIRST(&bus->peers.list); peer; peer = next) {
        next = TAILQ_NEXT(peer, link);
        if (!peer->doomed)
            continue;
        refuse(bus, bytes_of(peer->routing_id, peer->routing_id_len), WIRE_REFUSED_NOT_READY,
               peer->doomed);
        lose_peer(bus, peer, peer->doomed);
    }
}

/* There is something to send, and all of it is little. */
static bool little_to_send(const struct bus *bus)
{
    const struct peer *peer;

    TAILQ_FOREACH(peer, &bus->out, out_link)
    {
        if (peer->out.len >= LINK_FRAME_WORTH)
            return false;
    }
    return !TAILQ_EMPTY(&bus->out);
}

/* End of the turn. A peer that is lost while flushing may put records into frames of others that
 * were flushed already: they are in the list again and go out in the next turn, which the posted
 * retry timer guarantees. */
static void on_turn(void *arg)
{
    struct bus *bus = arg;
    struct peer *peer, *next;

    if (bus->doomed)
        lose_doomed(bus);
    if (little_to_send(bus) && loop_more(bus->broker->loop))
        return;
    for (peer = TAILQ_FIRST(&bus->out); peer; peer = next) {
        next = TAILQ_NEXT(peer, out_link);
        flush_peer(bus, peer);
    }
    if (!TAILQ_EMPTY(&bus->out) && !timer_armed(&bus->retry))
        loop_timer_add(bus->broker->loop, &bus->retry, RETRY_MS);
}

static void on_retry(struct timer *timer)
{
    (void)timer; /* waking the loop is all: on_turn sends */
}

static void on_heartbeat(struct timer *timer)
{
    struct bus *bus = CONTAINER_OF(timer, struct bus, heartbeat);
    uint64_t now = loop_now_ms(bus->broker->loop);
    uint32_t interval = bus->broker->options.heartbeat_ms;
    struct peer *peer, *next;

    loop_timer_add(bus->broker->loop, &bus->heartbeat, interval / 2);
    for (peer = TAILQ_FIRST(&bus->peers.list); peer; peer = next) {
        next = TAILQ_NEXT(peer, link);
        if (now - peer->last_heard_ms > (uint64_t)interval * SILENT_INTERVALS)
            lose_peer(bus, peer, "no heartbeat");
        else if (now - peer->last_sent_ms >= interval / 2)
            wire_put_empty(bus_out(bus->broker, peer), WIRE_PING);
    }
}

/* --- receiving --- */

/* version: of the peer's frames, which decides what it can read. */
static void refuse_version(struct bus *bus, struct bytes routing_id, uint8_t version,
                           enum wire_refusal reason, const char *text)
{
    struct buf frame = {0};
    int r;

    bus->broker->metrics.frames_refused++;
    wire_begin_refusal(&frame, version);
    wire_put_refuse(&frame, &(struct wire_refuse){.version = WIRE_VERSION,
                                                  .reason = (uint8_t)reason,
                                                  .text = bytes_of_string(text)});
    r = buf_ok(&frame) ? send_frame(bus, routing_id, &frame) : ERR_NO_MEMORY;
    buf_release(&frame);
    log_limited(loop_now_ms(bus->broker->loop), LOG_WARNING, NULL, "refused a frame: %s%s", text,
                r < 0 ? " (its sender is gone)" : "");
}

static void refuse(struct bus *bus, struct bytes routing_id, enum wire_refusal reason,
                   const char *text)
{
    refuse_version(bus, routing_id, WIRE_VERSION, reason, text);
}

static void welcome(struct bus *bus, struct peer *peer)
{
    const struct options *o = &bus->broker->options;
    const struct members *members = ownership_members(bus->broker);
    struct wire_member list[MEMBERS_MAX];
    struct wire_welcome record = {.credit = o->credit,
                                  .heartbeat_ms = o->heartbeat_ms,
                                  .name = bytes_of_string(ownership_name(bus->broker)),
                                  .members = {.generation = members->generation}};

    memcpy(record.instance, bus->instance, WIRE_INSTANCE_SIZE);
    wire_put_welcome(bus_out(bus->broker, peer), &record, list, members_list(members, list));
}

/* A new link: of a new connector, or of one that we have, whose sessions then wait to be announced.
 * key: whose it is, "" on a plain link. */
static struct peer *hello(struct bus *bus, struct bytes routing_id, const char *key,
                          const struct wire_hello *record)
{
    const char *key_name = curve_clients_find(&bus->curve.clients, key);
    struct peer *peer = peers_by_instance(&bus->peers, record->instance);
    struct log_subject s;

    /* It was allowed when its connection came; the list may be another one by now. */
    if (bus_socket_has_keys(&bus->socket) && !key_name) {
        refuse(bus, routing_id, WIRE_REFUSED_KEY, KEY_GONE);
        return NULL;
    }
    if (peer) {
        sessions_mark_stale(peer);
        buf_clear(&peer->out); /* was meant for the old link */
        if (peers_move(&bus->peers, peer, routing_id) < 0)
            return NULL;
    } else {
        peer = peers_add(&bus->peers, routing_id);
        if (!peer)
            return NULL;
        memcpy(peer->instance, record->instance, WIRE_INSTANCE_SIZE);
    }
    snprintf(peer->name, sizeof(peer->name), "%.*s", BYTES_FMT(record->name));
    snprintf(peer->key, sizeof(peer->key), "%s", key_name ? key : "");
    snprintf(peer->key_name, sizeof(peer->key_name), "%s", key_name ? key_name : "");
    peer->last_heard_ms = peer->last_sent_ms = loop_now_ms(bus->broker->loop);
    peer->kind = record->kind;
    held_fini(&peer->held); /* came over the old link */
    s = peer_log(peer);
    log_info(&s, "%s linked", peer_kind_name(peer));
    welcome(bus, peer);
    return peer;
}

static void take_records(struct bus *bus, struct peer *peer, struct bytes routing_id,
                         const char *key, struct wire_reader *reader)
{
    struct wire_record record;
    int r;

    for (;;) {
        struct bytes before = reader->rest;

        r = wire_next(reader, &record);
        if (r <= 0)
            break;
        if (record.type == WIRE_HELLO) {
            if (!store_ready(bus->broker->store)) {
                refuse(bus, routing_id, WIRE_REFUSED_NOT_READY,
                       "no database yet, or no member yet");
                return;
            }
            peer = hello(bus, routing_id, key, &record.hello);
            if (!peer)
                return;
            continue;
        }
        if (!peer) {
            refuse(bus, routing_id, WIRE_REFUSED_NO_HELLO, "a record before HELLO");
            return;
        }
        bus->broker->record_generation = reader->generation;
        if (dispatch(bus->broker, peer, &record,
                     bytes_of(before.data, before.len - reader->rest.len)) < 0) {
            r = ERR_MALFORMED;
            break;
        }
        if (peer->doomed)
            return; /* on_turn ends the link */
    }
    if (r < 0) {
        refuse(bus, routing_id, WIRE_REFUSED_MALFORMED, "malformed record");
        if (peer)
            lose_peer(bus, peer, "it sent a malformed record");
    }
}

/* True: the frame waits for a view that this broker does not have yet. */
static bool hold(struct bus *bus, struct peer *peer, uint64_t generation, struct bytes frame)
{
    if (generation <= bus->broker->generation && STAILQ_EMPTY(&peer->held.list))
        return false;
    ownership_heard(bus->broker, generation);
    if (held_add(&peer->held, frame) < 0)
        lose_peer(bus, peer, "too much of it waits for a view that could not be read");
    return true;
}

static void take_frame(struct bus *bus, struct bytes routing_id, const char *key,
                       struct bytes frame)
{
    struct peer *peer = peers_by_routing_id(&bus->peers, routing_id);
    struct wire_reader reader;
    uint8_t version = 0;
    int r = wire_open_frame(frame, &reader, &version);

    if (r == ERR_VERSION) {
        char text[96];

        snprintf(text, sizeof(text), "wire version %u, expected %u", version, WIRE_VERSION);
        refuse_version(bus, routing_id, version, WIRE_REFUSED_VERSION, text);
        return;
    }
    if (r < 0) {
        refuse(bus, routing_id, WIRE_REFUSED_MALFORMED, "not a Beckon frame");
        if (peer)
            lose_peer(bus, peer, "it sent something else than a Beckon frame");
        return;
    }
    if (peer)
        peer->last_heard_ms = loop_now_ms(bus->broker->loop);
    if (peer && peer->doomed)
        return;
    if (peer && hold(bus, peer, reader.generation, frame))
        return;
    take_records(bus, peer, routing_id, key, &reader);
}

/* The public key that the sender of part proved to have; "" on a plain link. Lives as part does. */
static const char *key_of(zmq_msg_t *part)
{
    const char *key = zmq_msg_gets(part, "User-Id");

    return key ? key : "";
}

/* One multipart message: routing id, frame. False when there is none; errno has the reason. */
static bool receive(struct bus *bus)
{
    uint8_t id[PEER_ROUTING_ID_MAX];
    int id_len = zmq_recv(bus->socket.router, id, sizeof(id), ZMQ_DONTWAIT);
    zmq_msg_t part;
    bool first = true;
    int more = 1;

    if (id_len < 0)
        return false;
    /* A message of more or fewer parts than two is not ours; it must be read to its end all the
     * same. */
    while (more) {
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, bus->socket.router, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            return true;
        }
        more = zmq_msg_more(&part);
        if (first && !more && zmq_msg_size(&part) <= BUS_FRAME_MAX_BYTES)
            take_frame(bus, bytes_of(id, (uint32_t)id_len), key_of(&part),
                       bytes_of(zmq_msg_data(&part), (uint32_t)zmq_msg_size(&part)));
        else if (first)
            refuse(bus, bytes_of(id, (uint32_t)id_len), WIRE_REFUSED_MALFORMED,
                   "not a Beckon frame");
        first = false;
        zmq_msg_close(&part);
    }
    return true;
}

static void on_readable(void *arg)
{
    struct bus *bus = arg;

    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        if (receive(bus))
            continue;
        if (errno == EAGAIN)
            zwatch_drained(bus->socket.watch);
        return;
    }
}

/* --- another view --- */

static void tell_members(struct bus *bus, struct peer *peer)
{
    const struct members *members = ownership_members(bus->broker);
    struct wire_member list[MEMBERS_MAX];

    wire_put_members(bus_out(bus->broker, peer), members->generation, list,
                     members_list(members, list));
}

void bus_view_changed(struct broker *broker, bool everything)
{
    struct bus *bus = broker->bus;
    struct peer *peer, *next;

    for (peer = TAILQ_FIRST(&bus->peers.list); peer; peer = next) {
        next = TAILQ_NEXT(peer, link);
        if (!everything) {
            tell_members(bus, peer);
            continue;
        }
        refuse(bus, bytes_of(peer->routing_id, peer->routing_id_len), WIRE_REFUSED_NOT_READY,
               "somebody else may have owned people here: announce everything again");
        lose_peer(bus, peer, "it has to announce everything again");
    }
}

static void take_held_of(struct bus *bus, struct peer *peer)
{
    struct held_frames held = peer->held;
    struct held_frame *frame;
    uint64_t id = peer->id;

    /* what is too new still, and all behind it, waits again */
    STAILQ_INIT(&held.list);
    STAILQ_CONCAT(&held.list, &peer->held.list);
    peer->held.bytes = 0;
    while ((frame = held_take(&held))) {
        if (peers_by_id(&bus->peers, id))
            take_frame(bus, bytes_of(peer->routing_id, peer->routing_id_len), peer->key,
                       bytes_of(frame->data, (uint32_t)frame->len));
        free(frame);
    }
}

void bus_take_held(struct broker *broker)
{
    struct bus *bus = broker->bus;
    struct peer *peer, *next;

    /* a peer that is lost here is the one whose frame is read, or lost by a later turn */
    for (peer = TAILQ_FIRST(&bus->peers.list); peer; peer = next) {
        next = TAILQ_NEXT(peer, link);
        if (!STAILQ_EMPTY(&peer->held.list))
            take_held_of(bus, peer);
    }
}

/* --- life cycle --- */

void bus_take_clients(struct broker *broker, struct curve_clients *clients)
{
    struct bus *bus = broker->bus;
    struct peer *peer, *next;

    memcpy(clients->brokers_key, bus->curve.clients.brokers_key, CURVE_KEY_SIZE);
    curve_clients_fini(&bus->curve.clients);
    bus->curve.clients = *clients;
    *clients = (struct curve_clients){0};
    for (peer = TAILQ_FIRST(&bus->peers.list); peer; peer = next) {
        next = TAILQ_NEXT(peer, link);
        if (curve_clients_find(&bus->curve.clients, peer->key))
            continue;
        /* Its connection is still there; what comes over it is refused as well. */
        refuse(bus, bytes_of(peer->routing_id, peer->routing_id_len), WIRE_REFUSED_KEY, KEY_GONE);
        lose_peer(bus, peer, "its key is not among listen.curve.clients any more");
    }
}

int bus_link_keys(const struct broker *broker, struct link_keys *ret_keys, struct err_text *et)
{
    const char *secret_key = broker->bus->curve.secret_key;
    struct link_keys keys = {.server_key = ""};

    if (secret_key[0] != '\0') {
        memcpy(keys.own.secret_key, secret_key, CURVE_KEY_SIZE);
        if (zmq_curve_public(keys.own.public_key, secret_key) < 0)
            return err_set(et, ERR_SYSTEM, "could not derive the public key: %s",
                           zmq_strerror(errno));
        memcpy(keys.server_key, keys.own.public_key, CURVE_KEY_SIZE);
    }
    *ret_keys = keys;
    link_keys_wipe(&keys);
    return 0;
}

bool bus_has_keys(const struct broker *broker)
{
    return bus_socket_has_keys(&broker->bus->socket);
}

int bus_create(struct broker *broker, struct curve_config *curve, struct err_text *et)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    int r;

    if (!bus) {
        curve_config_fini(curve);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    bus->curve = *curve;
    *curve = (struct curve_config){.secret_key = ""};
    bus->broker = broker;
    broker->bus = bus;
    peers_init(&bus->peers);
    TAILQ_INIT(&bus->out);
    timer_init(&bus->heartbeat, on_heartbeat);
    timer_init(&bus->retry, on_retry);
    if (getrandom(bus->instance, sizeof(bus->instance), 0) != (ssize_t)sizeof(bus->instance))
        return err_set(et, ERR_SYSTEM, "could not read random bytes");
    r = bus_socket_open(&bus->socket, broker, &bus->curve, on_readable, bus, et);
    if (r < 0)
        return r;
    r = loop_hook_add(broker->loop, on_turn, bus);
    if (r < 0)
        return err_set(et, r, "could not set up the link to connectors: %s", err_string(r));
    loop_timer_add(broker->loop, &bus->heartbeat, broker->options.heartbeat_ms / 2);
    return 0;
}

void bus_destroy(struct broker *broker)
{
    struct bus *bus = broker->bus;

    if (!bus)
        return;
    loop_timer_cancel(broker->loop, &bus->heartbeat);
    loop_timer_cancel(broker->loop, &bus->retry);
    peers_fini(&bus->peers);
    bus_socket_close(&bus->socket);
    curve_config_fini(&bus->curve);
    free(bus);
    broker->bus = NULL;
}
