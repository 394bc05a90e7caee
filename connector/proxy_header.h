/* proxy_header - the PROXY protocol, version 2: what a load balancer says about a client before the
 * client's own bytes. The parser, without I/O; the layer that reads is transport_proxy.
 *
 * https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt, section 2.2. Version 1, a line of
 * text, is refused. Of what follows the addresses (TLVs) nothing is looked at. */
#ifndef BECKON_CONNECTOR_PROXY_HEADER_H
#define BECKON_CONNECTOR_PROXY_HEADER_H

#include "common/bytes.h"
#include "common/err.h"

#include "connector/peer_address.h"

/* Signature, version and command, family, length. */
#define PROXY_PREFIX_BYTES 16
/* What is looked at: the prefix, and two IPv6 addresses with their ports. */
#define PROXY_LOOK_BYTES (PROXY_PREFIX_BYTES + 36)
/* Load balancers add some hundred bytes of TLVs; a client's certificate may be among them. */
#define PROXY_HEADER_MAX 8192

struct proxy_header {
    uint32_t size;            /* of the whole header */
    struct peer_address peer; /* family 0: no address, the connection's own holds */
};

/* Looks at the beginning of a stream. Returns 1 and *ret_header; 0 while more is needed (at most
 * PROXY_LOOK_BYTES); ERR_PROTOCOL with a phrase in *ret_why, at the first byte that is wrong. */
MUST_CHECK int proxy_header_parse(struct bytes data, struct proxy_header *ret_header,
                                  const char **ret_why);
/* How many bytes the parser needs before it can get on, given data that it returned 0 for. */
uint32_t proxy_header_needs(struct bytes data);

#endif
