/* listener - takes TCP connections in. Several connectors of one machine share a port
 * (SO_REUSEPORT): the kernel spreads new connections over them. Loop thread only. */
#ifndef BECKON_CONNECTOR_LISTENER_H
#define BECKON_CONNECTOR_LISTENER_H

#include "common/err.h"

struct connector;
struct listener;

/* Listens where the options say. 0; ERR_CONFIG, ERR_SYSTEM, ERR_NO_MEMORY with et. */
MUST_CHECK int listener_create(struct connector *connector, struct listener **ret_listener,
                               struct err_text *et);
/* Stops listening. NULL is allowed. */
void listener_destroy(struct listener *listener);

#endif
