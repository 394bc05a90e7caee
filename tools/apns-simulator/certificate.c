/* certificate - X.509 version 3 through OpenSSL.
 *
 * The authority's key is never written: what trusts ca.pem trusts this one server and nothing that
 * somebody could sign later. So the three files belong together, and when one is missing all are
 * made anew. */
#include "certificate.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/auto.h"

#include "pem_file.h"

/* Ten years: a development folder lives long, and nobody renews its certificate. */
#define VALID_DAYS 3650
/* Clocks of containers may be behind. */
#define VALID_BEFORE_S 3600
#define SERIAL_BITS 127

struct extension {
    int nid;
    const char *value;
};

static const struct extension authority_extensions[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
};

static const struct extension server_extensions[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth"},
    {NID_subject_alt_name, "DNS:localhost,DNS:apns-simulator,IP:127.0.0.1,IP:::1"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
};

static bool add_extensions(X509 *certificate, X509 *issuer, const struct extension *extensions,
                           size_t count)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        X509_EXTENSION *extension =
            X509V3_EXT_conf_nid(NULL, &context, extensions[i].nid, extensions[i].value);
        bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;

        X509_EXTENSION_free(extension);
        if (!added)
            return false;
    }
    return true;
}

static bool set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    bool set = number != NULL &&
               BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;

    BN_free(number);
    return set;
}

static bool fill(X509 *certificate, const char *name, EVP_PKEY *key)
{
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -VALID_BEFORE_S) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), VALID_DAYS, 0, NULL) != NULL &&
           X509_set_pubkey(certificate, key) == 1 &&
           X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                      (const unsigned char *)name, -1, -1, 0) == 1;
}

/* issuer NULL: signs itself. Returns owned, or NULL. */
static X509 *make(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                  const struct extension *extensions, size_t count)
{
    X509 *certificate = X509_new();

    if (certificate != NULL && issuer == NULL)
        issuer = certificate;
    if (certificate != NULL && fill(certificate, name, key) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
        add_extensions(certificate, issuer, extensions, count) &&
        X509_sign(certificate, issuer_key, EVP_sha256()) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}

struct made {
    EVP_PKEY *authority_key, *server_key;
    X509 *authority, *server;
};

static bool make_all(struct made *made)
{
    made->authority_key = pem_make_key();
    made->server_key = pem_make_key();
    if (made->authority_key == NULL || made->server_key == NULL)
        return false;
    made->authority = make("Beckon APNs simulator", made->authority_key, NULL, made->authority_key,
                           authority_extensions, ARRAY_LEN(authority_extensions));
    if (made->authority == NULL)
        return false;
    made->server = make("localhost", made->server_key, made->authority, made->authority_key,
                        server_extensions, ARRAY_LEN(server_extensions));
    return made->server != NULL;
}

struct paths {
    char *authority, *server, *key;
};

/* ca.pem last: who waits for it finds the others. */
static int write_all(const struct made *made, const struct paths *paths, struct err_text *et)
{
    int r = pem_write_key(paths->key, made->server_key, et);

    if (r == 0)
        r = pem_write_certificate(paths->server, made->server, et);
    return r == 0 ? pem_write_certificate(paths->authority, made->authority, et) : r;
}

static int ensure(const char *directory, const struct paths *paths, struct err_text *et)
{
    struct made made = {0};
    int r;

    if (pem_file_exists(paths->authority) && pem_file_exists(paths->server) &&
        pem_file_exists(paths->key))
        return 0;
    r = pem_make_directory(directory, et);
    if (r < 0)
        return r;
    r = make_all(&made)
            ? write_all(&made, paths, et)
            : err_set(et, ERR_SYSTEM, "could not make a certificate: %s", pem_openssl_error());
    X509_free(made.server);
    X509_free(made.authority);
    EVP_PKEY_free(made.server_key);
    EVP_PKEY_free(made.authority_key);
    return r;
}

int certificate_ensure(const char *directory, struct err_text *et)
{
    struct paths paths = {0};
    int r;

    if (asprintf(&paths.authority, "%s/ca.pem", directory) < 0)
        paths.authority = NULL;
    if (asprintf(&paths.server, "%s/server.pem", directory) < 0)
        paths.server = NULL;
    if (asprintf(&paths.key, "%s/server.key", directory) < 0)
        paths.key = NULL;
    r = paths.authority != NULL && paths.server != NULL && paths.key != NULL
            ? ensure(directory, &paths, et)
            : err_set(et, ERR_NO_MEMORY, "out of memory");
    free(paths.authority);
    free(paths.server);
    free(paths.key);
    return r;
}
