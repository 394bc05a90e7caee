/* provider_auth - which provider tokens a connection may use, over time.
 *
 * One for the process knows the keys and, for each team, the tokens of the last hour; a session per
 * connection knows what that connection is bound to. Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_PROVIDER_AUTH_H
#define BECKON_APNS_SIMULATOR_PROVIDER_AUTH_H

#include "provider_key.h"
#include "reason.h"

#include <stdbool.h>
#include <stdint.h>

struct provider_auth;

/* Embedded in a connection; all zero at first, nothing to free. */
struct provider_session {
    const struct provider_key *key; /* of the first token accepted, NULL before */
    uint64_t token_hash;            /* of the newest one accepted */
    uint64_t token_issued_s;
    enum reason stuck; /* every request gets this answer until stuck_until_s */
    uint64_t stuck_until_s;
};

/* Takes keys. min_interval_s: how often a team may change its token, 0 = as it likes. Returns
 * owned, NULL when out of memory (keys are then the caller's still). */
struct provider_auth *provider_auth_create(struct provider_keys *keys, uint32_t min_interval_s);
void provider_auth_destroy(struct provider_auth *auth);
/* authorization: the header's value, NULL when absent. now_s: seconds since the epoch. */
enum reason provider_auth_check(struct provider_auth *auth, struct provider_session *session,
                                const char *authorization, uint64_t now_s);

#endif
