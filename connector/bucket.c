/* bucket - see the header. The table is an array of sets of WAYS entries; a key belongs to one set,
 * so a look costs two cache lines whatever happens. */
#include "connector/bucket.h"

#include <assert.h>
#include <stdlib.h>

#define WAYS 8u
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

struct entry {
    uint64_t key;
    struct bucket bucket; /* full: the entry is free */
};

struct bucket_table {
    uint64_t mask; /* sets - 1 */
    struct entry entries[];
};

static uint64_t interval_ns(const struct bucket_limit *limit)
{
    return NS_PER_S / limit->per_s;
}

/* How far it is from full. */
static uint64_t missing_ns(const struct bucket *bucket, uint64_t now_ms)
{
    uint64_t now_ns = now_ms * NS_PER_MS;

    return bucket->full_at_ns > now_ns ? bucket->full_at_ns - now_ns : 0;
}

uint64_t bucket_wait_ms(const struct bucket *bucket, const struct bucket_limit *limit,
                        uint64_t now_ms)
{
    uint64_t after_ns, most_ns;

    if (limit->per_s == 0)
        return 0;
    after_ns = missing_ns(bucket, now_ms) + interval_ns(limit);
    most_ns = interval_ns(limit) * limit->burst;
    return after_ns <= most_ns ? 0 : (after_ns - most_ns + NS_PER_MS - 1) / NS_PER_MS;
}

void bucket_take(struct bucket *bucket, const struct bucket_limit *limit, uint64_t now_ms)
{
    if (limit->per_s != 0)
        bucket->full_at_ns = now_ms * NS_PER_MS + missing_ns(bucket, now_ms) + interval_ns(limit);
}

struct bucket_table *bucket_table_create(uint32_t entries)
{
    struct bucket_table *table = calloc(1, sizeof(*table) + entries * sizeof(struct entry));

    assert(entries >= WAYS && (entries & (entries - 1)) == 0);
    if (table != NULL)
        table->mask = entries / WAYS - 1;
    return table;
}

void bucket_table_destroy(struct bucket_table *table)
{
    free(table);
}

static struct entry *set_of(const struct bucket_table *table, uint64_t key)
{
    return (struct entry *)&table->entries[(key & table->mask) * WAYS];
}

/* NULL: its bucket is full. */
static struct entry *find(const struct bucket_table *table, uint64_t key, uint64_t now_ms)
{
    struct entry *set = set_of(table, key);

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key && missing_ns(&set[i].bucket, now_ms) > 0)
            return &set[i];
    }
    return NULL;
}

static struct entry *find_or_add(struct bucket_table *table, uint64_t key, uint64_t now_ms)
{
    struct entry *entry = find(table, key, now_ms), *set = set_of(table, key);

    if (entry != NULL)
        return entry;
    entry = set;
    for (unsigned i = 1; i < WAYS; i++) {
        if (set[i].bucket.full_at_ns < entry->bucket.full_at_ns)
            entry = &set[i];
    }
    *entry = (struct entry){.key = key};
    return entry;
}

uint64_t bucket_table_take(struct bucket_table *table, uint64_t key,
                           const struct bucket_limit *limit, uint64_t now_ms)
{
    struct entry *entry;
    uint64_t wait_ms;

    if (limit->per_s == 0)
        return 0;
    entry = find_or_add(table, key, now_ms);
    wait_ms = bucket_wait_ms(&entry->bucket, limit, now_ms);
    if (wait_ms == 0)
        bucket_take(&entry->bucket, limit, now_ms);
    return wait_ms;
}

void bucket_table_put(struct bucket_table *table, uint64_t key, struct bucket bucket,
                      uint64_t now_ms)
{
    if (missing_ns(&bucket, now_ms) > 0 || find(table, key, now_ms) != NULL)
        find_or_add(table, key, now_ms)->bucket = bucket;
}

struct bucket bucket_table_get(const struct bucket_table *table, uint64_t key, uint64_t now_ms)
{
    const struct entry *entry = find(table, key, now_ms);

    return entry != NULL ? entry->bucket : (struct bucket){0};
}
