/* held - deliveries that have to wait because the client's Receive Maximum is used up (MQTT 5.0
 * section 4.9), oldest first. The broker has a window for messages and one for notifications, and
 * gives back what takes too long; only here is known what a client has unacknowledged altogether.
 * Rare, so a client owns none until something is held. Loop thread only. */
#ifndef BECKON_CONNECTOR_HELD_H
#define BECKON_CONNECTOR_HELD_H

#include "common/wire.h"

struct held;

/* Takes a copy to the end of *held, which is made when NULL. 0; ERR_NO_MEMORY; ERR_FULL above
 * max_bytes. */
MUST_CHECK int held_add(struct held **held, const struct wire_deliver *deliver, size_t max_bytes);
/* Takes the oldest: fills ret_deliver (without conn), whose bytes lie in what is returned, for the
 * caller to free. NULL when there is none. */
MUST_CHECK void *held_take(struct held **held, struct wire_deliver *ret_deliver);
/* Forgets all. */
void held_drop(struct held **held);

#endif
