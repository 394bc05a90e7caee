/* Whoever holds a token that passes here speaks for a person, so the order of checks matters more
 * than their speed. First the shape: three parts of base64url, of bounded length. That also keeps
 * from libjwt what it is lax about (characters that its base64 skips, an empty part, which its
 * decoder writes one byte behind). Then the header alone is read, without a key, to find the key by
 * kid; the header's algorithm must be the one that key was configured with, so that an RSA public
 * key can't be used as an HMAC secret, and `none`, which no key has, never passes. Only then libjwt
 * verifies the signature with that key. Where there is one key only it is tried at once, and what
 * it verified counts only if the header asks for just that key and algorithm. Claims are looked at
 * after that, with their JSON types checked: libjwt's own getters can't tell a wrong type from an
 * absent claim.
 *
 * Cost: one or two passes of base64 and JSON over at most 8 KiB, and one signature; some ten
 * microseconds with HS256, some hundred with public keys, whose PEM libjwt parses each time. Once a
 * connection. */
#include "common/token.h"

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "common/token_key.h"

/* libjwt copies the token to the stack several times; real tokens have some hundred bytes. */
#define TOKEN_MAX_LEN 8192
/* Largest NumericDate taken: exact in a double, and sums with the leeway can't wrap. */
#define TIME_MAX_S ((uint64_t)1 << 53)

struct token_keys {
    struct token_policy policy;
    struct token_key *keys;
    size_t count;
};

struct token_keys *token_keys_create(const struct token_policy *policy)
{
    struct token_keys *keys = calloc(1, sizeof(*keys));

    if (keys != NULL)
        keys->policy = *policy;
    return keys;
}

void token_keys_destroy(struct token_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++)
        token_key_fini(&keys->keys[i]);
    free(keys->keys);
    free(keys);
}

static const struct token_key *find_kid(const struct token_keys *keys, const char *kid)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->keys[i].kid, kid) == 0)
            return &keys->keys[i];
    }
    return NULL;
}

int token_keys_add_file(struct token_keys *keys, const char *kid, const char *algorithm,
                        const char *file, struct err_text *et)
{
    if (find_kid(keys, kid) != NULL)
        return err_set(et, ERR_CONFIG,
                       "key file \"%s\" has kid \"%s\", expected one no other key has", file, kid);

    struct token_key key;
    int result = token_key_load(kid, algorithm, file, &key, et);
    if (result != 0)
        return result;

    struct token_key *grown = reallocarray(keys->keys, keys->count + 1, sizeof(*grown));
    if (grown == NULL) {
        token_key_fini(&key);
        return err_set(et, ERR_CONFIG, "could not load key file \"%s\": out of memory", file);
    }
    keys->keys = grown;
    keys->keys[keys->count++] = key;
    return 0;
}

