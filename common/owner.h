/* owner - which broker a person belongs to: the member with the highest hash of (person, name).
 *
 * Every broker and connector computes it from the same list, so the function is part of the wire:
 * another one is another wire version. */
#ifndef BECKON_COMMON_OWNER_H
#define BECKON_COMMON_OWNER_H

#include "common/bytes.h"
#include "common/members.h"

/* Of a person's id or a member's name. The same on every machine and in every process. */
uint64_t owner_hash(struct bytes name);
/* The index of the owner in members, which is not empty. */
unsigned owner_of(const struct members *members, struct bytes user);
/* The same for who keeps owner_hash(user). */
unsigned owner_of_hash(const struct members *members, uint64_t user_hash);

#endif
