/* Users, devices and connections are found by names that peers choose. A table with a known hash
 * function could be filled with names that share one chain; a random seed makes chains as short as
 * chance does. A node keeps its hash, so growth and most mismatches never touch a key.
 *
 * Cost: at most one node a bucket on average; find touches the bucket, then the nodes of its chain.
 * Doubling relinks all nodes at once (about 10 ms for a million): with tables that only grow, each
 * node is relinked less than twice on average. */
#include "common/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

/* Small, because many tables (one a connection or a group) never hold more. */
#define HASH_MIN_BUCKETS 16

static uint64_t seed(void)
{
    static uint64_t value;
    static bool drawn;

    if (!drawn) {
        ssize_t got;
        do
            got = getrandom(&value, sizeof(value), 0);
        while (got < 0 && errno == EINTR);
        /* Only a kernel without the call can refuse it; a seed that peers know is no seed. */
        if (got != sizeof(value))
            abort();
        drawn = true;
    }
    return value;
}

uint64_t hash_bytes(const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed());
}

uint64_t hash_more(uint64_t hash, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, hash);
}

uint64_t hash_u64(uint64_t value)
{
    return XXH3_64bits_withSeed(&value, sizeof(value), seed());
}

void hash_fini(struct hash *table)
{
    free(table->buckets);
    *table = (struct hash){0};
}

struct hash_node *hash_find(const struct hash *table, uint64_t hash, hash_match_fn match,
                            const void *key)
{
    if (table->buckets == NULL)
        return NULL;
    for (struct hash_node *node = table->buckets[hash & table->mask]; node != NULL;
         node = node->next) {
        if (node->hash == hash && match(node, key))
            return node;
    }
    return NULL;
}

static void link_node(struct hash *table, struct hash_node *node)
{
    struct hash_node **bucket = &table->buckets[node->hash & table->mask];

    node->next = *bucket;
    *bucket = node;
}

static void grow(struct hash *table)
{
    struct hash grown = {.mask = table->mask * 2 + 1, .count = table->count};

    grown.buckets = calloc(grown.mask + 1, sizeof(struct hash_node *));
    if (grown.buckets == NULL)
        return; /* chains get longer; the next insert tries again */
    for (size_t i = 0; i <= table->mask; i++) {
        struct hash_node *next;
        for (struct hash_node *node = table->buckets[i]; node != NULL; node = next) {
            next = node->next;
            link_node(&grown, node);
        }
    }
    free(table->buckets);
    *table = grown;
}

int hash_insert(struct hash *table, struct hash_node *node, uint64_t hash)
{
    if (table->buckets == NULL) {
        table->buckets = calloc(HASH_MIN_BUCKETS, sizeof(struct hash_node *));
        if (table->buckets == NULL)
            return ERR_NO_MEMORY;
        table->mask = HASH_MIN_BUCKETS - 1;
    } else if (table->count > table->mask) {
        grow(table);
    }
    node->hash = hash;
    link_node(table, node);
    table->count++;
    return 0;
}

void hash_remove(struct hash *table, struct hash_node *node)
{
    struct hash_node **at = &table->buckets[node->hash & table->mask];

    while (*at != node) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    table->count--;
}

void hash_each(struct hash *table, void (*fn)(struct hash_node *node, void *arg), void *arg)
{
    if (table->buckets == NULL)
        return;
    for (size_t i = 0; i <= table->mask; i++) {
        struct hash_node *next;
        for (struct hash_node *node = table->buckets[i]; node != NULL; node = next) {
            next = node->next; /* fn may remove and free node */
            fn(node, arg);
        }
    }
}
