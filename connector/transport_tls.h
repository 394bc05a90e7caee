/* transport_tls - TLS on top of another transport: see transport.h. */
#ifndef BECKON_CONNECTOR_TRANSPORT_TLS_H
#define BECKON_CONNECTOR_TRANSPORT_TLS_H

#include "connector/transport.h"

#include <stdint.h>

struct metrics;
struct tls_context;

/* What handshakes may take up of a turn: a step is a read that got some of one, and a signature is
 * made in one of the two or three that each has: with an RSA key of 2,048 bits some 0.5 ms, so that
 * other clients wait 4 ms for it at most. What is above waits for its next turn, which follows at
 * once, so that no time is lost. */
#define TLS_STEPS_PER_TURN 8

/* Puts the server's end of TLS on t; the client begins. Takes a reference of context. protocol as
 * for tls_context_open. steps: of handshakes that this turn has left, shared by all connections;
 * without one what has come stays where it is, and the transport is `pending`. 0; ERR_NO_MEMORY: t
 * is as it was. */
MUST_CHECK int transport_tls_stack(struct transport *t, struct tls_context *context,
                                   const char *protocol, struct metrics *metrics, uint32_t *steps);

#endif
