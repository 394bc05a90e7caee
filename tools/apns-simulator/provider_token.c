/* provider_token - see the header. */
#include "provider_token.h"

#include "common/auto.h"
#include "common/log.h"
#include "simulator.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS_MAX 16
#define ID_SIZE 16 /* team and key ids have 10 characters */
/* "Older than an hour" is expired; ahead of us by more than that is not a clock's error. */
#define AGE_MAX_S 3600
#define AHEAD_MAX_S 60
/* A token is some 200 bytes. */
#define TOKEN_MAX 2048
#define P256_RAW 64

struct provider_key {
    char team[ID_SIZE], kid[ID_SIZE];
    EVP_PKEY *key;
    uint64_t newest_iat_s; /* of the tokens seen */
    uint64_t changed_s;    /* when a newer one was seen last */
};

struct provider_keys {
    struct provider_key key[KEYS_MAX];
    size_t count;
};

static int at(struct err_text *et, const config_setting_t *s, const char *what)
{
    return err_set(et, ERR_CONFIG, "%s:%u: auth.keys: %s", config_setting_source_file(s) ?: "--set",
                   config_setting_source_line(s), what);
}

int provider_keys_check(const config_setting_t *setting, struct err_text *et)
{
    if (!config_setting_is_list(setting))
        return at(et, setting, "expected a list of { team; kid; file; }");
    if (config_setting_length(setting) > KEYS_MAX)
        return at(et, setting, "more than 16 keys");
    for (int i = 0; i < config_setting_length(setting); i++) {
        const config_setting_t *s = config_setting_get_elem(setting, (unsigned)i);
        const char *team, *kid, *file;

        if (!config_setting_is_group(s) || config_setting_length(s) != 3 ||
            !config_setting_lookup_string(s, "team", &team) ||
            !config_setting_lookup_string(s, "kid", &kid) ||
            !config_setting_lookup_string(s, "file", &file))
            return at(et, s, "expected { team; kid; file; }, all strings");
        if (strlen(team) != 10 || strlen(kid) != 10)
            return at(et, s, "team and kid: expected 10 characters each");
    }
    return 0;
}

static bool is_p256(const EVP_PKEY *key)
{
    char group[32] = "";
    size_t len;

    return key && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static int add(struct provider_keys *keys, const char *team, const char *kid, const char *file,
               struct err_text *et)
{
    struct provider_key *key = &keys->key[keys->count];
    FILE *in = fopen(file, "re");

    if (!in)
        return err_set(et, ERR_CONFIG, "could not open the key file \"%s\": %m", file);
    key->key = PEM_read_PUBKEY(in, NULL, NULL, NULL);
    if (!key->key) {
        rewind(in);
        key->key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    }
    fclose(in);
    keys->count += key->key != NULL;
    if (!is_p256(key->key))
        return err_set(et, ERR_CONFIG,
                       "\"%s\" holds no key for ES256, expected PEM with a P-256 key", file);
    snprintf(key->team, sizeof(key->team), "%s", team);
    snprintf(key->kid, sizeof(key->kid), "%s", kid);
    return 0;
}

/* What Apple gives a developer: AuthKey_KID.p8, PKCS#8. Kept from start to start. */
static int make_own(struct simulator *simulator, char *path, size_t size, struct err_text *et)
{
    EVP_PKEY *key;
    FILE *out;
    int fd;

    snprintf(path, size, "%s/AuthKey_%s.p8", simulator->options.directory,
             simulator->options.key_id);
    if (access(path, F_OK) == 0)
        return 0;
    key = EVP_EC_gen("P-256");
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!key || !out || PEM_write_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1) {
        EVP_PKEY_free(key);
        if (out)
            fclose(out);
        return err_set(et, ERR_SYSTEM, "could not write \"%s\": %m", path);
    }
    EVP_PKEY_free(key);
    return fclose(out) == 0 ? 0 : err_set(et, ERR_SYSTEM, "could not write \"%s\": %m", path);
}

int provider_keys_create(struct simulator *simulator, const config_t *config, struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, "auth.keys");
    const struct options *o = &simulator->options;
    char path[4200];
    int r = 0;

    simulator->keys = calloc(1, sizeof(*simulator->keys));
    if (!simulator->keys)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    for (int i = 0; list && r == 0 && i < config_setting_length(list); i++) {
        const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);
        const char *team = "", *kid = "", *file = "";

        config_setting_lookup_string(s, "team", &team);
        config_setting_lookup_string(s, "kid", &kid);
        config_setting_lookup_string(s, "file", &file);
        r = add(simulator->keys, team, kid, file, et);
    }
    if (r < 0 || simulator->keys->count > 0)
        return r;
    if (strlen(o->team) != 10 || strlen(o->key_id) != 10)
        return err_set(et, ERR_CONFIG, "auth.team and auth.key_id: expected 10 characters each");
    r = make_own(simulator, path, sizeof(path), et);
    return r < 0 ? r : add(simulator->keys, o->team, o->key_id, path, et);
}

void provider_keys_destroy(struct simulator *simulator)
{
    struct provider_keys *keys = simulator->keys;

    for (size_t i = 0; keys && i < keys->count; i++)
        EVP_PKEY_free(keys->key[i].key);
    free(keys);
    simulator->keys = NULL;
}

