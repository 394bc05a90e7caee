/* janitor - periodic chores in the database: partitions made ahead and dropped by age, sessions
 * whose expiry is over. Never bulk deletes of messages. */
#ifndef BECKON_BROKER_JANITOR_H
#define BECKON_BROKER_JANITOR_H

#include "common/err.h"

struct broker;
struct pg;
struct store;

MUST_CHECK int janitor_create(struct broker *broker);
void janitor_destroy(struct broker *broker);
/* Adds the chores to a read that is being sent. */
MUST_CHECK int janitor_send(struct store *store, struct pg *pg);

#endif
