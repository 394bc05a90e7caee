/* bus_peer - the list of connectors: found by routing id, by id, by instance; heartbeats. Used by
 * bus.c only. */
#ifndef BECKON_BROKER_BUS_PEER_H
#define BECKON_BROKER_BUS_PEER_H

#include "broker/bus.h"

TAILQ_HEAD(peer_list, peer);

struct peers {
    struct hash by_routing_id;
    struct peer_list list;
    uint64_t next_id;
};

void peers_init(struct peers *peers);
void peers_fini(struct peers *peers);
struct peer *peers_by_routing_id(const struct peers *peers, struct bytes routing_id);
struct peer *peers_by_id(const struct peers *peers, uint64_t id);
struct peer *peers_by_instance(const struct peers *peers, const uint8_t *instance);
/* NULL when out of memory. */
struct peer *peers_add(struct peers *peers, struct bytes routing_id);
/* The connector made a new link: same peer, other routing id. */
MUST_CHECK int peers_move(struct peers *peers, struct peer *peer, struct bytes routing_id);
/* Frees peer; its sessions are gone already. */
void peers_remove(struct peers *peers, struct peer *peer);

#endif
