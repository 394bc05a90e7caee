/* auth_key_dir - the option `auth.key_dir`: a folder whose files are the keys of tokens, so that a
 * key is rotated by putting a file there and taking another one away. Start-up and SIGHUP only. */
#ifndef BECKON_COMMON_AUTH_KEY_DIR_H
#define BECKON_COMMON_AUTH_KEY_DIR_H

#include "common/token.h"

/* Adds every file of folder to keys: KID.hs256 (a secret), KID.rs256.pem, KID.es256.pem (public
 * keys). Names that begin with a dot are none of them; any other name is an error, so that a key
 * with a mistyped name is missed before a client misses it. 0; ERR_CONFIG, ERR_NO_MEMORY with et:
 * keys may have got some of them. */
MUST_CHECK int auth_key_dir_add(struct token_keys *keys, const char *folder, struct err_text *et);

#endif
