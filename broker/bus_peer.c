/* bus_peer - see the header. A broker has some hundred connectors: looking one up by id or instance
 * walks the list. */
#include "broker/bus_peer.h"

#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

void peers_init(struct peers *peers)
{
    memset(peers, 0, sizeof(*peers));
    TAILQ_INIT(&peers->list);
    peers->next_id = 1;
}

void peers_fini(struct peers *peers)
{
    struct peer *peer;

    while ((peer = TAILQ_FIRST(&peers->list)))
        peers_remove(peers, peer);
    hash_fini(&peers->by_routing_id);
}

static bool match(const struct hash_node *node, const void *key)
{
    const struct peer *peer = CONTAINER_OF(node, const struct peer, node);

    return bytes_equal(bytes_of(peer->routing_id, peer->routing_id_len),
                       *(const struct bytes *)key);
}

struct peer *peers_by_routing_id(const struct peers *peers, struct bytes routing_id)
{
    struct hash_node *node = hash_find(
        &peers->by_routing_id, hash_bytes(routing_id.data, routing_id.len), match, &routing_id);

    return node ? CONTAINER_OF(node, struct peer, node) : NULL;
}

struct peer *peers_by_id(const struct peers *peers, uint64_t id)
{
    struct peer *peer;

    TAILQ_FOREACH(peer, &peers->list, link)
    {
        if (peer->id == id)
            return peer;
    }
    return NULL;
}

struct peer *peers_by_instance(const struct peers *peers, const uint8_t *instance)
{
    struct peer *peer;

    TAILQ_FOREACH(peer, &peers->list, link)
    {
        if (memcmp(peer->instance, instance, WIRE_INSTANCE_SIZE) == 0)
            return peer;
    }
    return NULL;
}

static int insert(struct peers *peers, struct peer *peer, struct bytes routing_id)
{
    peer->routing_id_len = (uint8_t)routing_id.len;
    memcpy(peer->routing_id, routing_id.data, routing_id.len);
    return hash_insert(&peers->by_routing_id, &peer->node,
                       hash_bytes(routing_id.data, routing_id.len));
}

struct peer *peers_add(struct peers *peers, struct bytes routing_id)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return NULL;
    TAILQ_INIT(&peer->sessions);
    held_init(&peer->held);
    if (insert(peers, peer, routing_id) < 0) {
        free(peer);
        return NULL;
    }
    peer->id = peers->next_id++;
    TAILQ_INSERT_TAIL(&peers->list, peer, link);
    return peer;
}

int peers_move(struct peers *peers, struct peer *peer, struct bytes routing_id)
{
    hash_remove(&peers->by_routing_id, &peer->node);
    return insert(peers, peer, routing_id);
}

void peers_remove(struct peers *peers, struct peer *peer)
{
    hash_remove(&peers->by_routing_id, &peer->node);
    TAILQ_REMOVE(&peers->list, peer, link);
    buf_release(&peer->out);
    held_fini(&peer->held);
    free(peer);
}

static size_t describe(const void *object, char *buf, size_t size)
{
    const struct peer *peer = object;

    size_t len = log_kv(buf, size, 0, "peer", peer->name);

    return peer->key[0] != '\0' ? log_kv(buf, size, len, "key", peer->key_name) : len;
}

const char *peer_kind_name(const struct peer *peer)
{
    static const char *const names[] = {[WIRE_PEER_CONNECTOR] = "connector",
                                        [WIRE_PEER_BROKER] = "broker",
                                        [WIRE_PEER_PROBE] = "probe"};

    return names[peer->kind];
}

struct log_subject peer_log(const struct peer *peer)
{
    return (struct log_subject){.describe = describe, .object = peer};
}
