/* transport_tls - TLS on top of another transport: see transport.h. */
#ifndef BECKON_CONNECTOR_TRANSPORT_TLS_H
#define BECKON_CONNECTOR_TRANSPORT_TLS_H

#include "connector/transport.h"

struct metrics;
struct tls_context;

/* Puts the server's end of TLS on t; the client begins. Takes a reference of context. protocol as
 * for tls_context_open. 0; ERR_NO_MEMORY: t is as it was. */
MUST_CHECK int transport_tls_stack(struct transport *t, struct tls_context *context,
                                   const char *protocol, struct metrics *metrics);

#endif
