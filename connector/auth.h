/* auth - who may connect: the token keys of the configuration, and what their verdict means in
 * MQTT. Loop thread only. */
#ifndef BECKON_CONNECTOR_AUTH_H
#define BECKON_CONNECTOR_AUTH_H

#include "common/token.h"

#include "connector/options.h"

struct auth;
struct metrics;

/* Loads the keys that "auth.keys" of config names and those in key_dir; relative paths are relative
 * to the configuration file's folder. Borrows the strings of options, whose policy counts: at a
 * reload they are those in force, while config and key_dir are new. 0; ERR_CONFIG, ERR_NO_MEMORY
 * with et. */
MUST_CHECK int auth_create(const struct options *options, const char *key_dir,
                           const config_t *config, struct auth **ret_auth, struct err_text *et);
void auth_destroy(struct auth *auth);

/* Checks a token for one user and device. Returns an MQTT 5 reason code: MQTT_SUCCESS (and fills
 * ret_claims), MQTT_BAD_CREDENTIALS (missing, malformed, unverifiable), MQTT_NOT_AUTHORIZED (good
 * signature, but not now, not here or not for them) with *ret_why. */
MUST_CHECK uint8_t auth_check(const struct auth *auth, struct bytes token, struct bytes user,
                              struct bytes device, uint64_t wall_s, struct token_claims *ret_claims,
                              enum token_why *ret_why);
/* Counts a token that was refused. */
void auth_count(struct metrics *metrics, enum token_why why);

#endif
