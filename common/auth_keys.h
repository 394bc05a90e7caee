/* auth_keys - the options `auth.keys` and `auth.key_dir`: which keys sign tokens. Shared by the
 * processes that check tokens. Start-up and SIGHUP only. */
#ifndef BECKON_COMMON_AUTH_KEYS_H
#define BECKON_COMMON_AUTH_KEYS_H

#include "common/token.h"

#include <libconfig.h>

/* OPTION_LIST check of "auth.keys": a non-empty list of groups with kid, algorithm and file. */
int auth_keys_check(const config_setting_t *setting, struct err_text *et);

/* Loads the keys that "auth.keys" of config names and those in key_dir ("": there is none), the
 * value of "auth.key_dir"; relative paths are relative to the configuration file's folder. Without
 * either option: NULL keys. Borrows policy's strings. All or nothing: 0; ERR_CONFIG, ERR_NO_MEMORY
 * with et. */
MUST_CHECK int auth_keys_load(const struct token_policy *policy, const config_t *config,
                              const char *key_dir, struct token_keys **ret_keys,
                              struct err_text *et);

#endif
