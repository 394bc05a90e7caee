/* recover - after a start, and after the process stood still: pushes wait for what connectors have
 * to say; and people with something to alert are brought into memory, so that what was
 * accepted before a crash is alerted although nobody of them speaks. Loop thread. */
#ifndef BECKON_BROKER_RECOVER_H
#define BECKON_BROKER_RECOVER_H

#include "common/err.h"

struct broker;

MUST_CHECK int recover_create(struct broker *broker);
/* The database is ready: connectors are welcome, people can be looked for. */
void recover_begin(struct broker *broker);
void recover_destroy(struct broker *broker);

#endif
