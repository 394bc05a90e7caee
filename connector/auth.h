/* auth - who may connect: the token keys of the configuration, and what their verdict means in
 * MQTT. Loop thread only. */
#ifndef BECKON_CONNECTOR_AUTH_H
#define BECKON_CONNECTOR_AUTH_H

#include "common/token.h"

#include "connector/options.h"

struct auth;

/* Loads the keys that "auth.keys" of config names; relative files are relative to the configuration
 * file's folder. Borrows the strings of options. 0; ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int auth_create(const struct options *options, const config_t *config,
                           struct auth **ret_auth, struct err_text *et);
void auth_destroy(struct auth *auth);

/* Checks a token for one user and device. Returns an MQTT 5 reason code: MQTT_SUCCESS (and fills
 * ret_claims), MQTT_BAD_CREDENTIALS (missing, malformed, unverifiable), MQTT_NOT_AUTHORIZED (good
 * signature, but not now, not here or not for them); then *ret_why is a phrase for the log. */
MUST_CHECK uint8_t auth_check(const struct auth *auth, struct bytes token, struct bytes user,
                              struct bytes device, uint64_t wall_s, struct token_claims *ret_claims,
                              const char **ret_why);

#endif
