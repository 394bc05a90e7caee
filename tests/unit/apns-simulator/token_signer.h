/* token_signer - provider tokens as a provider makes them, right and wrong. */
#ifndef BECKON_TESTS_APNS_SIMULATOR_TOKEN_SIGNER_H
#define BECKON_TESTS_APNS_SIMULATOR_TOKEN_SIGNER_H

#include <openssl/types.h>
#include <stdbool.h>

/* Signs header.claims (JSON texts) with key; the signature as R||S, or as DER. Returns owned. */
char *sign_token(EVP_PKEY *key, const char *header, const char *claims, bool der);
/* The same as an Authorization header, with that kid, team and iat. Returns owned. */
char *sign_bearer(EVP_PKEY *key, const char *kid, const char *team, unsigned long long issued_s);

#endif
