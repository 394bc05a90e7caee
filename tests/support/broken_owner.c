/* common/owner.h as nobody should write it: who owns a person depends on how many brokers there
 * are, so each change moves nearly everybody; and names of a kind fall together. The simulation of
 * bench/scaling must find both. */
#include "common/owner.h"

uint64_t owner_hash(struct bytes name)
{
    return name.len ? (uint64_t)(unsigned char)name.data[name.len - 1] : 0;
}

unsigned owner_of_hash(const struct members *members, uint64_t user_hash)
{
    return (unsigned)(user_hash % members->count);
}

unsigned owner_of(const struct members *members, struct bytes user)
{
    return owner_of_hash(members, owner_hash(user));
}
