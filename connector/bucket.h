/* bucket - token buckets: how often something may happen, on average and at once.
 *
 * A bucket is one time: when it will be full again. Taking a token moves that time by one interval;
 * there is a token as long as it is not more than `burst` intervals ahead. A bucket of zeros is
 * full. The clock is the caller's, in milliseconds.
 *
 * A table keeps buckets by key in memory that is allocated once. A full bucket is as good as none,
 * so its place is free for another key; where all places for a key are taken, the one nearest to
 * full makes room. So whoever comes with many keys can't make it grow, nor lock others out: a key
 * that is not there has a full bucket. */
#ifndef BECKON_CONNECTOR_BUCKET_H
#define BECKON_CONNECTOR_BUCKET_H

#include <stdint.h>

struct bucket_limit {
    uint32_t per_s; /* 0: there is no limit */
    uint32_t burst; /* tokens of a full bucket, at least 1 */
};

struct bucket {
    uint64_t full_at_ns;
};

/* Milliseconds until there is a token; 0: there is one. */
uint64_t bucket_wait_ms(const struct bucket *bucket, const struct bucket_limit *limit,
                        uint64_t now_ms);
/* Takes a token, whether there is one or not: ask before. */
void bucket_take(struct bucket *bucket, const struct bucket_limit *limit, uint64_t now_ms);

struct bucket_table;

/* entries: a power of two, at least 8; 16 bytes each. Returns owned, NULL when out of memory. */
struct bucket_table *bucket_table_create(uint32_t entries);
void bucket_table_destroy(struct bucket_table *table);
/* As bucket_wait_ms for the key's bucket; takes the token when there is one. Keys are hashes that
 * nobody outside can choose. */
uint64_t bucket_table_take(struct bucket_table *table, uint64_t key,
                           const struct bucket_limit *limit, uint64_t now_ms);
/* A bucket that its owner kept, and gives back for the next owner. */
void bucket_table_put(struct bucket_table *table, uint64_t key, struct bucket bucket,
                      uint64_t now_ms);
struct bucket bucket_table_get(const struct bucket_table *table, uint64_t key, uint64_t now_ms);

#endif
