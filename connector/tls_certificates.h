/* tls_certificates - the list tls.certificates: which files, read and checked. Start-up and SIGHUP
 * only. */
#ifndef BECKON_CONNECTOR_TLS_CERTIFICATES_H
#define BECKON_CONNECTOR_TLS_CERTIFICATES_H

#include "common/option.h"
#include "common/pem.h"

/* Each costs a look at its names in a handshake that asks for one; more names than a Beckon has. */
#define TLS_CERTIFICATES_MAX 64

struct tls_certificates {
    struct pem_pair pairs[TLS_CERTIFICATES_MAX];
    char *paths[TLS_CERTIFICATES_MAX]; /* of the certificates' files */
    unsigned count;
};

/* The list's shape: the check of the option tls.certificates. An empty list is none. */
int tls_certificates_check(const config_setting_t *setting, struct err_text *et);
/* How many certificates are configured. */
unsigned tls_certificates_count(const config_t *config);
/* Reads them all, in the order of the list. What has expired, or is not valid yet, is logged as a
 * warning and used. *ret_certificates is the caller's, for tls_certificates_destroy. ERR_CONFIG,
 * ERR_NO_MEMORY with et. */
MUST_CHECK int tls_certificates_load(const config_t *config,
                                     struct tls_certificates **ret_certificates,
                                     struct err_text *et);
void tls_certificates_destroy(struct tls_certificates *certificates);

#endif
