/* pem_file - keys and certificates in PEM files, through OpenSSL.
 * Start-up only: these calls block. No state. */
#ifndef BECKON_APNS_SIMULATOR_PEM_FILE_H
#define BECKON_APNS_SIMULATOR_PEM_FILE_H

#include "common/err.h"

#include <openssl/types.h>
#include <stdbool.h>

/* A new P-256 key pair. Returns owned, or NULL. */
EVP_PKEY *pem_make_key(void);
/* A P-256 key from a PEM file: a public key, or a private one, of which the public half is meant.
 * Returns owned; NULL with et that names the file. */
EVP_PKEY *pem_read_key(const char *file, struct err_text *et);

/* Writes whole or not at all (a new file, renamed). A private key as PKCS#8, for its owner only to
 * read. 0 or ERR_SYSTEM with et. */
MUST_CHECK int pem_write_key(const char *file, EVP_PKEY *key, struct err_text *et);
MUST_CHECK int pem_write_certificate(const char *file, X509 *certificate, struct err_text *et);

/* Makes the folder (one level) when it is not there. 0 or ERR_SYSTEM with et. */
MUST_CHECK int pem_make_directory(const char *directory, struct err_text *et);
bool pem_file_exists(const char *file);
/* The newest error of OpenSSL as text, and forgets all of them. Valid until the next call. */
const char *pem_openssl_error(void);

#endif
