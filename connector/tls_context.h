/* tls_context - everything TLS that connections share: certificates, who is let in, tickets.
 *
 * Made from the configuration at start and again at SIGHUP, as a whole or not at all; never changed
 * afterwards. Counted: connections keep the one they began with until they end. Loop thread only.
 *
 * Also the one place that knows how OpenSSL is set up for us. */
#ifndef BECKON_CONNECTOR_TLS_CONTEXT_H
#define BECKON_CONNECTOR_TLS_CONTEXT_H

#include "common/option.h"

#include "connector/options.h"

#include <openssl/ssl.h>

struct tls_context;

/* *ret_context has one reference, which is the caller's. Files are relative to the configuration
 * file's folder. ERR_CONFIG (what, which file, what was expected), ERR_NO_MEMORY with et. */
MUST_CHECK int tls_context_create(const struct tls_options *options, const config_t *config,
                                  struct tls_context **ret_context, struct err_text *et);
void tls_context_ref(struct tls_context *context);
/* NULL is allowed. */
void tls_context_unref(struct tls_context *context);

/* The server's end of a new connection, or NULL without memory. It borrows context. protocol: the
 * one name of ALPN that is accepted from clients that ask (RFC 7301); lives for ever. */
SSL *tls_context_open(struct tls_context *context, const char *protocol);

#endif
