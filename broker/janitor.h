/* janitor - periodic chores in the database: its clock, partitions made ahead and dropped by age,
 * sessions that ended. Never bulk deletes of messages. Loop thread only. */
#ifndef BECKON_BROKER_JANITOR_H
#define BECKON_BROKER_JANITOR_H

#include "common/err.h"

#include <stdint.h>

struct broker;

/* How retention stands, as of the last look; zeros before. */
struct janitor_state {
    uint64_t oldest_ms; /* age of the oldest message that can be there */
    int64_t ahead_ms;   /* how far partitions reach ahead; negative: behind */
    uint64_t strays;    /* rows in the inbox's default partition, 1000 = that or more */
};

MUST_CHECK int janitor_create(struct broker *broker);
void janitor_destroy(struct broker *broker);
/* Does the chores now rather than within the hour: options have changed. */
void janitor_hurry(struct broker *broker);
const struct janitor_state *janitor_state(const struct broker *broker);

#endif
