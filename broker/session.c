/* session - making, finding and ending connections. The record handlers are in session_handlers.c.
 */
#include "broker/session.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/inbox.h"
#include "broker/retention.h"
#include "broker/session_internal.h"
#include "broker/store.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

/* MQTT 5.0 section 2.4 */
#define SESSION_TAKEN_OVER 0x8E

struct sessions {
    struct hash by_conn;
    struct hash parked; /* connections whose OPEN or ANNOUNCE waits for its user */
    uint32_t counter;   /* of this generation's epochs */
};

struct parked_conn {
    struct hash_node node;
    uint64_t peer, conn;
    struct user *user; /* in memory as long as something is parked on it */
};

int sessions_create(struct broker *broker)
{
    broker->sessions = calloc(1, sizeof(*broker->sessions));
    return broker->sessions ? 0 : ERR_NO_MEMORY;
}

static void free_node(struct hash_node *node, void *arg)
{
    struct sessions *sessions = arg;
    struct session *session = CONTAINER_OF(node, struct session, node);

    hash_remove(&sessions->by_conn, node);
    will_destroy(session->will);
    free(session);
}

static void free_parked(struct hash_node *node, void *arg)
{
    struct sessions *sessions = arg;

    hash_remove(&sessions->parked, node);
    free(CONTAINER_OF(node, struct parked_conn, node));
}

void sessions_destroy(struct broker *broker)
{
    if (!broker->sessions)
        return;
    hash_each(&broker->sessions->by_conn, free_node, broker->sessions);
    hash_fini(&broker->sessions->by_conn);
    hash_each(&broker->sessions->parked, free_parked, broker->sessions);
    hash_fini(&broker->sessions->parked);
    free(broker->sessions);
    broker->sessions = NULL;
}

struct conn_key {
    uint64_t peer_id, conn;
};

static bool match(const struct hash_node *node, const void *key)
{
    const struct session *session = CONTAINER_OF(node, const struct session, node);
    const struct conn_key *k = key;

    return session->peer->id == k->peer_id && session->conn == k->conn;
}

static uint64_t conn_hash(uint64_t peer_id, uint64_t conn)
{
    return hash_u64(conn ^ hash_u64(peer_id));
}

struct session *session_find(struct broker *broker, const struct peer *peer, uint64_t conn)
{
    struct conn_key key = {.peer_id = peer->id, .conn = conn};
    struct hash_node *node =
        hash_find(&broker->sessions->by_conn, conn_hash(peer->id, conn), match, &key);

    return node ? CONTAINER_OF(node, struct session, node) : NULL;
}

static bool match_parked(const struct hash_node *node, const void *key)
{
    const struct parked_conn *parked = CONTAINER_OF(node, const struct parked_conn, node);
    const struct conn_key *k = key;

    return parked->peer == k->peer_id && parked->conn == k->conn;
}

static struct parked_conn *find_parked(struct broker *broker, uint64_t peer_id, uint64_t conn)
{
    struct conn_key key = {.peer_id = peer_id, .conn = conn};
    struct hash_node *node =
        hash_find(&broker->sessions->parked, conn_hash(peer_id, conn), match_parked, &key);

    return node ? CONTAINER_OF(node, struct parked_conn, node) : NULL;
}

struct user *session_parked_on(struct broker *broker, const struct peer *peer, uint64_t conn)
{
    const struct parked_conn *parked =
        broker->sessions->parked.count > 0 ? find_parked(broker, peer->id, conn) : NULL;

    return parked ? parked->user : NULL;
}

int session_park(struct broker *broker, struct peer *peer, uint64_t conn, struct user *user,
                 struct bytes raw)
{
    struct parked_conn *parked = find_parked(broker, peer->id, conn);
    int r = user_park(broker, user, peer->id, raw);

    if (r < 0 || parked)
        return r;
    parked = calloc(1, sizeof(*parked));
    if (!parked)
        return 0; /* the record waits all the same; only what follows it may come too early */
    parked->peer = peer->id;
    parked->conn = conn;
    parked->user = user;
    r = hash_insert(&broker->sessions->parked, &parked->node, conn_hash(peer->id, conn));
    if (r < 0)
        free(parked);
    return 0;
}

void session_unpark(struct broker *broker, uint64_t peer_id, uint64_t conn)
{
    struct parked_conn *parked = find_parked(broker, peer_id, conn);

    if (!parked)
        return;
    hash_remove(&broker->sessions->parked, &parked->node);
    free(parked);
}

uint64_t session_next_epoch(struct broker *broker)
{
    return broker->generation << 32 | ++broker->sessions->counter;
}

void session_set_state(struct broker *broker, struct session *session, uint8_t state,
                       uint32_t lease_s)
{
    session->state = state;
    session->doubtful = false;
    session->lease_until_ms = 0;
    if (state == WIRE_BACKGROUND)
        session->lease_until_ms =
            loop_now_ms(broker->loop) +
            (uint64_t)(lease_s ? lease_s : broker->options.background_lease_s) * 1000;
}

struct session *session_add(struct broker *broker, struct peer *peer, struct device *device,
                            const struct wire_open *open)
{
    struct session *session = calloc(1, sizeof(*session));
    uint32_t window = broker->options.inbox_window;

    if (!session)
        return NULL;
    session->peer = peer;
    session->device = device;
    session->conn = open->conn;
    session_set_state(broker, session, open->state, open->lease_s);
    session->window = open->receive_max < window ? open->receive_max : window;
    session->expiry_s = open->session_expiry_s < broker->options.session_max_expiry_s
                            ? open->session_expiry_s
                            : broker->options.session_max_expiry_s;
    if (open->will.present) {
        session->will = will_create(broker, &open->will, user_id(device->user),
                                    bytes_of(device->id, device->id_len));
        if (!session->will)
            goto fail;
    }
    if (hash_insert(&broker->sessions->by_conn, &session->node, conn_hash(peer->id, open->conn)) <
        0)
        goto fail;
    TAILQ_INSERT_TAIL(&peer->sessions, session, peer_link);
    device->session = session;
    user_pin(broker, device->user);
    broker->metrics.sessions_opened++;
    return session;
fail:
    will_destroy(session->will);
    free(session);
    return NULL;
}

