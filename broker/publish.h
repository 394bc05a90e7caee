/* publish - from a PUBLISH record to a committed message and its answer.
 *
 * I1: the answer is sent, and delivery starts, in publishes_committed, never before. I4: a message
 * whose MID or KEY is being committed already waits for that commit and is then looked up like any
 * repeated one. Loop thread. */
#ifndef BECKON_BROKER_PUBLISH_H
#define BECKON_BROKER_PUBLISH_H

#include "broker/store.h"
#include "common/wire.h"

MUST_CHECK int publishes_create(struct broker *broker);
void publishes_destroy(struct broker *broker);

/* raw: the record, for parking. peer_id: who is answered. A record with conn 0 is a Will: token is
 * then the connection it belonged to, and WILL_DONE the answer. */
void publish_on_record(struct broker *broker, uint64_t peer_id, const struct wire_publish *publish,
                       struct bytes raw);
/* COPY: as a publish, for the sender's other devices only. */
void publish_on_copy(struct broker *broker, uint64_t peer_id, const struct wire_publish *publish,
                     struct bytes raw);
void publish_on_signal(struct broker *broker, const struct wire_signal *signal);

/* The store's answer: one batch is committed, verdicts set. Takes the puts' message references. */
void publishes_committed(struct broker *broker, struct put *puts, uint32_t count);

/* Answers puts that will not be written; takes them, not the array. */
void publishes_refused(struct broker *broker, struct put *puts, uint32_t count, uint8_t reason);
/* Refuses (0x97) publishes that wait for that person to be loaded since before_ms or longer.
 * Returns how many. */
unsigned publishes_refuse_parked(struct broker *broker, struct user *user, uint64_t before_ms);
/* That put is not made: its recipient is another broker's now. Nobody is answered. Takes its
 * message reference; who waited for it is appended to parked. */
void publish_dropped(struct broker *broker, struct put *put, struct parked_list *parked);

#endif
