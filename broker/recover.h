/* recover - after a start, after the process stood still, and for people gained from another
 * broker: pushes wait for what connectors have to say; and people with something to alert are
 * brought into memory, so that what was accepted before a crash is alerted although nobody of them
 * speaks. Loop thread. */
#ifndef BECKON_BROKER_RECOVER_H
#define BECKON_BROKER_RECOVER_H

#include "common/err.h"

#include <stdbool.h>

struct broker;
struct user;

MUST_CHECK int recover_create(struct broker *broker);
/* The database is ready: connectors are welcome, people can be looked for. */
void recover_begin(struct broker *broker);
/* Another view is in force. everything: as after a start; else only who is gained waits. */
void recover_gained(struct broker *broker, bool everything);
/* A person came into memory. */
void recover_loaded(struct broker *broker, struct user *user);
/* One that settles is about to be forgotten; the caller takes the pin away with it. */
void recover_forget(struct broker *broker, struct user *user);
void recover_destroy(struct broker *broker);

#endif
