/* pem - a certificate with its chain and its private key, from PEM files, with errors an operator
 * can act on: which option, which file, what was expected. Start-up and SIGHUP only. */
#ifndef BECKON_COMMON_PEM_H
#define BECKON_COMMON_PEM_H

#include "common/err.h"

#include <openssl/x509.h>

/* One file, and the option that named it, for errors. Borrowed by every call. */
struct pem_source {
    const char *option, *path;
};

struct pem_pair {
    X509 *certificate;
    STACK_OF(X509) * chain; /* what follows in the certificate's file; may be empty */
    EVP_PKEY *key;
};

/* The whole file as text; the caller frees it. ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int pem_read(const struct pem_source *source, char **ret_text, struct err_text *et);

/* Parses the texts that pem_read gave, and sees that the key is the certificate's. *ret_pair is the
 * caller's, for pem_pair_fini. ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int pem_pair_parse(const struct pem_source *certificate, const char *certificate_text,
                              const struct pem_source *key, const char *key_text,
                              struct pem_pair *ret_pair, struct err_text *et);
/* Half-filled ones too. */
void pem_pair_fini(struct pem_pair *pair);

#endif
