/* push_keys - see the header. */
#include "push_keys.h"

#include <check.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void name_file(const struct push_keys *k, char path[96], const char *name)
{
    snprintf(path, 96, "%s/%s", k->folder, name);
}

static void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *out = fopen(path, "we");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(PEM_write_PKCS8PrivateKey(out, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                               NULL, 0, NULL, (void *)passphrase),
                     1);
    fclose(out);
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                     const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char h2[] = {2, 'h', '2'};

    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)out, out_len, h2, sizeof(h2), in, in_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    X509_NAME *name = X509_get_subject_name(cert);

    ck_assert_ptr_nonnull(names);
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"push", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_add_ext(cert, names, -1);
    X509_EXTENSION_free(names);
    X509_set_pubkey(cert, key);
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    return cert;
}

static void make_server(struct push_keys *k)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_certificate(key);
    FILE *out = fopen(k->certificate, "we");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(PEM_write_X509(out, cert), 1);
    fclose(out);
    k->server = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(k->server, cert), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(k->server, key), 1);
    SSL_CTX_set_mode(k->server,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(k->server, choose_h2, NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
}

void push_keys_make(struct push_keys *k)
{
    EVP_PKEY *other = EVP_EC_gen("P-384");

    snprintf(k->folder, sizeof(k->folder), "/tmp/beckon-apns-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(k->folder));
    name_file(k, k->p8, "key.p8");
    name_file(k, k->encrypted, "encrypted.p8");
    name_file(k, k->p384, "p384.p8");
    name_file(k, k->certificate, "server.pem");
    k->provider = EVP_EC_gen("P-256");
    write_key(k->p8, k->provider, NULL);
    write_key(k->encrypted, k->provider, "secret");
    write_key(k->p384, other, NULL);
    EVP_PKEY_free(other);
    make_server(k);
}

void push_keys_remove(struct push_keys *k)
{
    unlink(k->p8);
    unlink(k->encrypted);
    unlink(k->p384);
    unlink(k->certificate);
    rmdir(k->folder);
    EVP_PKEY_free(k->provider);
    SSL_CTX_free(k->server);
}
