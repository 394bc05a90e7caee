/* push_keys - a folder with what the plugin's settings name: a provider key (and files that are
 * none), and the server's certificate. Made once a process, removed by push_keys_remove. */
#ifndef BECKON_TESTS_PUSH_KEYS_H
#define BECKON_TESTS_PUSH_KEYS_H

#include <openssl/ssl.h>

struct push_keys {
    char folder[64];
    char p8[96];          /* a P-256 key, as Apple hands it out */
    char encrypted[96];   /* the same with a passphrase */
    char p384[96];        /* a key on another curve */
    char certificate[96]; /* of the server, self-signed, for 127.0.0.1 and localhost */
    EVP_PKEY *provider;
    SSL_CTX *server;
};

void push_keys_make(struct push_keys *keys);
void push_keys_remove(struct push_keys *keys);

#endif
