/* token - JSON Web Tokens (RFC 7519) as Beckon's credentials, through libjwt.
 *
 * A set of keys, each with an algorithm (HS256, RS256, ES256) and a kid; a token's header picks the
 * key by kid, and the key, not the header, decides the algorithm: a token whose `alg` differs from
 * its key's is refused (algorithm confusion), `none` always is. Loop thread only. */
#ifndef BECKON_COMMON_TOKEN_H
#define BECKON_COMMON_TOKEN_H

#include "common/bytes.h"
#include "common/err.h"
#include "common/topic.h"

#include <stddef.h>

struct token_keys;

struct token_policy {
    const char *issuer;   /* "" = not checked */
    const char *audience; /* "" = not checked; a string or one element of an array */
    uint32_t leeway_s;    /* clock difference allowed at exp, nbf and iat */
};

/* What a verified token grants. */
struct token_claims {
    char user[NAME_MAX_LEN + 1];   /* sub */
    char device[NAME_MAX_LEN + 1]; /* dev; "" = any device */
    bool service;                  /* svc */
    uint64_t issued_s;             /* iat, 0 when absent */
    uint64_t expires_s;            /* exp */
};

enum token_verdict {
    TOKEN_VALID,
    TOKEN_UNVERIFIABLE, /* missing, malformed, unknown key, bad signature: 0x86 */
    TOKEN_REFUSED, /* signature good, but expired, not yet valid, other issuer or audience: 0x87 */
};

/* Why a token grants nothing. */
enum token_why {
#define TOKEN_KIND(name, text)
#define TOKEN_WHY(name, kind, text) TOKEN_WHY_##name,
#include "common/token_why.def"
#undef TOKEN_KIND
#undef TOKEN_WHY
};

/* The same, as counters tell it apart. */
enum token_kind {
#define TOKEN_KIND(name, text) TOKEN_KIND_##name,
#define TOKEN_WHY(name, kind, text)
#include "common/token_why.def"
#undef TOKEN_KIND
#undef TOKEN_WHY
    TOKEN_KIND_COUNT
};

/* A constant phrase ("expired", "unknown key", ...), never NULL. */
const char *token_why_text(enum token_why why);
enum token_kind token_why_kind(enum token_why why);

/* An empty set. Returns owned, NULL when out of memory. policy's strings are borrowed for the
 * set's life. */
struct token_keys *token_keys_create(const struct token_policy *policy);
void token_keys_destroy(struct token_keys *keys);
/* kid may be "": used for tokens without kid. algorithm: "HS256" (the file's bytes, one trailing
 * newline removed, are the secret; at least 32 bytes), "RS256" or "ES256" (PEM public key).
 * 0; ERR_CONFIG with et naming the file and what was expected. */
MUST_CHECK int token_keys_add_file(struct token_keys *keys, const char *kid, const char *algorithm,
                                   const char *file, struct err_text *et);

/* Verifies text at wall_s (seconds since the epoch). On TOKEN_VALID fills ret_claims, else
 * ret_why. */
enum token_verdict token_verify(const struct token_keys *keys, struct bytes text, uint64_t wall_s,
                                struct token_claims *ret_claims, enum token_why *ret_why);

/* Signs claims with an HS256 secret file (as above) and kid. Returns owned text (free), or NULL
 * with et. For beckonctl and tests. */
char *token_sign_hs256(const struct token_claims *claims, const char *kid, const char *file,
                       struct err_text *et);

#endif
