/* provider_auth - Apple's rules for provider tokens that need a memory.
 *
 * A token is known by the hash of its text: the same token may come over any number of connections.
 * One that its team has not used before is an update; a second one within the interval is refused,
 * and what was used before stays good. Verified once a connection: a repeated token costs a hash.
 */
#include "provider_auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/hash.h"

#include "provider_token.h"

#define TOKEN_LIFE_S 3600
/* Clocks of provider and Apple may differ; a token from further ahead was made with a wrong one. */
#define CLOCK_AHEAD_S 60
/* Apple says that a connection with too many updates can't be used for a while. */
#define STUCK_S 30
/* With Apple's 20 minutes a team has four tokens that are not older than an hour. Shorter intervals
 * are for tests, where one that is forgotten counts as new. */
#define TOKENS_KEPT 32

struct team {
    const char *id; /* a key's */
    uint64_t tokens[TOKENS_KEPT];
    size_t next; /* where the next one goes */
    uint64_t updated_s;
    bool used;
};

struct provider_auth {
    struct provider_keys keys;
    uint32_t min_interval_s;
    size_t team_count;
    struct team teams[];
};

static struct team *find_team(struct provider_auth *auth, const char *id)
{
    for (size_t i = 0; i < auth->team_count; i++) {
        if (strcmp(auth->teams[i].id, id) == 0)
            return &auth->teams[i];
    }
    return NULL;
}

struct provider_auth *provider_auth_create(struct provider_keys *keys, uint32_t min_interval_s)
{
    struct provider_auth *auth = calloc(1, sizeof(*auth) + keys->count * sizeof(auth->teams[0]));

    if (auth == NULL)
        return NULL;
    auth->keys = *keys;
    auth->min_interval_s = min_interval_s;
    *keys = (struct provider_keys){0};
    for (size_t i = 0; i < auth->keys.count; i++) {
        if (find_team(auth, auth->keys.keys[i].team) == NULL)
            auth->teams[auth->team_count++].id = auth->keys.keys[i].team;
    }
    return auth;
}

void provider_auth_destroy(struct provider_auth *auth)
{
    if (auth == NULL)
        return;
    provider_keys_fini(&auth->keys);
    free(auth);
}

static enum reason stick(struct provider_session *session, enum reason reason, uint64_t until_s)
{
    session->stuck = reason;
    session->stuck_until_s = until_s;
    return reason;
}

/* Age is looked at with every request: a token grows old on a connection that stays. */
static enum reason check_age(struct provider_session *session, uint64_t issued_s, uint64_t now_s)
{
    if (issued_s > now_s + CLOCK_AHEAD_S || now_s > issued_s + TOKEN_LIFE_S)
        return stick(session, REASON_EXPIRED_PROVIDER_TOKEN, UINT64_MAX);
    return REASON_NONE;
}

static enum reason check_update(struct provider_auth *auth, struct provider_session *session,
                                struct team *team, uint64_t hash, uint64_t now_s)
{
    for (size_t i = 0; team->used && i < TOKENS_KEPT; i++) {
        if (team->tokens[i] == hash)
            return REASON_NONE;
    }
    if (team->used && now_s < team->updated_s + auth->min_interval_s)
        return stick(session, REASON_TOO_MANY_PROVIDER_TOKEN_UPDATES, now_s + STUCK_S);
    team->tokens[team->next] = hash;
    team->next = (team->next + 1) % TOKENS_KEPT;
    team->updated_s = now_s;
    team->used = true;
    return REASON_NONE;
}

/* Returns the token in the header's value, NULL when there is none. */
static const char *bearer_token(const char *authorization)
{
    static const char scheme[] = "bearer ";

    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    authorization += sizeof(scheme) - 1;
    authorization += strspn(authorization, " ");
    return authorization[0] != '\0' ? authorization : NULL;
}

static enum reason check_new(struct provider_auth *auth, struct provider_session *session,
                             const char *token, uint64_t hash, uint64_t now_s)
{
    struct provider_claims claims;
    enum reason reason;

    if (provider_token_verify(&auth->keys, token, &claims) < 0)
        return REASON_INVALID_PROVIDER_TOKEN;
    if (session->key != NULL && session->key != claims.key)
        return strcmp(session->key->team, claims.key->team) == 0 ? REASON_UNRELATED_KEY_ID_IN_TOKEN
                                                                 : REASON_INVALID_PROVIDER_TOKEN;
    reason = check_age(session, claims.issued_s, now_s);
    if (reason == REASON_NONE)
        reason = check_update(auth, session, find_team(auth, claims.key->team), hash, now_s);
    if (reason != REASON_NONE)
        return reason;
    session->key = claims.key;
    session->token_hash = hash;
    session->token_issued_s = claims.issued_s;
    return REASON_NONE;
}

enum reason provider_auth_check(struct provider_auth *auth, struct provider_session *session,
                                const char *authorization, uint64_t now_s)
{
    const char *token = bearer_token(authorization);
    uint64_t hash;

    if (session->stuck != REASON_NONE && now_s < session->stuck_until_s)
        return session->stuck;
    session->stuck = REASON_NONE;
    if (token == NULL)
        return REASON_MISSING_PROVIDER_TOKEN;
    hash = hash_bytes(token, strlen(token));
    if (session->key != NULL && session->token_hash == hash)
        return check_age(session, session->token_issued_s, now_s);
    return check_new(auth, session, token, hash, now_s);
}
