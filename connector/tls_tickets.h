/* tls_tickets - the keys of session tickets, when several connectors have to understand each
 * other's: read from a file that they share.
 *
 * A ticket is the client's session, encrypted by us and kept by the client, so that we keep
 * nothing. Without a file OpenSSL invents keys, which end with the process or the next reload. */
#ifndef BECKON_CONNECTOR_TLS_TICKETS_H
#define BECKON_CONNECTOR_TLS_TICKETS_H

#include "common/err.h"

#include <openssl/ssl.h>

/* Random bytes of one key: its name, a key for AES-256, a key for HMAC-SHA-256. */
#define TLS_TICKET_NAME_BYTES 16
#define TLS_TICKET_AES_BYTES 32
#define TLS_TICKET_HMAC_BYTES 32
#define TLS_TICKET_KEY_BYTES (TLS_TICKET_NAME_BYTES + TLS_TICKET_AES_BYTES + TLS_TICKET_HMAC_BYTES)
/* The one in force and those before it; each costs 16 compared bytes a ticket. */
#define TLS_TICKET_KEYS_MAX 8

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_BYTES];
    unsigned char aes[TLS_TICKET_AES_BYTES];
    unsigned char hmac[TLS_TICKET_HMAC_BYTES];
};

/* The first one encrypts, all of them decrypt. */
struct tls_tickets {
    struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
    unsigned count;
};

/* Reads a file of one to TLS_TICKET_KEYS_MAX keys. ERR_CONFIG with et. */
MUST_CHECK int tls_tickets_read(const char *path, struct tls_tickets *ret_tickets,
                                struct err_text *et);
/* What OpenSSL asks for (SSL_CTX_set_tlsext_ticket_key_evp_cb): sets the key up to encrypt, or the
 * named one to decrypt. 1; 2: good, and to be replaced by a newer one; 0: unknown; -1: failed. */
int tls_tickets_use(const struct tls_tickets *tickets, unsigned char name[TLS_TICKET_NAME_BYTES],
                    unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                    int encrypt);

#endif
