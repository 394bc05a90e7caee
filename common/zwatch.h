/* zwatch - a ZeroMQ socket as a source of the loop; the only file that touches ZMQ_FD.
 *
 * ZMQ_FD is edge-triggered and a send can make the socket readable without a new edge. So the
 * descriptor is only an alarm clock: ZMQ_EVENTS is asked before every wait and after every wake,
 * or, where the owner tells of its sends, only before a wait that they or the descriptor precede.
 * The callback runs in step 2 or, when found readable before the wait, at once; it reads a bounded
 * number of messages and returns; if the socket is still readable it is called again next turn.
 * One thread owns socket and loop. */
#ifndef BECKON_COMMON_ZWATCH_H
#define BECKON_COMMON_ZWATCH_H

#include "common/err.h"
#include "common/loop.h"

struct zwatch;

/* Called while ZMQ_POLLIN is set, at most once a turn. */
typedef void (*zwatch_fn)(void *arg);

/* socket is borrowed and must outlive the watch. Returns 0 or ERR_SYSTEM, ERR_NO_MEMORY. */
MUST_CHECK int zwatch_create(struct loop *loop, void *socket, zwatch_fn fn, void *arg,
                             struct zwatch **ret_watch);
/* The owner promises to call zwatch_sent after each send on the socket (or never sends), so that a
 * turn in which nothing happened to it asks nothing. */
void zwatch_tells(struct zwatch *watch);
void zwatch_sent(struct zwatch *watch);
/* From the callback: a receive that did not wait has just found nothing, which is the answer that
 * the next question would have. Nothing was sent since. */
void zwatch_drained(struct zwatch *watch);
/* NULL is allowed. No callback afterwards. Then the socket may be closed. */
void zwatch_destroy(struct zwatch *watch);

#endif
