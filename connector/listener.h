/* listener - takes TCP connections in at one door. Several connectors of one machine share a port
 * (SO_REUSEPORT): the kernel spreads new connections over them. All doors of a process share
 * listen.max_connections and listen.backlog. Loop thread only. */
#ifndef BECKON_CONNECTOR_LISTENER_H
#define BECKON_CONNECTOR_LISTENER_H

#include "common/err.h"

struct connector;

/* Listens at every door that is enabled. 0; ERR_CONFIG, ERR_SYSTEM, ERR_NO_MEMORY with et: what
 * was opened is to be closed all the same. */
MUST_CHECK int listeners_open(struct connector *connector, struct err_text *et);
/* No new connections come from now on, but those whose handshake is under way still do: call it
 * some time before listeners_close. */
void listeners_end(struct connector *connector);
/* Takes what waits to be accepted, and stops listening at all doors. Once more is allowed. */
void listeners_close(struct connector *connector);

#endif
