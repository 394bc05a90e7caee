/* session_internal - between session.c and session_announce.c. */
#ifndef BECKON_CONNECTOR_SESSION_INTERNAL_H
#define BECKON_CONNECTOR_SESSION_INTERNAL_H

#include "common/wire.h"

struct conn;

/* OPEN as of now; borrows from c. */
struct wire_open session_wire_open(const struct conn *c);

#endif
