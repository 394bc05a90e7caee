/* tls - the server side of TLS as Apple's has it: 1.2 or newer, HTTP/2 by ALPN and nothing else.
 * Start-up only. */
#ifndef BECKON_APNS_SIMULATOR_TLS_H
#define BECKON_APNS_SIMULATOR_TLS_H

#include "common/err.h"

#include <openssl/types.h>

/* Reads both PEM files. 0; ERR_CONFIG with et. ret_context needs tls_destroy. */
MUST_CHECK int tls_create(const char *certificate, const char *key, SSL_CTX **ret_context,
                          struct err_text *et);
void tls_destroy(SSL_CTX *context);

#endif
