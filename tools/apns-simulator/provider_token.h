/* provider_token - a provider's JSON Web Token (RFC 7519, ES256) taken apart and verified.
 *
 * Not libjwt: it takes only R||S signatures, and clients exist that send DER, which Apple accepts.
 * Pure but for OpenSSL's per-thread state. */
#ifndef BECKON_APNS_SIMULATOR_PROVIDER_TOKEN_H
#define BECKON_APNS_SIMULATOR_PROVIDER_TOKEN_H

#include "provider_key.h"

#include <stdint.h>

struct provider_claims {
    const struct provider_key *key; /* of the kid in the header; its team is the claim iss */
    uint64_t issued_s;              /* iat */
};

/* Checks everything but time: form, algorithm, kid, iss, signature. keys are borrowed for as long
 * as ret_claims lives. 0; ERR_INVALID; ERR_NO_MEMORY. */
MUST_CHECK int provider_token_verify(const struct provider_keys *keys, const char *text,
                                     struct provider_claims *ret_claims);

#endif
