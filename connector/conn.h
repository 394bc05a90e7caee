/* conn - one client connection: its object, where it lives, how it ends.
 *
 * Connections live in chunks of slots that are reused and never freed. The outside names one by its
 * handle (generation << 32 | slot + 1), which is never reused while the process lives: what the
 * broker sends for a connection that is gone finds nothing. Closed is not freed: conn_close only
 * ends a connection; its memory is taken back at the end of the turn, so callers up the stack may
 * still look at its state. Loop thread only.
 *
 * An idle connection owns no buffer: `in` exists while a packet is incomplete or waits, outq and
 * inflight while something is to be sent or acknowledged. */
#ifndef BECKON_CONNECTOR_CONN_H
#define BECKON_CONNECTOR_CONN_H

#include "common/bytes.h"
#include "common/log.h"
#include "common/loop.h"

#include "connector/brokers.h"
#include "connector/bucket.h"
#include "connector/conn_state.h"
#include "connector/connector.h"
#include "connector/held.h"
#include "connector/inflight.h"
#include "connector/mqtt_codec.h"
#include "connector/outq.h"
#include "connector/peer_address.h"
#include "connector/pubacks.h"
#include "connector/transport.h"
#include "connector/will.h"

enum close_reason {
#define CLOSE(name, mqtt_reason, will, level, counter, text) CLOSE_##name,
#include "connector/close_reasons.def"
#undef CLOSE
    CLOSE_REASON_COUNT
};

/* Who is connected: made by a good CONNECT. One allocation, exactly as large as the names need. */
struct client {
    uint64_t epoch; /* 0 until the session is open */
    uint64_t token_issued_s;
    uint64_t token_expires_s;
    uint64_t lease_until_ms;  /* background: when the time granted by the client's system is over;
                                 0 = the client did not say */
    struct inflight notified; /* what was PUBLISHed on inbox/notify/... */
    struct will *will;        /* owned; NULL = none, or handed on */
    struct held *held;        /* what has to wait to be PUBLISHed; NULL = nothing */
    struct bucket publishes;  /* how many it may publish; limits.h */
    uint64_t too_fast_since_ms, too_fast_last_ms; /* when a publish was refused for that */
    uint32_t session_expiry_s;                    /* asked for; once open: granted */
    uint32_t lease_s;                             /* as the client said it last */
    uint32_t unanswered;                          /* of its requests, by any broker */
    uint16_t receive_max;
    uint16_t keep_alive_s; /* in force; 0 = none */
    uint8_t device_state;  /* enum wire_device_state */
    bool clean_start, service;
    bool doubtful;           /* the broker, or the end of the lease, says so: its next packet is
                                reported */
    bool asked_expiry;       /* CONNECT's Session Expiry Interval was above 0 */
    bool keep_alive_changed; /* it is not what CONNECT asked for */
    uint8_t user_len, device_len;
    char names[]; /* user, NUL, device, NUL */
};
_Static_assert(sizeof(struct client) <= 128, "struct client is over its budget");

/* The one subscription a session can hold: inbox/#. */
struct inbox_subscription {
    uint32_t id; /* Subscription Identifier, 0 = none */
    bool active;
    uint8_t qos, options;
};

enum turn_flag {                 /* what the end of a turn has to do for a connection */
                 TURN_FLUSH = 1, /* outq has to be written: on the list of this turn */
                 TURN_ACK = 2    /* the broker has to be told what was acknowledged: in acks */
};

/* The budget. 100,000 idle connections are 25 MB here plus a client (some 100 bytes) each; the
 * kernel's socket costs several times that. Pointer-sized and hot fields first. */
#define CONN_BUDGET 256

struct conn {
    struct connector *connector;
    struct transport transport;
    loop_id io;
    uint32_t slot, generation;
    TAILQ_ENTRY(conn) state_link; /* conn_state.c */
    TAILQ_ENTRY(conn) ready_link; /* has input to handle without waiting for the socket */
    struct conn *turn_next;       /* valid while TURN_FLUSH is set */
    struct timer timer;           /* what the state waits for: keepalive.c */
    uint64_t last_seen_ms;        /* last whole packet */
    uint8_t *in;                  /* whole and incomplete packets not handled yet, or NULL */
    uint32_t in_len, in_cap;
    struct outq outq;
    struct client *client;   /* NULL before a good CONNECT */
    struct pubacks *pubacks; /* owed to the client; NULL when none is */
    uint64_t last_request;   /* token of the newest of those that end with its session, 0 = none */
    struct inflight inflight;
    struct inbox_subscription inbox;
    uint32_t max_packet_bytes; /* the client's limit, 0 = none */
    struct peer_address peer;
    uint8_t state; /* enum conn_state; written by conn_set_state only */
    uint8_t level; /* enum mqtt_level, 0 before CONNECT */
    uint8_t turn_flags;
    uint8_t owner;       /* slot of its person's broker, BROKER_NONE before there is one */
    uint8_t stalled_for; /* CONN_STALLED: slot of the broker that has too much */
    bool ready : 1;      /* on the ready list */
    bool reading : 1;    /* epoll watches for input */
    bool writing : 1;    /* epoll watches for room to write */
    bool finished : 1;   /* the transport was told that no more follows */
    bool terse : 1; /* MQTT 5 Request Problem Information 0: no Reason String in acknowledgements */
};
_Static_assert(sizeof(struct conn) <= CONN_BUDGET, "struct conn is over its budget");

