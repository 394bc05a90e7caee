/* ended - sessions whose connection is gone and of which the broker has not said CLOSED.
 *
 * What a client acknowledged is the broker's business once it is committed, and not before: until
 * then the broker may die, or the link that carried ACK and CLOSE, and a message that the person
 * has seen would be alerted again. While a connection lives its announcement covers that
 * (session_announce.c); this is what does it afterwards. docs/wire.md, "Sessions". Loop thread
 * only. */
#ifndef BECKON_CONNECTOR_ENDED_H
#define BECKON_CONNECTOR_ENDED_H

#include "common/err.h"
#include "common/wire.h"

#include <stddef.h>

struct brokers;
struct ended_sessions;

/* max_bytes: what is kept at most. No session opens without a broker, so an outage keeps no more
 * than there were connections; but one whose database is away may open and close them for long.
 * Returns owned, NULL when out of memory. */
struct ended_sessions *ended_create(size_t max_bytes);
void ended_destroy(struct ended_sessions *ended);

/* Keeps an ENDED record with these lists; what is left of the session is set when it is announced.
 * owner: slot of the person's broker. ends_ms: when the session expires (UINT64_MAX: not by
 * itself). 0; ERR_FULL, ERR_NO_MEMORY. */
MUST_CHECK int ended_add(struct ended_sessions *ended, uint8_t owner,
                         const struct wire_ended *record, const struct wire_seqs *messages,
                         const struct wire_seqs *notified, uint64_t ends_ms);
/* Forgets it; unknown handles are ignored, and those of people of another owner. */
void ended_remove(struct ended_sessions *ended, uint64_t conn, uint8_t owner);
size_t ended_count(const struct ended_sessions *ended);
/* Appends an ENDED record for each of that owner's people. */
void ended_announce(const struct ended_sessions *ended, uint8_t owner, uint64_t now_ms,
                    struct buf *frame);
/* The members changed: tells those who moved to their new owner, if there is a link. */
void ended_move(struct ended_sessions *ended, const struct brokers *brokers, uint64_t now_ms);

#endif
