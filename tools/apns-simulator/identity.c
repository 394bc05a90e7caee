/* identity - see the header.
 *
 * Made once and kept in the directory: ca.pem is what clients are given to trust. */
#include "identity.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Long enough that nobody meets its end. */
#define DAYS 3650

struct paths {
    char ca[4200], certificate[4200], key[4200];
};

static bool extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    bool good;

    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    good = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

/* issuer NULL: signed by itself. */
static X509 *make_certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                              long serial)
{
    X509 *c = X509_new();
    X509_NAME *subject = c ? X509_get_subject_name(c) : NULL;
    bool ca = issuer == NULL;

    if (!c || X509_set_version(c, X509_VERSION_3) != 1 ||
        ASN1_INTEGER_set(X509_get_serialNumber(c), serial) != 1 ||
        !X509_gmtime_adj(X509_getm_notBefore(c), -3600) ||
        !X509_time_adj_ex(X509_getm_notAfter(c), DAYS, 0, NULL) ||
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
                                   0) != 1 ||
        X509_set_issuer_name(c, ca ? subject : X509_get_subject_name(issuer)) != 1 ||
        X509_set_pubkey(c, key) != 1 ||
        !extend(c, ca ? c : issuer, NID_basic_constraints,
                ca ? "critical,CA:TRUE" : "critical,CA:FALSE") ||
        !extend(c, ca ? c : issuer, NID_subject_key_identifier, "hash") ||
        (ca && !extend(c, c, NID_key_usage, "critical,keyCertSign,cRLSign")) ||
        (!ca && !extend(c, issuer, NID_ext_key_usage, "serverAuth")) ||
        (!ca && !extend(c, issuer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1")) ||
        X509_sign(c, issuer_key, EVP_sha256()) == 0) {
        X509_free(c);
        return NULL;
    }
    return c;
}

static FILE *create(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    return fd < 0 ? NULL : fdopen(fd, "w");
}

static bool write_certificate(const char *path, X509 *certificate)
{
    FILE *out = create(path, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
    bool good = out && PEM_write_X509(out, certificate) == 1;

    return out && fclose(out) == 0 && good;
}

static bool write_key(const char *path, EVP_PKEY *key)
{
    FILE *out = create(path, S_IRUSR | S_IWUSR);
    bool good = out && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1;

    return out && fclose(out) == 0 && good;
}

static int make(const struct paths *paths, struct err_text *et)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = ca_key ? make_certificate("APNs simulator CA", ca_key, NULL, ca_key, 1) : NULL;
    X509 *certificate = ca && key ? make_certificate("localhost", key, ca, ca_key, 2) : NULL;
    /* the certificate last: it is what says that all are there */
    bool good = certificate && write_certificate(paths->ca, ca) && write_key(paths->key, key) &&
                write_certificate(paths->certificate, certificate);

    X509_free(certificate);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return good ? 0 : err_set(et, ERR_SYSTEM, "could not make \"%s\": %m", paths->certificate);
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char h2[] = {2, 'h', '2'};

    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)out, out_len, h2, sizeof(h2), in, in_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

SSL_CTX *identity_context(const struct simulator *simulator, struct err_text *et)
{
    const struct options *o = &simulator->options;
    const char *certificate = o->tls_certificate, *key = o->tls_key;
    struct paths paths;
    SSL_CTX *ctx;

    if (certificate[0] == '\0') {
        snprintf(paths.ca, sizeof(paths.ca), "%s/ca.pem", o->directory);
        snprintf(paths.certificate, sizeof(paths.certificate), "%s/server.pem", o->directory);
        snprintf(paths.key, sizeof(paths.key), "%s/server.key", o->directory);
        if (access(paths.certificate, R_OK) != 0 && make(&paths, et) < 0)
            return NULL;
        certificate = paths.certificate;
        key = paths.key;
    }
    ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        err_set(et, ERR_NO_MEMORY, "out of memory");
    } else if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
        err_set(et, ERR_CONFIG, "tls.certificate: \"%s\": %s, expected a PEM certificate",
                certificate, ERR_reason_error_string(ERR_peek_last_error()));
    } else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        err_set(et, ERR_CONFIG, "tls.key: \"%s\": %s, expected the certificate's PEM key", key,
                ERR_reason_error_string(ERR_peek_last_error()));
    } else {
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        return ctx;
    }
    SSL_CTX_free(ctx);
    return NULL;
}
