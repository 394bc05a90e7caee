/* Rendezvous hashing: each member draws a number for the person, the highest wins. A member that
 * comes wins its share evenly from all others, one that goes leaves its people evenly to them, and
 * nobody else moves: no ring, no table, nothing to keep in step.
 *
 * The number is the XXH64 of the person, combined with that of the member's name and mixed by the
 * finalizer of SplitMix64, every bit of which depends on every bit of its input. XXH64 is
 * specified, the same for either byte order, and frozen. The seed is 0 everywhere: who chooses
 * people's names to land on one broker chooses what each client's own people do anyway.
 * Cost: one hash of the id and some five instructions a member. */
#include "common/owner.h"

#include <assert.h>
#include <xxhash.h>

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t owner_hash(struct bytes name)
{
    return XXH64(name.data, name.len, 0);
}

unsigned owner_of_hash(const struct members *members, uint64_t user_hash)
{
    uint64_t highest = 0;
    unsigned owner = 0;

    assert(members->count > 0);
    for (unsigned i = 0; i < members->count; i++) {
        uint64_t drawn = mix(user_hash ^ members->all[i].hash);

        if (drawn > highest) { /* of equal ones the first by name */
            highest = drawn;
            owner = i;
        }
    }
    return owner;
}

unsigned owner_of(const struct members *members, struct bytes user)
{
    return members->count == 1 ? 0 : owner_of_hash(members, owner_hash(user));
}