struct conns {
    struct connector *connector;
    struct conn **chunks;
    uint32_t chunk_count;
    struct conn_lists lists;
    struct conn_list ready;
    uint32_t ready_count;
    struct conn *turn; /* singly linked through turn_next */
    uint64_t *acks;    /* handles of connections with TURN_ACK, some closed meanwhile */
    uint32_t ack_count, ack_cap;
    struct timer ack_timer;
    bool acks_due; /* they have waited long enough */
    struct loop_task run_ready;
    struct loop_garbage reap;
    bool reaping; /* reap is waiting for the end of the turn */
};

MUST_CHECK int conns_create(struct connector *connector);
/* Closes descriptors and frees everything; tells nobody. */
void conns_destroy(struct conns *conns);
/* Connections that hold a descriptor. */
uint32_t conns_open_count(const struct conns *conns);

/* Takes fd (closed on failure too), which came in by that door, and waits for its CONNECT. 0;
 * ERR_NO_MEMORY, ERR_SYSTEM. */
MUST_CHECK int conn_accept(struct conns *conns, const struct door *door, int fd,
                           const struct peer_address *peer);
uint64_t conn_handle(const struct conn *c);
/* NULL when that connection is gone. */
struct conn *conn_find(const struct conns *conns, uint64_t handle);

/* The same for what a broker says: NULL as well when another one owns that connection's person. */
struct conn *conn_of(const struct broker *broker, uint64_t handle);

/* CONNACK 0 was sent and the session is not over. */
static inline bool conn_is_open(const struct conn *c)
{
    return c->state >= CONN_ACTIVE && c->state <= CONN_LEAVING;
}

/* To tell its owner something; NULL without a link to it. As broker_frame. */
static inline struct buf *conn_frame(const struct conn *c)
{
    return broker_frame(brokers_at(c->connector->brokers, c->owner));
}

static inline struct bytes client_user(const struct client *client)
{
    return bytes_of(client->names, client->user_len);
}

static inline struct bytes client_device(const struct client *client)
{
    return bytes_of(client->names + client->user_len + 1, client->device_len);
}

/* Ends the connection. Ends its session towards the broker, says DISCONNECT where the reason and
 * the protocol version call for it, and closes the socket once that is written and the peer has
 * closed too (or at once when the peer is lost). fault may be NULL unless the reason's table entry
 * says FAULT. No effect on a connection that is draining or closed, except that a LOST one is
 * closed at once. */
void conn_close(struct conn *c, enum close_reason reason, const struct mqtt_fault *fault);
/* The same for a reason without a reason code of MQTT, with what the transport has to say in the
 * log. */
void conn_close_explained(struct conn *c, enum close_reason reason);
/* The timer of a draining connection: the peer had its time. */
void conn_close_now(struct conn *c);

/* Appends to the client's output: give what conn_begin returned back to conn_end at once.
 * conn_end closes a client that lets more than its share wait. */
struct buf conn_begin(struct conn *c);
void conn_end(struct conn *c, struct buf *buf);
/* text, or NULL when the client's Maximum Packet Size leaves no room for it. */
const char *conn_reason_string(const struct conn *c, const char *text);
/* Its output is written at the end of the turn. */
void conn_flush_later(struct conn *c);
/* The broker is told what the client acknowledged, with the next frame or in a few milliseconds. */
void conn_ack_later(struct conn *c);

/* For log calls: names the connection, and the client once it is known. Valid while c is. */
struct log_subject conn_log(const struct conn *c);

/* conn_io.c: input and output. */

/* True when a packet of this client would be handled now. */
bool conn_can_read(const struct conn *c);
void conn_on_io(void *arg, uint32_t events);
/* Something that kept this connection from being read is over, or just came up. */
void conn_update_reading(struct conn *c);
/* Takes it off the ready list. */
void conn_not_ready(struct conn *c);
/* Writes what waits. End of the turn. */
void conn_flush(struct conn *c);
/* Handles leftover input of the connections on the ready list. */
void conns_run_ready(void *arg);

#endif
