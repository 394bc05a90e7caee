/* members - who the brokers are: names, endpoints, and the generation of ownership for which that
 * holds. Read from the database by brokers and from the wire by everybody else. A value; the owner
 * keeps it where it likes (some 25 KB). */
#ifndef BECKON_COMMON_MEMBERS_H
#define BECKON_COMMON_MEMBERS_H

#include "common/bytes.h"
#include "common/err.h"
#include "common/wire.h"

/* Every message costs one step a member (owner.h), and every connector a link; a database of one
 * writer is full long before 64 brokers are. */
#define MEMBERS_MAX 64
#define MEMBER_NAME_MAX 63
/* tcp://, a host name of a legal length, a port. */
#define MEMBER_ENDPOINT_MAX 287

struct member {
    char name[MEMBER_NAME_MAX + 1];
    char endpoint[MEMBER_ENDPOINT_MAX + 1];
    uint64_t hash; /* owner_hash of the name */
};

struct members {
    uint64_t generation;
    unsigned count;
    struct member all[MEMBERS_MAX]; /* ascending by name */
};

/* Adds one, in its place. 0; ERR_MALFORMED (a name or an endpoint that is empty, too long, or not
 * printable ASCII without spaces; or a name that is there already), ERR_TOO_LARGE. */
MUST_CHECK int members_add(struct members *members, struct bytes name, struct bytes endpoint);
/* NULL: no such member. */
const struct member *members_find(const struct members *members, struct bytes name);
/* Same names, endpoints and generation. */
bool members_equal(const struct members *a, const struct members *b);

/* From a record. 0; ERR_MALFORMED (as members_add; no member at all; not ascending), ERR_TOO_LARGE:
 * then *ret_members is untouched. */
MUST_CHECK int members_read(const struct wire_members *record, struct members *ret_members);
/* For wire_put_welcome and wire_put_members: borrowed from members. Returns the count. */
uint16_t members_list(const struct members *members, struct wire_member ret_list[MEMBERS_MAX]);

#endif
