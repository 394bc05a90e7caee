/* session_internal - between session.c and session_announce.c. */
#ifndef BECKON_CONNECTOR_SESSION_INTERNAL_H
#define BECKON_CONNECTOR_SESSION_INTERNAL_H

#include "common/wire.h"

struct conn;

/* Room for the lists of a record that tells how far a client is. */
struct session_lists {
    struct wire_seqs messages, notified;
};

/* What c's client has; the lists lie in the connector's scratch space, until the next call. */
void session_progress(const struct conn *c, struct wire_progress *ret_messages,
                      struct wire_progress *ret_notified, struct session_lists *ret_lists);
/* OPEN as of now; borrows from c. */
struct wire_open session_wire_open(const struct conn *c);

#endif
