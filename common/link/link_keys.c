#include "common/link/link_keys.h"

#include <openssl/crypto.h>

void link_keys_wipe(struct link_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}
