/* proxy_trust - who may say with a PROXY header where a client is: addresses and networks, from the
 * configuration. Filled at start and by a reload; loop thread. */
#ifndef BECKON_CONNECTOR_PROXY_TRUST_H
#define BECKON_CONNECTOR_PROXY_TRUST_H

#include "common/err.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stdint.h>

struct peer_address;

struct proxy_network {
    uint8_t octets[16]; /* IPv4 in the first four */
    uint8_t family;     /* AF_INET, AF_INET6 */
    uint8_t bits;
};

struct proxy_trust {
    struct proxy_network *networks; /* none: whoever connects is trusted */
    uint32_t count;
};

/* Reads proxy.trusted. ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int proxy_trust_read(const config_t *config, struct proxy_trust *ret_trust,
                                struct err_text *et);
void proxy_trust_fini(struct proxy_trust *trust);

/* peer: the connection's own address. */
bool proxy_trusts(const struct proxy_trust *trust, const struct peer_address *peer);

/* For the option table: a list of addresses and networks. ERR_CONFIG with et. */
int proxy_trusted_check(const config_setting_t *setting, struct err_text *et);

#endif