/* --- the end of a connection --- */

void session_closed(struct broker *broker, uint64_t peer_id, uint64_t conn)
{
    struct peer *peer = bus_peer(broker, peer_id);

    if (peer)
        wire_put_conn(bus_out(broker, peer), WIRE_CLOSED, &(struct wire_conn){.conn = conn});
}

static void on_end_stored(struct broker *broker, struct store_op *op)
{
    session_closed(broker, op->arg_peer, op->arg_conn);
}

/* Rides in the next batch, which takes the device's cursors with it. Without memory nobody is told:
 * the connector keeps what it knows for the next link. */
static void record_end(struct broker *broker, struct device *device, enum store_op_type type,
                       uint32_t expiry_s, uint64_t peer, uint64_t conn)
{
    struct store_op *op = store_op_create(type, device->user, device);

    if (!op) {
        log_limited(loop_now_ms(broker->loop), LOG_ERROR, NULL,
                    "out of memory, the end of a session is not recorded: user=%s device=%s",
                    device->user->id, device->id);
        return;
    }
    op->expiry_s = expiry_s;
    if (peer != 0) {
        op->done = on_end_stored;
        op->arg_peer = peer;
        op->arg_conn = conn;
    }
    store_op_add(broker, op);
}

void session_closed_when_stored(struct broker *broker, struct device *device, uint64_t peer,
                                uint64_t conn)
{
    if (device->no == 0) /* it has no cursors */
        session_closed(broker, peer, conn);
    else
        record_end(broker, device, STORE_NOTHING, 0, peer, conn);
}

void session_leave(struct broker *broker, struct device *device, uint32_t expiry_s, uint64_t peer,
                   uint64_t conn)
{
    if (expiry_s == 0)
        device_clear_subscriptions(device);
    if (!device->session_stored) {
        if (peer != 0)
            session_closed_when_stored(broker, device, peer, conn);
        return;
    }
    device->session_stored = expiry_s > 0;
    device->session_expiry_s = expiry_s;
    device->session_expires_at_ms =
        expiry_s > 0 ? retention_now_ms(broker) + (uint64_t)expiry_s * 1000 : 0;
    record_end(broker, device, expiry_s > 0 ? STORE_SESSION_LEAVE : STORE_SESSION_CLEAR, expiry_s,
               peer, conn);
}

void session_end(struct broker *broker, struct session *session,
                 const struct session_ending *ending)
{
    struct device *device = session->device;
    struct user *user = device->user;
    uint64_t peer_id = session->peer->id;
    uint32_t expiry_s = ending->keep_session ? session->expiry_s : ending->expiry_s;

    hash_remove(&broker->sessions->by_conn, &session->node);
    TAILQ_REMOVE(&session->peer->sessions, session, peer_link);
    device->session = NULL;
    inbox_connection_lost(broker, device);
    if (!ending->superseded)
        session_leave(broker, device, expiry_s, ending->asked ? peer_id : 0, session->conn);
    if (ending->send_will && session->will)
        will_start(broker, device, &session->will, ending->asked ? peer_id : 0, session->conn,
                   ending->will_mid, expiry_s);
    will_destroy(session->will);
    free(session);
    device_release(broker, device);
    user_unpin(broker, user);
}

void session_take_over(struct broker *broker, struct session *old, bool clean_start)
{
    struct session_ending ending = {.superseded = true, .keep_session = true};

    broker->metrics.takeovers++;
    bus_kick(broker, old->peer, old->conn, SESSION_TAKEN_OVER);
    /* MQTT 5.0 section 3.1.4: the older connection's Will is due, unless the session goes on and
     * the Will Delay is not over. */
    ending.send_will = old->will && (clean_start || old->will->delay_s == 0);
    session_end(broker, old, &ending);
}

void sessions_mark_stale(struct peer *peer)
{
    struct session *session;

    TAILQ_FOREACH(session, &peer->sessions, peer_link)
    session->stale = session->unlinked = true;
}

void sessions_drop_stale(struct broker *broker, struct peer *peer)
{
    struct session *session, *next;
    /* it was closed while there was no link; a Will that is due came as WIRE_WILL */
    const struct session_ending ending = {.keep_session = true};

    for (session = TAILQ_FIRST(&peer->sessions); session; session = next) {
        next = TAILQ_NEXT(session, peer_link);
        if (session->stale)
            session_end(broker, session, &ending);
    }
}

void sessions_lose_all(struct broker *broker, struct peer *peer)
{
    const struct session_ending ending = {.keep_session = true, .send_will = true};
    struct session *session;

    while ((session = TAILQ_FIRST(&peer->sessions)))
        session_end(broker, session, &ending);
}

void sessions_forget(struct broker *broker, struct user *user)
{
    struct device *device;

    TAILQ_FOREACH(device, &user->devices, link)
    {
        struct session *session = device->session;

        inbox_forget_flights(device);
        if (!session)
            continue;
        hash_remove(&broker->sessions->by_conn, &session->node);
        TAILQ_REMOVE(&session->peer->sessions, session, peer_link);
        device->session = NULL;
        will_destroy(session->will);
        free(session);
    }
}
