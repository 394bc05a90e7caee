/* message - one accepted or arriving message in memory: refcounted, immutable once committed.
 *
 * One allocation holds the struct, the body in the wire's form (copied to each receiver as it is),
 * and the strings plugins see. Made when a PUBLISH arrives, or when a row is read back; freed when
 * the last queue lets go. Loop thread only. */
#ifndef BECKON_BROKER_MESSAGE_H
#define BECKON_BROKER_MESSAGE_H

#include "common/hash.h"
#include "common/wire.h"

struct parked;

struct parked;
struct user;

struct message {
    uint32_t refs;
    uint32_t body_len;
    uint64_t seq; /* in the recipient's inbox; 0 until committed */
    struct mid mid;
    uint64_t sent_at_ms;      /* the MID's time */
    uint64_t expires_at_ms;   /* 0 = none chosen by the sender */
    uint64_t origin_device;   /* number of the device it was sent from, when that device
                                 is not to get it (copies, No Local); else 0 */
    uint64_t conversation_no; /* surrogate of the other person, or of the group */
    uint8_t kind;             /* enum wire_body_kind */
    bool service;             /* its sender may send as anyone */
    bool misdated;            /* sent_at_ms is not to be believed: it ends at expires_at_ms */
    struct bytes properties, payload, key; /* point into data */
    const char *from;                      /* user id, NUL-terminated */
    const char *conversation;              /* "u/USER" or "g/GROUP" */

    /* Only while it waits for its commit: */
    uint64_t content_hash; /* with a KEY */
    struct hash_node by_mid, by_key;
    bool in_by_mid, in_by_key;
    const struct user *recipient;
    uint32_t origin_tap; /* handle of the tap it was sent from, when that has No Local; else 0 */
    struct parked *followers; /* others that wait for the same answer */

    uint8_t data[]; /* body, then strings */
};

/* from: the sender; conversation: as its recipient sees it, without the "u/" (kinds 1 and 3) or
 * "g/" prefix, which is added. key may be empty. Returns owned (one reference), NULL when out of
 * memory. */
struct message *message_create(const struct wire_body *body, struct bytes from,
                               struct bytes conversation, struct bytes key);
struct message *message_ref(struct message *message);
/* NULL is allowed. */
void message_unref(struct message *message);
static inline struct bytes message_body(const struct message *message)
{
    return bytes_of(message->data, message->body_len);
}
/* SHA-256 of what the receiver gets, first 8 bytes: tells a repeated KEY from a re-used one. */
uint64_t message_content_hash(const struct message *message);

#endif
