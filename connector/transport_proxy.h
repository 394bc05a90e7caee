/* transport_proxy - a PROXY header in front of a client's bytes: see transport.h, proxy_header.h.
 */
#ifndef BECKON_CONNECTOR_TRANSPORT_PROXY_H
#define BECKON_CONNECTOR_TRANSPORT_PROXY_H

#include "connector/peer_address.h"
#include "connector/transport.h"

/* Reads a header off t, which must begin with one, before anything else is read; then takes itself
 * away. *peer gets the client's address if the header has one, and has to live as long as t. 0;
 * ERR_NO_MEMORY: t is as it was. */
MUST_CHECK int transport_proxy_stack(struct transport *t, struct peer_address *peer);

#endif
