/* auth - from the list in the configuration to a set of keys, from a verdict to a reason code.
 *
 * Keys are files, so that a configuration can be shown to anybody. A reload makes a whole new set
 * and swaps it in only when every key could be read: a typo never locks everybody out. */
#include "connector/auth.h"

#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

#include "connector/mqtt_codec.h"

struct auth {
    struct token_keys *keys;
};

static const char *const key_fields[] = {"kid", "algorithm", "file"};

static const char *source_name(const config_setting_t *setting)
{
    const char *file = config_setting_source_file(setting);

    return file != NULL ? file : "configuration";
}

static int check_key(const config_setting_t *key, struct err_text *et)
{
    const char *file = source_name(key), *text;
    int line = config_setting_source_line(key);

    if (config_setting_type(key) != CONFIG_TYPE_GROUP)
        return err_set(et, ERR_CONFIG, "%s:%d: an element of \"auth.keys\" is not a group { ... }",
                       file, line);
    for (size_t i = 0; i < ARRAY_LEN(key_fields); i++) {
        if (config_setting_lookup_string(key, key_fields[i], &text) != CONFIG_TRUE)
            return err_set(et, ERR_CONFIG,
                           "%s:%d: a key of \"auth.keys\" has no \"%s\", expected a string", file,
                           line, key_fields[i]);
    }
    for (int i = 0; i < config_setting_length(key); i++) {
        const config_setting_t *field = config_setting_get_elem(key, (unsigned)i);
        bool known = false;

        for (size_t k = 0; k < ARRAY_LEN(key_fields); k++)
            known |= strcmp(config_setting_name(field), key_fields[k]) == 0;
        if (!known)
            return err_set(et, ERR_CONFIG,
                           "%s:%d: unknown option \"%s\" in a key of \"auth.keys\", expected kid, "
                           "algorithm and file",
                           file, config_setting_source_line(field), config_setting_name(field));
    }
    return 0;
}

int auth_check_keys_setting(const config_setting_t *setting, struct err_text *et)
{
    int length = config_setting_length(setting), type = config_setting_type(setting);

    if (type != CONFIG_TYPE_LIST || length == 0)
        return err_set(et, ERR_CONFIG,
                       "%s:%d: \"auth.keys\" is not a list of at least one key: "
                       "( { kid = ...; algorithm = ...; file = ...; } )",
                       source_name(setting), config_setting_source_line(setting));
    for (int i = 0; i < length; i++) {
        int r = check_key(config_setting_get_elem(setting, (unsigned)i), et);

        if (r < 0)
            return r;
    }
    return 0;
}

/* Returns owned: file, or file in the folder of the configuration file that names it. */
static char *resolve(const config_setting_t *key, const char *file)
{
    const char *source = config_setting_source_file(key);
    const char *slash = source != NULL ? strrchr(source, '/') : NULL;
    char *path;

    if (file[0] == '/' || slash == NULL)
        return strdup(file);
    if (asprintf(&path, "%.*s/%s", (int)(slash - source), source, file) < 0)
        return NULL;
    return path;
}

static int add_key(struct auth *auth, const config_setting_t *key, struct err_text *et)
{
    const char *kid = "", *algorithm = "", *file = "";
    AUTO_FREE char *path = NULL;

    if (config_setting_lookup_string(key, "kid", &kid) != CONFIG_TRUE ||
        config_setting_lookup_string(key, "algorithm", &algorithm) != CONFIG_TRUE ||
        config_setting_lookup_string(key, "file", &file) != CONFIG_TRUE)
        return check_key(key, et);
    path = resolve(key, file);
    if (path == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    return token_keys_add_file(auth->keys, kid, algorithm, path, et);
}

int auth_create(const struct options *options, const config_t *config, struct auth **ret_auth,
                struct err_text *et)
{
    const struct token_policy policy = {
        .issuer = options->auth_issuer,
        .audience = options->auth_audience,
        .leeway_s = options->auth_leeway_s,
    };
    const config_setting_t *keys = config_lookup(config, "auth.keys");
    struct auth *auth;
    int r;

    if (keys == NULL)
        return err_set(et, ERR_CONFIG,
                       "\"auth.keys\" is missing, expected at least one key: "
                       "( { kid = ...; algorithm = ...; file = ...; } )");
    auth = calloc(1, sizeof(*auth));
    if (auth == NULL || (auth->keys = token_keys_create(&policy)) == NULL) {
        free(auth);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    for (int i = 0; i < config_setting_length(keys); i++) {
        r = add_key(auth, config_setting_get_elem(keys, (unsigned)i), et);
        if (r < 0) {
            auth_destroy(auth);
            return r;
        }
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
                   const char **ret_why)
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
        *ret_why = "token of another user";
        return MQTT_NOT_AUTHORIZED;
    }
    if (claims.device[0] != '\0' && !bytes_equal_string(device, claims.device)) {
        *ret_why = "token for another device";
        return MQTT_NOT_AUTHORIZED;
    }
    *ret_claims = claims;
    return MQTT_SUCCESS;
}
