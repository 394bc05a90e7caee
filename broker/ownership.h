/* ownership - whose people this broker serves, and what happens to them when the members change.
 *
 * The view in force is a list of members and the generation it belongs to: broker->generation is
 * raised here and nowhere else. A new view is put in force between two batches and two reads; until
 * then, and since a batch met the fence, the store sends none. docs/adr/0017. Loop thread. */
#ifndef BECKON_BROKER_OWNERSHIP_H
#define BECKON_BROKER_OWNERSHIP_H

#include "common/bytes.h"
#include "common/err.h"
#include "common/members.h"

#include <stdbool.h>

struct broker;

/* Before the store: its hook runs first, so that what it gives free goes out in the same turn. */
MUST_CHECK int ownership_create(struct broker *broker);
void ownership_destroy(struct broker *broker);

/* The view in force; no members before the first. */
const struct members *ownership_members(const struct broker *broker);
/* This broker's name among the members. */
const char *ownership_name(const struct broker *broker);
/* This person is ours. */
bool ownership_has(const struct broker *broker, struct bytes user);

enum ownership_since {
    OWNERSHIP_HELD,    /* ours in every view since then */
    OWNERSHIP_BROKEN,  /* somebody else's in one of them, perhaps in the one in force */
    OWNERSHIP_UNKNOWN, /* ours now, but that view is longer ago than is remembered */
};
/* For a record of a sender who had that view. */
enum ownership_since ownership_since(const struct broker *broker, struct bytes user,
                                     uint64_t generation);
/* The store sends nothing now: another view is about to be put in force, or is being read. */
bool ownership_changes(const struct broker *broker);
/* A batch met another generation than ours. */
void ownership_fenced(struct broker *broker);
/* Somebody spoke of that generation: it is read, if it is newer. */
void ownership_heard(struct broker *broker, uint64_t generation);

/* Stops being a member, so that others serve our people; done(arg) follows. */
void ownership_leave(struct broker *broker, void (*done)(void *arg), void *arg);

/* For the metrics: how long the lease is held for sure; 0 = it is over, and this broker waits. */
uint64_t ownership_lease_left_ms(const struct broker *broker);

#endif
