/* peer_address - where a client is, for logs and limits. */
#ifndef BECKON_CONNECTOR_PEER_ADDRESS_H
#define BECKON_CONNECTOR_PEER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

struct peer_address {
    uint8_t octets[16]; /* IPv4 in the first four */
    uint16_t port;
    uint8_t family; /* AF_INET, AF_INET6 */
    bool proxied;   /* a PROXY header said so */
};

#endif
