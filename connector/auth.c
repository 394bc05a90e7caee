/* auth - from the list in the configuration to a set of keys, from a verdict to a reason code.
 *
 * A reload makes a whole new set
 * and swaps it in only when every key could be read: a typo never locks everybody out. */
#include "connector/auth.h"

#include <stdlib.h>

#include "common/auth_keys.h"

#include "connector/connector.h"
#include "connector/mqtt_codec.h"

struct auth {
    struct token_keys *keys;
};

int auth_create(const struct options *options, const char *key_dir, const config_t *config,
                struct auth **ret_auth, struct err_text *et)
{
    const struct token_policy policy = {
        .issuer = options->auth_issuer,
        .audience = options->auth_audience,
        .leeway_s = options->auth_leeway_s,
    };
    struct auth *auth;
    int r;

    if (config_lookup(config, "auth.keys") == NULL && key_dir[0] == '\0')
        return err_set(et, ERR_CONFIG,
                       "\"auth.keys\" and \"auth.key_dir\" are missing, expected at least one key: "
                       "( { kid = ...; algorithm = ...; file = ...; } )");
    auth = calloc(1, sizeof(*auth));
    if (auth == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = auth_keys_load(&policy, config, key_dir, &auth->keys, et);
    if (r < 0) {
        free(auth);
        return r;
    }
    *ret_auth = auth;
    return 0;
}

void auth_destroy(struct auth *auth)
{
    if (auth == NULL)
        return;
    token_keys_destroy(auth->keys);
    free(auth);
}

uint8_t auth_check(const struct auth *auth, struct bytes token, struct bytes user,
                   struct bytes device, uint64_t wall_s, struct token_claims *ret_claims,
                   enum token_why *ret_why)
{
    struct token_claims claims;

    switch (token_verify(auth->keys, token, wall_s, &claims, ret_why)) {
    case TOKEN_UNVERIFIABLE:
        return MQTT_BAD_CREDENTIALS;
    case TOKEN_REFUSED:
        return MQTT_NOT_AUTHORIZED;
    case TOKEN_VALID:
        break;
    }
    if (!bytes_equal_string(user, claims.user)) {
        *ret_why = TOKEN_WHY_USER;
        return MQTT_NOT_AUTHORIZED;
    }
    if (claims.device[0] != '\0' && !bytes_equal_string(device, claims.device)) {
        *ret_why = TOKEN_WHY_DEVICE;
        return MQTT_NOT_AUTHORIZED;
    }
    *ret_claims = claims;
    return MQTT_SUCCESS;
}

void auth_count(struct metrics *metrics, enum token_why why)
{
    static const size_t counters[TOKEN_KIND_COUNT] = {
#define TOKEN_KIND(name, text) [TOKEN_KIND_##name] = offsetof(struct metrics, tokens_##name),
#define TOKEN_WHY(name, kind, text)
#include "common/token_why.def"
#undef TOKEN_KIND
#undef TOKEN_WHY
    };

    ++*(uint64_t *)(void *)((char *)metrics + counters[token_why_kind(why)]);
}
