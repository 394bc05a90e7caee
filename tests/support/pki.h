/* pki - certificates for tests: made in memory, written as PEM where a test wants files. */
#ifndef BECKON_TESTS_SUPPORT_PKI_H
#define BECKON_TESTS_SUPPORT_PKI_H

#include <openssl/x509.h>

struct pki {
    X509 *certificate;
    EVP_PKEY *key;
};

/* names: what goes into subjectAltName, as "DNS:a.test,DNS:*.b.test", or NULL for an authority.
 * issuer: who signs, NULL for itself. Valid from an hour ago until days from now, which may be
 * negative. To be given to pki_fini. */
struct pki pki_make(const char *names, const struct pki *issuer, int days);
void pki_fini(struct pki *pki);

/* Writes FOLDER/NAME.pem and FOLDER/NAME.key. */
void pki_write(const struct pki *pki, const char *folder, const char *name);

#endif
