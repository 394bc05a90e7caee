/* tls - one context for all connections. Sessions are not cached: a provider connects once a day.
 */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "pem_file.h"

static const unsigned char h2[] = {2, 'h', '2'};

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *offered, unsigned int offered_len, void *arg)
{
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, h2, sizeof(h2), offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int load(SSL_CTX *context, const char *certificate, const char *key, struct err_text *et)
{
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return err_set(et, ERR_CONFIG, "could not read the certificate \"%s\": %s", certificate,
                       pem_openssl_error());
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return err_set(et, ERR_CONFIG, "could not read the private key \"%s\" of \"%s\": %s", key,
                       certificate, pem_openssl_error());
    return 0;
}

int tls_create(const char *certificate, const char *key, SSL_CTX **ret_context, struct err_text *et)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    int r;

    if (context == NULL)
        return err_set(et, ERR_NO_MEMORY, "could not set up TLS: %s", pem_openssl_error());
    IGNORE_RESULT(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1); /* it exists */
    /* An HTTP/2 client that just closes its connection is no attack: frames have lengths. */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    r = load(context, certificate, key, et);
    if (r < 0) {
        SSL_CTX_free(context);
        return r;
    }
    *ret_context = context;
    return 0;
}

void tls_destroy(SSL_CTX *context)
{
    SSL_CTX_free(context);
}
