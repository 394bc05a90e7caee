/* auth_keys - see the header. Keys are files, so that a configuration can be shown to anybody. */
#include "common/auth_keys.h"

#include <stdlib.h>

#include "common/auth_key_dir.h"
#include "common/auto.h"
#include "common/option_group.h"

static const char *const key_fields[] = {"kid", "algorithm", "file"};
static const struct option_group key_group = {"auth.keys", key_fields, ARRAY_LEN(key_fields)};

int auth_keys_check(const config_setting_t *setting, struct err_text *et)
{
    int length = config_setting_length(setting), type = config_setting_type(setting);

    if (type != CONFIG_TYPE_LIST || length == 0)
        return err_set(et, ERR_CONFIG,
                       "%s:%d: \"auth.keys\" is not a list of at least one key: "
                       "( { kid = ...; algorithm = ...; file = ...; } )",
                       option_source(setting), config_setting_source_line(setting));
    for (int i = 0; i < length; i++) {
        int r = option_group_check(config_setting_get_elem(setting, (unsigned)i), &key_group, et);

        if (r < 0)
            return r;
    }
    return 0;
}

static int add_key(struct token_keys *keys, const config_setting_t *key, struct err_text *et)
{
    const char *kid = "", *algorithm = "", *file = "";
    AUTO_FREE char *path = NULL;

    if (config_setting_lookup_string(key, "kid", &kid) != CONFIG_TRUE ||
        config_setting_lookup_string(key, "algorithm", &algorithm) != CONFIG_TRUE ||
        config_setting_lookup_string(key, "file", &file) != CONFIG_TRUE)
        return option_group_check(key, &key_group, et);
    path = option_path(key, file);
    if (path == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    return token_keys_add_file(keys, kid, algorithm, path, et);
}

static int add_folder(struct token_keys *keys, const config_t *config, const char *key_dir,
                      struct err_text *et)
{
    AUTO_FREE char *path = option_path(config_lookup(config, "auth.key_dir"), key_dir);

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
