/* tls_context - one SSL_CTX a certificate, all set up alike; a handshake begins with the first and
 * is moved to the one whose certificate has the name that the client asks for.
 *
 * Names are compared when they are asked for, exact ones before wildcards: with the few
 * certificates of one installation that is nothing beside the handshake's signature, and a table of
 * names would have to get wildcards right again.
 *
 * Idle connections are many. OpenSSL gives its buffers back while nothing is in them, sessions are
 * kept by the clients (tickets) and not by us. */
#include "connector/tls_context.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/option_group.h"

#include "connector/tls_certificates.h"
#include "connector/tls_tickets.h"

/* A phone that was out of reach for a night comes back without a full handshake. What a resumed
 * session was let in for (a client's certificate) is not looked at again for so long. */
#define TICKET_LIFE_S 86400
/* A device has one connection, and so use for one ticket; each costs some 250 bytes to send. */
#define TICKETS_PER_HANDSHAKE 1

struct tls_context {
    unsigned references;
    SSL_CTX *contexts[TLS_CERTIFICATES_MAX]; /* beside their certificates */
    struct tls_certificates *certificates;
    struct tls_tickets tickets; /* of tls.ticket_keys; count 0: OpenSSL's own keys */
};

/* What is the same in each SSL_CTX. */
struct setup {
    const struct tls_options *options;
    const char *client_ca; /* path, or NULL */
    unsigned char session_context[EVP_MAX_MD_SIZE];
    unsigned session_context_len;
};

/* In an SSL, where the callbacks find the accepted protocol; app data is the context. */
static int protocol_index(void)
{
    static int index = -1;

    if (index < 0)
        index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason != NULL ? reason : "no reason given";
}

/* --- callbacks --- */

static SSL_CTX *find_name(const struct tls_context *context, const char *name)
{
    static const unsigned passes[] = {X509_CHECK_FLAG_NO_WILDCARDS, 0};

    for (size_t pass = 0; pass < ARRAY_LEN(passes); pass++) {
        for (unsigned i = 0; i < context->certificates->count; i++) {
            if (X509_check_host(context->certificates->pairs[i].certificate, name, strlen(name),
                                passes[pass] | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1)
                return context->contexts[i];
        }
    }
    return NULL;
}

/* A name that no certificate has gets the first one: the client says best what is wrong. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *found = name != NULL ? find_name(SSL_get_app_data(ssl), name) : NULL;

    (void)alert;
    (void)arg;
    if (found == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_SSL_CTX(ssl, found) == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301: a client that offers protocols, and not ours, takes this for another server. */
static int on_protocols(SSL *ssl, const unsigned char **ret_protocol, unsigned char *ret_len,
                        const unsigned char *offered, unsigned offered_len, void *arg)
{
    const char *ours = SSL_get_ex_data(ssl, protocol_index());
    size_t ours_len = strlen(ours);

    (void)arg;
    /* OpenSSL has checked that the lengths add up. */
    for (unsigned at = 0; at < offered_len; at += 1u + offered[at]) {
        if (offered[at] == ours_len && memcmp(offered + at + 1, ours, ours_len) == 0) {
            *ret_protocol = offered + at + 1;
            *ret_len = offered[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int encrypt)
{
    const struct tls_context *context = SSL_get_app_data(ssl);

    return tls_tickets_use(&context->tickets, name, iv, cipher, mac, encrypt);
}

/* --- one SSL_CTX --- */

static int set_versions(SSL_CTX *ctx, const struct tls_options *options, struct err_text *et)
{
    int version = 0;

    if (strcmp(options->min_version, "1.2") == 0)
        version = TLS1_2_VERSION;
    else if (strcmp(options->min_version, "1.3") == 0)
        version = TLS1_3_VERSION;
    if (version == 0 || SSL_CTX_set_min_proto_version(ctx, version) != 1)
        return err_set(et, ERR_CONFIG, "\"tls.min_version\" is \"%s\", expected 1.2 or 1.3",
                       options->min_version);
    if (SSL_CTX_set_cipher_list(ctx, options->ciphers) != 1)
        return err_set(et, ERR_CONFIG,
                       "\"tls.ciphers\" is \"%s\", expected OpenSSL's names of ciphers of TLS 1.2 "
                       "(openssl ciphers)",
                       options->ciphers);
    if (options->ciphersuites[0] != '\0' &&
        SSL_CTX_set_ciphersuites(ctx, options->ciphersuites) != 1)
        return err_set(et, ERR_CONFIG,
                       "\"tls.ciphersuites\" is \"%s\", expected OpenSSL's names of ciphers of TLS "
                       "1.3, as TLS_AES_128_GCM_SHA256",
                       options->ciphersuites);
    return 0;
}

static int set_clients(SSL_CTX *ctx, const struct setup *setup, struct err_text *et)
{
    int mode = SSL_VERIFY_PEER;
    STACK_OF(X509_NAME) * names;

    if (SSL_CTX_set_session_id_context(ctx, setup->session_context, setup->session_context_len) !=
        1)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    if (setup->client_ca == NULL)
        return 0;
    names = SSL_load_client_CA_file(setup->client_ca);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, setup->client_ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return err_set(et, ERR_CONFIG, "tls.client_ca: \"%s\" has no certificates, expected PEM",
                       setup->client_ca);
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    if (setup->options->client_required)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, mode, NULL);
    return 0;
}

static int set_certificate(SSL_CTX *ctx, const struct pem_pair *pair, const char *path,
                           struct err_text *et)
{
    if (SSL_CTX_use_cert_and_key(ctx, pair->certificate, pair->key, pair->chain, 1) != 1)
        return err_set(et, ERR_CONFIG, "tls.certificates: \"%s\" can't be used: %s", path,
                       openssl_reason());
    return 0;
}

static void set_behaviour(SSL_CTX *ctx, const struct tls_context *context)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* The owner of the bytes keeps them until they are written, but may move them (outq). The chain
     * that is sent is the file's, not one made up with the authorities of clients. */
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TICKET_LIFE_S);
    SSL_CTX_set_num_tickets(ctx, TICKETS_PER_HANDSHAKE);
    if (context->tickets.count > 0)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
}

static int make_one(struct tls_context *context, unsigned i, const struct setup *setup,
                    struct err_text *et)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int r;

    if (ctx == NULL)
        return err_set(et, ERR_NO_MEMORY, "could not set up TLS: %s", openssl_reason());
    context->contexts[i] = ctx;
    set_behaviour(ctx, context);
    r = set_versions(ctx, setup->options, et);
    if (r == 0)
        r = set_clients(ctx, setup, et);
    if (r == 0)
        r = set_certificate(ctx, &context->certificates->pairs[i], context->certificates->paths[i],
                            et);
    return r;
}

