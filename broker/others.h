/* others - links to the other brokers, and what they are asked: to store Wills that come due here
 * for their people, and to forget push registrations that somebody of ours has taken over.
 *
 * A request goes to whoever owns the person it is about, again after each change of that, until it
 * is answered; when that is this broker itself, it is done here. Loop thread. */
#ifndef BECKON_BROKER_OTHERS_H
#define BECKON_BROKER_OTHERS_H

#include "common/bytes.h"
#include "common/err.h"
#include "common/wire.h"

#include <stdbool.h>

struct broker;

/* After the bus, whose keys the links use. */
MUST_CHECK int others_create(struct broker *broker, struct err_text *et);
void others_destroy(struct broker *broker);

/* Another view is in force: one link for each other member. */
void others_view_changed(struct broker *broker);
/* Links that are up. */
unsigned others_linked(const struct broker *broker);

/* Has a Will stored by the owner of its recipient; then peer gets WILL_DONE for conn. ERR_FULL,
 * ERR_NO_MEMORY. */
MUST_CHECK int others_store_will(struct broker *broker, const struct wire_publish *will,
                                 uint64_t peer, uint64_t conn);
/* Once, to who is in the foreground now. */
void others_signal(struct broker *broker, const struct wire_signal *signal);

/* A registration of another broker's person has been taken over by the write under way. */
void others_push_taken(struct broker *broker, struct bytes user, uint64_t device_no,
                       struct bytes push_token);
/* That write is committed: its former owner is told. True: peer is answered when it has forgotten
 * it. */
bool others_push_answer(struct broker *broker, const char *push_token, uint64_t peer,
                        uint64_t token);

#endif