/* --- checking --- */

/* base64url without padding; returns the length, or -1. out has room for 3/4 of in. */
static int decode(struct bytes in, uint8_t *out)
{
    uint32_t bits = 0;
    int count = 0, len = 0;

    for (uint32_t i = 0; i < in.len; i++) {
        uint8_t c = in.data[i];
        int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                    : c >= 'a' && c <= 'z' ? c - 'a' + 26
                    : c >= '0' && c <= '9' ? c - '0' + 52
                    : c == '-'             ? 62
                    : c == '_'             ? 63
                                           : -1;

        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[len++] = (uint8_t)(bits >> count);
        }
    }
    return len;
}

static json_t *decode_json(struct bytes part)
{
    uint8_t text[TOKEN_MAX];
    int len = decode(part, text);

    return len < 0 ? NULL : json_loadb((const char *)text, (size_t)len, 0, NULL);
}

/* JOSE has the two numbers one after the other; some providers send what OpenSSL makes (DER). */
static bool signature_good(EVP_PKEY *key, struct bytes signed_part, const uint8_t *signature,
                           int len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *der = NULL;
    int der_len = 0;
    bool good = false;

    if (len == P256_RAW) {
        ECDSA_SIG *pair = ECDSA_SIG_new();
        BIGNUM *r = BN_bin2bn(signature, P256_RAW / 2, NULL);
        BIGNUM *s = BN_bin2bn(signature + P256_RAW / 2, P256_RAW / 2, NULL);

        if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1)
            der_len = i2d_ECDSA_SIG(pair, &der);
        ECDSA_SIG_free(pair);
    }
    if (ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1)
        good = EVP_DigestVerify(ctx, der_len > 0 ? der : signature,
                                (size_t)(der_len > 0 ? der_len : len), signed_part.data,
                                signed_part.len) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return good;
}

static struct provider_key *find_key(struct provider_keys *keys, const char *kid, const char *team)
{
    for (size_t i = 0; kid && team && i < keys->count; i++) {
        if (strcmp(keys->key[i].kid, kid) == 0 && strcmp(keys->key[i].team, team) == 0)
            return &keys->key[i];
    }
    return NULL;
}

/* Age, and how often the provider makes new ones. */
static const char *check_times(const struct simulator *simulator, struct provider_key *key,
                               uint64_t iat_s, uint64_t wall_s)
{
    if (iat_s + AGE_MAX_S < wall_s)
        return "ExpiredProviderToken";
    if (iat_s > wall_s + AHEAD_MAX_S)
        return "InvalidProviderToken";
    if (iat_s <= key->newest_iat_s)
        return NULL;
    if (key->newest_iat_s != 0 && wall_s - key->changed_s < simulator->options.min_token_interval_s)
        return "TooManyProviderTokenUpdates";
    key->newest_iat_s = iat_s;
    key->changed_s = wall_s;
    return NULL;
}

const char *provider_token_check(struct simulator *simulator, struct bytes authorization,
                                 uint64_t wall_s, char ret_team[16])
{
    static const char bearer[] = "bearer ";
    const uint32_t prefix = sizeof(bearer) - 1;
    struct bytes token, head, claims, signature;
    const uint8_t *dot, *dot2;
    uint8_t raw[TOKEN_MAX];
    const char *reason = "InvalidProviderToken";
    json_t *h, *c;
    int len;

    if (authorization.len == 0)
        return "MissingProviderToken";
    if (authorization.len <= prefix || authorization.len > TOKEN_MAX ||
        strncasecmp((const char *)authorization.data, bearer, prefix) != 0)
        return reason;
    token = bytes_of(authorization.data + prefix, authorization.len - prefix);
    dot = memchr(token.data, '.', token.len);
    dot2 = dot ? memchr(dot + 1, '.', token.len - (size_t)(dot + 1 - token.data)) : NULL;
    if (!dot2)
        return reason;
    head = bytes_of(token.data, (uint32_t)(dot - token.data));
    claims = bytes_of(dot + 1, (uint32_t)(dot2 - dot - 1));
    signature = bytes_of(dot2 + 1, token.len - (uint32_t)(dot2 + 1 - token.data));
    h = decode_json(head);
    c = decode_json(claims);
    len = decode(signature, raw);
    if (h && c && len > 0) {
        const char *alg = json_string_value(json_object_get(h, "alg"));
        const char *team = json_string_value(json_object_get(c, "iss"));
        const json_t *iat = json_object_get(c, "iat");
        struct provider_key *key =
            find_key(simulator->keys, json_string_value(json_object_get(h, "kid")), team);
        struct bytes signed_part = bytes_of(token.data, (uint32_t)(dot2 - token.data));

        if (key && alg && strcmp(alg, "ES256") == 0 && json_is_integer(iat) &&
            json_integer_value(iat) > 0 && signature_good(key->key, signed_part, raw, len)) {
            reason = check_times(simulator, key, (uint64_t)json_integer_value(iat), wall_s);
            if (!reason)
                snprintf(ret_team, 16, "%s", key->team);
        }
    }
    json_decref(h);
    json_decref(c);
    return reason;
}
