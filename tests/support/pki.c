#include "tests/support/pki.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define HOUR_S 3600
#define DAY_S (24L * HOUR_S)

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

struct pki pki_make(const char *names, const struct pki *issuer, int days)
{
    static long serial;
    struct pki made = {.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    const struct pki *by = issuer != NULL ? issuer : &made;
    X509_NAME *subject;

    ck_assert(made.certificate != NULL && made.key != NULL);
    ck_assert_int_eq(X509_set_version(made.certificate, X509_VERSION_3), 1);
    ck_assert_int_eq(ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), ++serial), 1);
    ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(made.certificate),
                                          days < 0 ? 2 * days * DAY_S : -HOUR_S));
    ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(made.certificate), days * DAY_S));
    subject = X509_get_subject_name(made.certificate);
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(
                         subject, "CN", MBSTRING_ASC,
                         (const unsigned char *)(names != NULL ? "leaf" : "authority"), -1, -1, 0),
                     1);
    ck_assert_int_eq(X509_set_issuer_name(made.certificate, X509_get_subject_name(by->certificate)),
                     1);
    ck_assert_int_eq(X509_set_pubkey(made.certificate, made.key), 1);
    add_extension(made.certificate, by->certificate, NID_basic_constraints,
                  names != NULL ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (names != NULL)
        add_extension(made.certificate, by->certificate, NID_subject_alt_name, names);
    ck_assert_int_gt(X509_sign(made.certificate, by->key, EVP_sha256()), 0);
    return made;
}

void pki_fini(struct pki *pki)
{
    X509_free(pki->certificate);
    EVP_PKEY_free(pki->key);
    *pki = (struct pki){0};
}

static FILE *open_file(const char *folder, const char *name, const char *suffix)
{
    char path[256];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s.%s", folder, name, suffix);
    out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    return out;
}

void pki_write(const struct pki *pki, const char *folder, const char *name)
{
    FILE *out = open_file(folder, name, "pem");

    ck_assert_int_eq(PEM_write_X509(out, pki->certificate), 1);
    ck_assert_int_eq(fclose(out), 0);
    out = open_file(folder, name, "key");
    ck_assert_int_eq(PEM_write_PrivateKey(out, pki->key, NULL, NULL, 0, NULL, NULL), 1);
    ck_assert_int_eq(fclose(out), 0);
}
