/* conn_state - the states of a connection, and the list of connections in each.
 *
 * A state is membership of a list: conn_set_state is the only writer of both, so that "all stalled
 * connections" needs no search. A step that the table does not allow is our own mistake and an
 * assertion. Loop thread only. */
#ifndef BECKON_CONNECTOR_CONN_STATE_H
#define BECKON_CONNECTOR_CONN_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum conn_state {
    CONN_FREE,          /* a slot without a connection */
    CONN_AWAIT_CONNECT, /* accepted; the first packet has to be CONNECT */
    CONN_OPENING,       /* token good, the broker was asked to open the session; not read */
    CONN_ACTIVE,        /* CONNACK 0 was sent; from here to LEAVING the session is open */
    CONN_STALLED,       /* as ACTIVE, but not read: too much waits for the broker */
    CONN_SLOWED,        /* as ACTIVE, but not read: it published more than it may. limits.h */
    CONN_LEAVING,  /* this process stops: what was begun is finished, nothing begins. drain.c */
    CONN_DRAINING, /* session over, goodbye said: flushing, then waiting for the peer's end */
    CONN_CLOSED,   /* descriptor closed; freed at the end of the turn */
    CONN_STATE_COUNT
};

struct conn;
TAILQ_HEAD(conn_list, conn);

struct conn_lists {
    struct conn_list in[CONN_STATE_COUNT];
    uint32_t count[CONN_STATE_COUNT];
};

void conn_lists_init(struct conn_lists *lists);
bool conn_step_allowed(enum conn_state from, enum conn_state to);
const char *conn_state_name(enum conn_state state);
/* Puts a connection that is in no list yet (a fresh slot) into CONN_FREE. */
void conn_enter_free(struct conn_lists *lists, struct conn *c);
void conn_set_state(struct conn_lists *lists, struct conn *c, enum conn_state to);

#endif
