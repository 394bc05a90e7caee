/* membership - this broker's place among the brokers of the installation: joins, renews its lease,
 * learns who else is there, removes members whose lease is over, leaves.
 *
 * A database connection of its own, so that no large batch delays a renewal. It tells its owner of
 * every view (generation and members) that it finds; putting one in force is the owner's business.
 * Nobody else writes table broker. docs/adr/0017. Loop thread. */
#ifndef BECKON_BROKER_MEMBERSHIP_H
#define BECKON_BROKER_MEMBERSHIP_H

#include "common/err.h"
#include "common/loop.h"
#include "common/members.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBER_INSTANCE_SIZE 16

struct membership;
struct pg_target;

struct membership_events {
    /* Another view than before, with this broker in it. fresh: it has just joined, so somebody else
     * may have owned anybody until now. Borrowed. */
    void (*on_view)(void *arg, const struct members *members, bool fresh);
    /* A newer process of this name has joined: this one must end. */
    void (*on_replaced)(void *arg);
    /* The lease, as seen from inside, is over; or it is held again and the view is as it was last
     * told. */
    void (*on_lease)(void *arg, bool held);
    /* It has left, as asked. */
    void (*on_left)(void *arg);
};

/* Borrowed for the membership's life. */
struct membership_config {
    struct loop *loop;
    struct pg_target *target;
    const char *name, *endpoint;
    uint32_t lease_ms;
};

/* Joins as soon as the database is there. Returns owned; NULL when out of memory. */
struct membership *membership_create(const struct membership_config *config,
                                     const struct membership_events *events, void *arg);
void membership_destroy(struct membership *m);

/* Reads the view soon: somebody spoke of a newer one. Costs nothing when that is under way. */
void membership_look(struct membership *m);
/* Ceases to be a member; on_left follows, also when it was none. While there is no database it
 * comes when there is one again. */
void membership_leave(struct membership *m);
/* Joins anew, with a generation above `generation` and all that were seen: the database is an older
 * copy of the one it was a member in. */
void membership_start_over(struct membership *m, uint64_t generation);
/* Is a member again as soon as possible, after membership_leave. */
void membership_rejoin(struct membership *m);

/* How long the lease is held for sure, milliseconds: counted from when the renewal was sent, less
 * a margin; 0 when it is over. */
uint64_t membership_lease_left_ms(const struct membership *m);
/* As last read, whether this broker is in it or not. */
const struct members *membership_last_view(const struct membership *m);

#endif
