/* provider_key - the key pairs with which providers sign their tokens.
 *
 * Apple gives a provider AuthKey_<kid>.p8 and keeps the public half; this keeps what Apple keeps.
 * Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_PROVIDER_KEY_H
#define BECKON_APNS_SIMULATOR_PROVIDER_KEY_H

#include "common/err.h"

#include <libconfig.h>
#include <openssl/types.h>
#include <stddef.h>

/* Apple's team ids and key ids have 10 characters, letters and digits. */
#define APPLE_ID_LEN 10

struct provider_key {
    char kid[APPLE_ID_LEN + 1];
    char team[APPLE_ID_LEN + 1];
    EVP_PKEY *key;
};

struct provider_keys {
    struct provider_key *keys;
    size_t count;
};

/* Where the key that is made when none is configured goes, and what it is called. */
struct provider_key_default {
    const char *directory, *team, *kid;
};

/* 0, or ERR_INVALID: not 10 letters and digits. */
MUST_CHECK int provider_id_check(const char *id);

/* For the option table: the shape of auth.keys, without reading files. */
int provider_keys_check_setting(const config_setting_t *setting, struct err_text *et);
/* Reads what auth.keys lists; files lie beside the configuration file unless they begin with '/'.
 * 0; ERR_CONFIG with et; ERR_NO_MEMORY. ret_keys needs provider_keys_fini. */
MUST_CHECK int provider_keys_load(const config_setting_t *setting, struct provider_keys *ret_keys,
                                  struct err_text *et);
/* Reads DIRECTORY/AuthKey_<kid>.p8, which it makes first when it is not there. 0; ERR_SYSTEM or
 * ERR_CONFIG with et. */
MUST_CHECK int provider_keys_make(const struct provider_key_default *what,
                                  struct provider_keys *ret_keys, struct err_text *et);
void provider_keys_fini(struct provider_keys *keys);
/* NULL when no key has that id. */
const struct provider_key *provider_keys_find(const struct provider_keys *keys, const char *kid);

#endif
