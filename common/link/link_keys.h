/* link_keys - what both sides of a link prove themselves with (CURVE). */
#ifndef BECKON_COMMON_LINK_LINK_KEYS_H
#define BECKON_COMMON_LINK_LINK_KEYS_H

#include "common/curve_key.h"

struct link_keys {
    char server_key[CURVE_KEY_SIZE]; /* of the brokers; "": the link is plain */
    struct curve_key own;
};

void link_keys_wipe(struct link_keys *keys);
static inline bool link_keys_has_keys(const struct link_keys *keys)
{
    return keys->server_key[0] != '\0';
}

#endif