/* --- all of it --- */

/* A session that was let in by other authorities must not be taken up again, even when the ticket
 * is still good: what clients need is a part of the session's context. */
static int set_session_context(struct setup *setup, struct err_text *et)
{
    const struct pem_source source = {"tls.client_ca", setup->client_ca};
    AUTO_FREE char *text = NULL;
    AUTO_FREE char *whole = NULL;
    int r, len;

    if (setup->client_ca != NULL) {
        r = pem_read(&source, &text, et);
        if (r < 0)
            return r;
    }
    len = asprintf(&whole, "beckon-connector %d %s",
                   setup->client_ca != NULL && setup->options->client_required,
                   text != NULL ? text : "");
    if (len < 0) {
        whole = NULL;
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    if (EVP_Digest(whole, (size_t)len, setup->session_context, &setup->session_context_len,
                   EVP_sha256(), NULL) != 1)
        return err_set(et, ERR_NO_MEMORY, "could not set up TLS: %s", openssl_reason());
    return 0;
}

/* The file that an option names, or NULL when it is empty. */
static int named_file(const config_t *config, const char *option, const char *file, char **ret_path,
                      struct err_text *et)
{
    if (file[0] == '\0')
        return 0;
    *ret_path = option_path(config_lookup(config, option), file);
    return *ret_path != NULL ? 0 : err_set(et, ERR_NO_MEMORY, "out of memory");
}

static int fill(struct tls_context *context, const struct tls_options *options,
                const config_t *config, struct err_text *et)
{
    AUTO_FREE char *client_ca = NULL;
    AUTO_FREE char *ticket_keys = NULL;
    struct setup setup = {.options = options};
    int r = named_file(config, "tls.client_ca", options->client_ca, &client_ca, et);

    setup.client_ca = client_ca;
    if (r == 0)
        r = named_file(config, "tls.ticket_keys", options->ticket_keys, &ticket_keys, et);
    if (r == 0 && ticket_keys != NULL)
        r = tls_tickets_read(ticket_keys, &context->tickets, et);
    if (r == 0)
        r = set_session_context(&setup, et);
    if (r == 0)
        r = tls_certificates_load(config, &context->certificates, et);
    for (unsigned i = 0; r == 0 && i < context->certificates->count; i++)
        r = make_one(context, i, &setup, et);
    return r;
}

int tls_context_create(const struct tls_options *options, const config_t *config,
                       struct tls_context **ret_context, struct err_text *et)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    int r;

    if (context == NULL || protocol_index() < 0) {
        free(context);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    context->references = 1;
    ERR_clear_error();
    r = fill(context, options, config, et);
    ERR_clear_error(); /* of this thread: other users of OpenSSL would find it */
    if (r == 0)
        *ret_context = context;
    else
        tls_context_unref(context);
    return r;
}

void tls_context_ref(struct tls_context *context)
{
    context->references++;
}

void tls_context_unref(struct tls_context *context)
{
    if (context == NULL || --context->references > 0)
        return;
    for (unsigned i = 0; i < ARRAY_LEN(context->contexts); i++)
        SSL_CTX_free(context->contexts[i]);
    tls_certificates_destroy(context->certificates);
    OPENSSL_cleanse(&context->tickets, sizeof(context->tickets));
    free(context);
}

SSL *tls_context_open(struct tls_context *context, const char *protocol)
{
    SSL *ssl = SSL_new(context->contexts[0]);
    char *kept;

    if (ssl == NULL)
        return NULL;
    memcpy(&kept, &protocol, sizeof(kept)); /* OpenSSL's pointer is not const */
    if (SSL_set_app_data(ssl, context) != 1 || SSL_set_ex_data(ssl, protocol_index(), kept) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}
