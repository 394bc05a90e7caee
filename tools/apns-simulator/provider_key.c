/* provider_key - auth.keys from the configuration, or one key pair of our own. Found by a linear
 * search: there are a few. */
#include "provider_key.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/option_group.h"

#include "pem_file.h"

static const char *const key_fields[] = {"team", "kid", "file"};
static const struct option_group key_group = {"auth.keys", key_fields, ARRAY_LEN(key_fields)};

int provider_id_check(const char *id)
{
    size_t len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");

    return len == APPLE_ID_LEN && id[len] == '\0' ? 0 : ERR_INVALID;
}

static int check_key(const config_setting_t *key, struct err_text *et)
{
    const char *text;

    for (size_t i = 0; i < ARRAY_LEN(key_fields); i++) {
        if (strcmp(key_fields[i], "file") != 0 &&
            config_setting_lookup_string(key, key_fields[i], &text) == CONFIG_TRUE &&
            provider_id_check(text) < 0)
            return err_set(et, ERR_CONFIG,
                           "%s:%d: \"%s\" is \"%s\", expected %d letters and digits",
                           option_source(key), config_setting_source_line(key), key_fields[i], text,
                           APPLE_ID_LEN);
    }
    return option_group_check(key, &key_group, et);
}

int provider_keys_check_setting(const config_setting_t *setting, struct err_text *et)
{
    int length = config_setting_length(setting);

    if (config_setting_type(setting) != CONFIG_TYPE_LIST)
        return err_set(et, ERR_CONFIG,
                       "%s:%d: \"auth.keys\" is not a list: ( { team = ...; kid = ...; "
                       "file = ...; } )",
                       option_source(setting), config_setting_source_line(setting));
    for (int i = 0; i < length; i++) {
        int r = check_key(config_setting_get_elem(setting, (unsigned)i), et);

        if (r < 0)
            return r;
    }
    return 0;
}

static void put_ids(struct provider_key *key, const char *team, const char *kid)
{
    snprintf(key->team, sizeof(key->team), "%s", team);
    snprintf(key->kid, sizeof(key->kid), "%s", kid);
}

static int load_key(const config_setting_t *setting, struct provider_keys *keys,
                    struct err_text *et)
{
    struct provider_key *key = &keys->keys[keys->count];
    const char *team = "", *kid = "", *file = "";
    AUTO_FREE char *path = NULL;
    int r = check_key(setting, et);

    if (r < 0)
        return r;
    IGNORE_RESULT(config_setting_lookup_string(setting, "team", &team) !=
                  CONFIG_TRUE); /* checked */
    IGNORE_RESULT(config_setting_lookup_string(setting, "kid", &kid) != CONFIG_TRUE);
    IGNORE_RESULT(config_setting_lookup_string(setting, "file", &file) != CONFIG_TRUE);
    if (provider_keys_find(keys, kid) != NULL)
        return err_set(et, ERR_CONFIG, "%s:%d: two keys of \"auth.keys\" have the kid \"%s\"",
                       option_source(setting), config_setting_source_line(setting), kid);
    path = option_path(setting, file);
    if (path == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    key->key = pem_read_key(path, et);
    if (key->key == NULL)
        return ERR_CONFIG;
    put_ids(key, team, kid);
    keys->count++;
    return 0;
}

int provider_keys_load(const config_setting_t *setting, struct provider_keys *ret_keys,
                       struct err_text *et)
{
    int length = config_setting_length(setting), r = 0;
    struct provider_keys keys = {.keys = calloc((size_t)length + 1, sizeof(*keys.keys))};

    if (keys.keys == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    for (int i = 0; i < length && r == 0; i++)
        r = load_key(config_setting_get_elem(setting, (unsigned)i), &keys, et);
    if (r < 0) {
        provider_keys_fini(&keys);
        return r;
    }
    *ret_keys = keys;
    return 0;
}

static int make_file(const char *file, struct err_text *et)
{
    EVP_PKEY *key = pem_make_key();
    int r;

    if (key == NULL)
        return err_set(et, ERR_SYSTEM, "could not make a key: %s", pem_openssl_error());
    r = pem_write_key(file, key, et);
    EVP_PKEY_free(key);
    return r;
}

int provider_keys_make(const struct provider_key_default *what, struct provider_keys *ret_keys,
                       struct err_text *et)
{
    AUTO_FREE struct provider_key *key = calloc(1, sizeof(*key));
    AUTO_FREE char *file = NULL;
    int r = 0;

    if (key == NULL || asprintf(&file, "%s/AuthKey_%s.p8", what->directory, what->kid) < 0) {
        file = NULL;
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    if (!pem_file_exists(file)) {
        r = pem_make_directory(what->directory, et);
        if (r == 0)
            r = make_file(file, et);
    }
    if (r < 0)
        return r;
    key->key = pem_read_key(file, et);
    if (key->key == NULL)
        return ERR_CONFIG;
    put_ids(key, what->team, what->kid);
    *ret_keys = (struct provider_keys){.keys = key, .count = 1};
    key = NULL;
    return 0;
}

void provider_keys_fini(struct provider_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        EVP_PKEY_free(keys->keys[i].key);
    free(keys->keys);
    *keys = (struct provider_keys){0};
}

const struct provider_key *provider_keys_find(const struct provider_keys *keys, const char *kid)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->keys[i].kid, kid) == 0)
            return &keys->keys[i];
    }
    return NULL;
}
