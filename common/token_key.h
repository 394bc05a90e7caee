/* token_key - one key of token.h's set, loaded from a file and checked. Internal to token.c.
 * No state, no locking. */
#ifndef BECKON_COMMON_TOKEN_KEY_H
#define BECKON_COMMON_TOKEN_KEY_H

#include "common/err.h"

#include <stddef.h>

struct token_key {
    char *kid;
    const char *algorithm; /* "HS256", "RS256" or "ES256": static */
    unsigned char *data;   /* the secret, or the public key's PEM */
    size_t len;            /* above 0, at most 16 KiB */
};

/* Reads file for that kid and algorithm. Returns owned through ret_key (token_key_fini).
 * 0; ERR_CONFIG with et naming the file and what was expected. */
MUST_CHECK int token_key_load(const char *kid, const char *algorithm, const char *file,
                              struct token_key *ret_key, struct err_text *et);
/* Wipes the secret. */
void token_key_fini(struct token_key *key);

#endif
