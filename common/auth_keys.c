/* auth_keys - see the header. Keys are files, so that a configuration can be shown to anybody. */
#include "common/auth_keys.h"

#include <stdlib.h>
#include <string.h>

#include "common/auth_key_dir.h"
#include "common/auto.h"

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

int auth_keys_check(const config_setting_t *setting, struct err_text *et)
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

char *auth_keys_path(const config_setting_t *setting, const char *file)
{
    const char *source = setting ? config_setting_source_file(setting) : NULL;
    const char *slash = source != NULL ? strrchr(source, '/') : NULL;
    char *path;

    if (file[0] == '/' || slash == NULL)
        return strdup(file);
    if (asprintf(&path, "%.*s/%s", (int)(slash - source), source, file) < 0)
        return NULL;
    return path;
}

static int add_key(struct token_keys *keys, const config_setting_t *key, struct err_text *et)
{
    const char *kid = "", *algorithm = "", *file = "";
    AUTO_FREE char *path = NULL;

    if (config_setting_lookup_string(key, "kid", &kid) != CONFIG_TRUE ||
        config_setting_lookup_string(key, "algorithm", &algorithm) != CONFIG_TRUE ||
        config_setting_lookup_string(key, "file", &file) != CONFIG_TRUE)
        return check_key(key, et);
    path = auth_keys_path(key, file);
    if (path == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    return token_keys_add_file(keys, kid, algorithm, path, et);
}

static int add_folder(struct token_keys *keys, const config_t *config, const char *key_dir,
                      struct err_text *et)
{
    AUTO_FREE char *path = auth_keys_path(config_lookup(config, "auth.key_dir"), key_dir);

    if (path == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    return auth_key_dir_add(keys, path, et);
}

int auth_keys_load(const struct token_policy *policy, const config_t *config, const char *key_dir,
                   struct token_keys **ret_keys, struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, "auth.keys");
    struct token_keys *keys = NULL;
    int r = 0;

    if (list != NULL || key_dir[0] != '\0') {
        keys = token_keys_create(policy);
        if (keys == NULL)
            return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    for (int i = 0; r == 0 && list && i < config_setting_length(list); i++)
        r = add_key(keys, config_setting_get_elem(list, (unsigned)i), et);
    if (r == 0 && key_dir[0] != '\0')
        r = add_folder(keys, config, key_dir, et);
    if (r < 0) {
        token_keys_destroy(keys);
        return r;
    }
    *ret_keys = keys;
    return 0;
}
