/* provider_token - the JWT of a provider: ES256, signed with a key that this simulator knows. */
#ifndef BECKON_APNS_SIMULATOR_PROVIDER_TOKEN_H
#define BECKON_APNS_SIMULATOR_PROVIDER_TOKEN_H

#include "common/bytes.h"
#include "common/err.h"

#include <libconfig.h>

struct simulator;

/* Reads `auth.keys`, or makes a key of its own in the directory. ERR_CONFIG, ERR_SYSTEM with et. */
MUST_CHECK int provider_keys_create(struct simulator *simulator, const config_t *config,
                                    struct err_text *et);
void provider_keys_destroy(struct simulator *simulator);
/* The shape of `auth.keys`. For the option table. */
int provider_keys_check(const config_setting_t *setting, struct err_text *et);

/* Checks the authorization header's value at wall_s. NULL and the team (NUL-terminated, at most 10
 * characters): good. Else Apple's reason. */
const char *provider_token_check(struct simulator *simulator, struct bytes authorization,
                                 uint64_t wall_s, char ret_team[16]);

#endif
