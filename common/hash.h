/* hash - intrusive chained hash table; the owner embeds a node and keeps the key itself.
 *
 * hash_bytes is XXH3 with a random seed per process, so peers can't choose colliding names.
 * Grows by doubling when it is full (one pass over all nodes), never shrinks by itself.
 * No locking. */
#ifndef BECKON_COMMON_HASH_H
#define BECKON_COMMON_HASH_H

#include "common/bytes.h"
#include "common/err.h"

#include <stddef.h>

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash {
    struct hash_node **buckets; /* NULL until the first insert */
    size_t mask;                /* buckets - 1 */
    size_t count;
};

typedef bool (*hash_match_fn)(const struct hash_node *node, const void *key);

uint64_t hash_bytes(const void *data, size_t len);
/* Mixes a second part into a hash: for keys of two names. */
uint64_t hash_more(uint64_t hash, const void *data, size_t len);
uint64_t hash_u64(uint64_t value);

/* Nodes are not touched. */
void hash_fini(struct hash *table);
/* NULL when absent. */
struct hash_node *hash_find(const struct hash *table, uint64_t hash, hash_match_fn match,
                            const void *key);
/* Sets node->hash. The caller knows that the key is absent. 0 or ERR_NO_MEMORY (only when the
 * table has no buckets at all; a failed growth is ignored, chains just get longer). */
MUST_CHECK int hash_insert(struct hash *table, struct hash_node *node, uint64_t hash);
/* node must be in the table. */
void hash_remove(struct hash *table, struct hash_node *node);
/* Calls fn for every node; fn may remove the node it is given, nothing else. */
void hash_each(struct hash *table, void (*fn)(struct hash_node *node, void *arg), void *arg);

#endif
