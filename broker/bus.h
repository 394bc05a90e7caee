/* bus - the broker's ROUTER socket: connectors and other brokers, their heartbeats, one frame a
 * peer and turn.
 *
 * A peer is a connector process that said HELLO. Records before HELLO are refused. What is put into
 * a peer's frame during a turn is sent at its end; a frame that can't be sent yet waits and grows,
 * bounded by the windows of the peer's devices. Loop thread. */
#ifndef BECKON_BROKER_BUS_H
#define BECKON_BROKER_BUS_H

#include "broker/bus_held.h"
#include "broker/curve_config.h"
#include "broker/session.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"
#include "common/link/link_keys.h"

struct broker;

#define PEER_ROUTING_ID_MAX 255 /* ZeroMQ's limit */

struct peer {
    struct hash_node node; /* by routing id */
    TAILQ_ENTRY(peer) link;
    TAILQ_ENTRY(peer) out_link;
    uint64_t id; /* never reused; what others keep instead of a pointer */
    uint8_t instance[WIRE_INSTANCE_SIZE];
    char name[256];
    char key[CURVE_KEY_SIZE]; /* public key it proved to have; "" on a plain link */
    char key_name[64];        /* of its file, cut to fit; for logs */
    struct buf out;           /* the frame that is forming */
    struct held_frames held;  /* of a newer view than ours, and what came behind it */
    uint8_t kind;             /* enum wire_peer_kind */
    bool out_queued;
    const char *doomed; /* bus_doom */
    uint64_t last_heard_ms, last_sent_ms;
    struct session_list sessions;
    uint8_t routing_id_len;
    uint8_t routing_id[PEER_ROUTING_ID_MAX];
};

/* Takes curve, also when it fails. Binds. ERR_SYSTEM with et naming the endpoint. */
MUST_CHECK int bus_create(struct broker *broker, struct curve_config *curve, struct err_text *et);
void bus_destroy(struct broker *broker);

/* Takes another list of who may link. Who is linked and not in it any more is refused at once. */
void bus_take_clients(struct broker *broker, struct curve_clients *clients);
/* For links to other brokers, which have the same key pair: connectors know one key for all of
 * them. ERR_SYSTEM with et. The caller wipes them. */
MUST_CHECK int bus_link_keys(const struct broker *broker, struct link_keys *ret_keys,
                             struct err_text *et);
bool bus_has_keys(const struct broker *broker);

/* Another view is in force: every peer is told before anything else of it. everything: nothing that
 * was announced counts any more, the links are dropped. */
void bus_view_changed(struct broker *broker, bool everything);
/* Reads what was held back for the view that is in force now. */
void bus_take_held(struct broker *broker);

/* Nothing more is read from that peer, and its link ends with this turn, for that reason (a string
 * that lives on): it announces everything again. */
void bus_doom(struct broker *broker, struct peer *peer, const char *why);

/* NULL when that connector is gone. */
struct peer *bus_peer(struct broker *broker, uint64_t id);

/* The frame to append records to; it goes out at the end of the turn. */
struct buf *bus_out(struct broker *broker, struct peer *peer);

/* Who is linked to this broker, and the sessions of all of them. */
struct bus_counts {
    unsigned connectors, brokers, sessions;
};
struct bus_counts bus_counts(const struct broker *broker);

/* Shorthands for answers. */
void bus_published(struct broker *broker, uint64_t peer_id, uint64_t token, uint8_t reason);
/* The same: the message is stored under that MID, its KEY was used before. */
void bus_published_as(struct broker *broker, uint64_t peer_id, uint64_t token,
                      const struct mid *stored);
void bus_kick(struct broker *broker, struct peer *peer, uint64_t conn, uint8_t reason);

/* "connector", "broker" or "probe", for logs. */
const char *peer_kind_name(const struct peer *peer);
struct log_subject peer_log(const struct peer *peer);

#endif