static bool base64url_char(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* RFC 7515 section 7.1: three parts, base64url without padding; none of ours may be empty. */
static bool shape_valid(struct bytes text)
{
    unsigned parts = 1;
    uint32_t part_len = 0;

    for (uint32_t i = 0; i < text.len; i++) {
        if (text.data[i] != '.') {
            if (!base64url_char(text.data[i]))
                return false;
            part_len++;
            continue;
        }
        if (part_len == 0 || part_len % 4 == 1)
            return false;
        parts++;
        part_len = 0;
    }
    return parts == 3 && part_len != 0 && part_len % 4 != 1;
}

/* Takes text, which libjwt made (NULL: there was none). Returns an owned object, or NULL. */
static json_t *take_object(char *text)
{
    json_t *object = text == NULL ? NULL : json_loads(text, 0, NULL);

    free(text);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

/* The key for this header, or NULL and *ret_why. */
static const struct token_key *pick_key(const struct token_keys *keys, const json_t *header,
                                        enum token_why *ret_why)
{
    const json_t *kid = json_object_get(header, "kid"), *alg = json_object_get(header, "alg");
    const struct token_key *key;

    *ret_why = TOKEN_WHY_HEADER;
    if ((kid != NULL && !json_is_string(kid)) || !json_is_string(alg))
        return NULL;
    *ret_why = TOKEN_WHY_CRITICAL; /* RFC 7515 section 4.1.11: we know none */
    if (json_object_get(header, "crit") != NULL)
        return NULL;

    *ret_why = TOKEN_WHY_UNKNOWN_KEY;
    key = find_kid(keys, kid == NULL ? "" : json_string_value(kid));
    if (key == NULL && kid == NULL && keys->count == 1)
        key = &keys->keys[0];
    if (key == NULL)
        return NULL;
    *ret_why = TOKEN_WHY_ALGORITHM;
    return strcmp(key->algorithm, json_string_value(alg)) == 0 ? key : NULL;
}

/* Verified with that key; or, without one, parsed and not verified. NULL when it is neither. */
static jwt_t *decode(const char *text, const struct token_key *key)
{
    jwt_t *jwt = NULL;
    int result = jwt_decode(&jwt, text, key == NULL ? NULL : key->data,
                            key == NULL ? 0 : (int)key->len); /* a file's: fits */

    ERR_clear_error(); /* TLS reads the same queue and would take it for an error of its own */
    return result == 0 ? jwt : NULL;
}

/* Verifies the signature. Returns the claims, owned, or NULL and *ret_why. */
static json_t *verified_claims(const struct token_keys *keys, const char *text,
                               enum token_why *ret_why)
{
    const struct token_key *tried = keys->count == 1 ? &keys->keys[0] : NULL, *key;
    jwt_t *jwt = tried == NULL ? NULL : decode(text, tried);
    json_t *header, *claims;

    if (jwt == NULL) {
        tried = NULL;
        jwt = decode(text, NULL);
    }
    *ret_why = TOKEN_WHY_MALFORMED;
    if (jwt == NULL)
        return NULL;
    header = take_object(jwt_get_headers_json(jwt, NULL));
    key = header == NULL ? NULL : pick_key(keys, header, ret_why);
    json_decref(header);
    if (key != NULL && key != tried) {
        *ret_why = TOKEN_WHY_SIGNATURE;
        jwt_free(jwt);
        jwt = decode(text, key);
    }
    if (key == NULL || jwt == NULL) {
        jwt_free(jwt);
        return NULL;
    }
    *ret_why = TOKEN_WHY_MALFORMED;
    claims = take_object(jwt_get_grants_json(jwt, NULL));
    jwt_free(jwt);
    return claims;
}

/* A NumericDate (RFC 7519 section 2), cut to whole seconds. Absent: 0, and *ret_present false. */
static bool get_time(const json_t *claims, const char *name, uint64_t *ret_s, bool *ret_present)
{
    const json_t *claim = json_object_get(claims, name);

    *ret_present = claim != NULL;
    *ret_s = 0;
    if (claim == NULL)
        return true;
    if (!json_is_number(claim))
        return false;
    double value = json_number_value(claim);
    if (!(value >= 0 && value <= (double)TIME_MAX_S))
        return false;
    *ret_s = (uint64_t)value;
    return true;
}

/* A claim that is a name, copied to out. Absent: "" and true. */
static bool get_name(const json_t *claims, const char *name, bool (*valid)(struct bytes text),
                     char out[NAME_MAX_LEN + 1])
{
    const json_t *claim = json_object_get(claims, name);

    out[0] = '\0';
    if (claim == NULL)
        return true;
    if (!json_is_string(claim))
        return false;
    struct bytes text =
        bytes_of(json_string_value(claim), (uint32_t)json_string_length(claim)); /* < 8 KiB */
    if (!valid(text))
        return false;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static bool issuer_good(const json_t *claims, const char *wanted)
{
    const json_t *issuer = json_object_get(claims, "iss");

    return *wanted == '\0' ||
           (json_is_string(issuer) && strcmp(json_string_value(issuer), wanted) == 0);
}

/* RFC 7519 section 4.1.3: one string or an array of strings. */
static bool audience_good(const json_t *claims, const char *wanted)
{
    const json_t *audience = json_object_get(claims, "aud");

    if (*wanted == '\0')
        return true;
    if (json_is_string(audience))
        return strcmp(json_string_value(audience), wanted) == 0;
    for (size_t i = 0; i < json_array_size(audience); i++) {
        const json_t *one = json_array_get(audience, i);
        if (json_is_string(one) && strcmp(json_string_value(one), wanted) == 0)
            return true;
    }
    return false;
}

static enum token_verdict check_claims(const struct token_policy *policy, const json_t *claims,
                                       uint64_t wall_s, struct token_claims *ret_claims,
                                       enum token_why *ret_why)
{
    struct token_claims got = {0};
    const json_t *service = json_object_get(claims, "svc");
    uint64_t not_before_s;
    bool has_expiry, has_not_before, has_issued;

    *ret_why = TOKEN_WHY_CLAIMS;
    if (!get_name(claims, "sub", name_is_user, got.user) || got.user[0] == '\0' ||
        !get_name(claims, "dev", name_is_device, got.device) ||
        (service != NULL && !json_is_boolean(service)) ||
        !get_time(claims, "exp", &got.expires_s, &has_expiry) || !has_expiry ||
        !get_time(claims, "nbf", &not_before_s, &has_not_before) ||
        !get_time(claims, "iat", &got.issued_s, &has_issued))
        return TOKEN_UNVERIFIABLE;
    got.service = json_is_true(service);

    if (wall_s >= got.expires_s + policy->leeway_s)
        *ret_why = TOKEN_WHY_EXPIRED;
    else if (not_before_s > wall_s + policy->leeway_s)
        *ret_why = TOKEN_WHY_EARLY;
    else if (got.issued_s > wall_s + policy->leeway_s)
        *ret_why = TOKEN_WHY_FUTURE;
    else if (!issuer_good(claims, policy->issuer))
        *ret_why = TOKEN_WHY_ISSUER;
    else if (!audience_good(claims, policy->audience))
        *ret_why = TOKEN_WHY_AUDIENCE;
    else {
        *ret_claims = got;
        return TOKEN_VALID;
    }
    return TOKEN_REFUSED;
}

enum token_verdict token_verify(const struct token_keys *keys, struct bytes text, uint64_t wall_s,
                                struct token_claims *ret_claims, enum token_why *ret_why)
{
    char copy[TOKEN_MAX_LEN + 1]; /* libjwt wants a string */

    *ret_why = TOKEN_WHY_MISSING;
    if (text.len == 0)
        return TOKEN_UNVERIFIABLE;
    *ret_why = TOKEN_WHY_TOO_LONG;
    if (text.len > TOKEN_MAX_LEN)
        return TOKEN_UNVERIFIABLE;
    *ret_why = TOKEN_WHY_MALFORMED;
    if (!shape_valid(text)) /* so it has no NUL either */
        return TOKEN_UNVERIFIABLE;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';

    json_t *claims = verified_claims(keys, copy, ret_why);
    if (claims == NULL)
        return TOKEN_UNVERIFIABLE;
    enum token_verdict verdict = check_claims(&keys->policy, claims, wall_s, ret_claims, ret_why);
    json_decref(claims);
    return verdict;
}

/* All claims but those that are at their default. 0, or an error number. */
static int add_claims(jwt_t *jwt, const struct token_claims *claims, const char *kid)
{
    int result = jwt_add_grant(jwt, "sub", claims->user);

    if (result == 0 && *kid != '\0')
        result = jwt_add_header(jwt, "kid", kid);
    if (result == 0 && claims->device[0] != '\0')
        result = jwt_add_grant(jwt, "dev", claims->device);
    if (result == 0 && claims->service)
        result = jwt_add_grant_bool(jwt, "svc", 1);
    if (result == 0 && claims->issued_s != 0)
        result = jwt_add_grant_int(jwt, "iat", (long)claims->issued_s);
    if (result == 0)
        result = jwt_add_grant_int(jwt, "exp", (long)claims->expires_s);
    return result;
}

char *token_sign_hs256(const struct token_claims *claims, const char *kid, const char *file,
                       struct err_text *et)
{
    struct token_key key;
    jwt_t *jwt = NULL;
    char *text = NULL;

    if (token_key_load(kid, "HS256", file, &key, et) != 0)
        return NULL;
    int result = jwt_new(&jwt);
    if (result == 0)
        result = add_claims(jwt, claims, kid);
    if (result == 0)
        result = jwt_set_alg(jwt, JWT_ALG_HS256, key.data, (int)key.len);
    if (result == 0) {
        text = jwt_encode_str(jwt);
        result = text == NULL ? errno : 0;
    }
    if (result != 0)
        /* Only to leave the reason in et: NULL already says that it failed. */
        IGNORE_RESULT(err_set(et, ERR_CONFIG, "could not sign the token: %s", strerror(result)));
    jwt_free(jwt);
    token_key_fini(&key);
    return text;
}
