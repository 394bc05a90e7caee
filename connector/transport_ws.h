/* transport_ws - WebSocket on top of another transport: see transport.h. */
#ifndef BECKON_CONNECTOR_TRANSPORT_WS_H
#define BECKON_CONNECTOR_TRANSPORT_WS_H

#include "connector/transport.h"

struct metrics;
struct ws_policy;

/* Puts the server's end of WebSocket on t; the client begins. Borrows policy, whose content may
 * change, and metrics for as long as t lives. 0; ERR_NO_MEMORY: t is as it was. */
MUST_CHECK int transport_ws_stack(struct transport *t, const struct ws_policy *policy,
                                  struct metrics *metrics);

#endif
