/* settings - the plugin's section of the configuration. Each error says what, where, and what was
 * expected. */
#include "apns.h"

#include <errno.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct apns *apns;
    const char *ca_where;
    char *error;
    size_t size;
};

#define ID_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static int fail(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct reader *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->error, r->size, format, args);
    va_end(args);
    return -1;
}

static const struct number {
    const char *path;
    size_t offset;
    uint32_t value, min, max;
} numbers[] = {
    /* two carry some thousand requests a second; a third helps nobody on one machine */
    {"connections", offsetof(struct options, connections), 2, 1, CONNECTIONS_MAX},
    {"in_flight", offsetof(struct options, in_flight), 1000, 1, 100000},
    {"request_timeout_ms", offsetof(struct options, request_timeout_ms), 30000, 100, 600000},
    {"connect_timeout_ms", offsetof(struct options, connect_timeout_ms), 10000, 100, 600000},
    {"ping_idle_ms", offsetof(struct options, ping_idle_ms), 60000, 100, 3600000},
    {"ping_timeout_ms", offsetof(struct options, ping_timeout_ms), 10000, 100, 600000},
    /* Apple: not more often than every 20 minutes, not less often than every 60 */
    {"token_refresh_s", offsetof(struct options, token_refresh_s), 3000, 1200, 3540},
    {"expiration_s", offsetof(struct options, expiration_s), 2592000, 0, 31536000},
    {"reconnect_max_ms", offsetof(struct options, reconnect_max_ms), 60000, 1000, 3600000},
    {"breaker_failures", offsetof(struct options, breaker_failures), 5, 1, 1000},
    {"breaker_ms", offsetof(struct options, breaker_ms), 5000, 100, 60000},
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static uint32_t *number_at(struct options *options, size_t offset)
{
    return (uint32_t *)(void *)((char *)options + offset);
}

static int read_number(struct reader *r, const struct dp_setting *s, uint32_t min, uint32_t max,
                       uint32_t *ret)
{
    unsigned long value;
    char *end;

    errno = 0;
    value = strtoul(s->value, &end, 10);
    if (errno != 0 || end == s->value || *end != '\0' || s->value[0] == '-' || value < min ||
        value > max)
        return fail(r, "%s: \"%s\" is \"%s\", expected a number from %u to %u", s->where, s->path,
                    s->value, min, max);
    *ret = (uint32_t)value;
    return 0;
}

static int read_string(struct reader *r, const struct dp_setting *s, char **ret)
{
    char *copy = strdup(s->value);

    if (!copy)
        return fail(r, "out of memory");
    free(*ret);
    *ret = copy;
    return 0;
}

static int read_id(struct reader *r, const struct dp_setting *s, char id[11])
{
    /* it goes into the token's JSON as it is */
    if (strlen(s->value) != 10 || strspn(s->value, ID_CHARACTERS) != 10)
        return fail(r, "%s: \"%s\" is \"%s\", expected 10 letters and digits", s->where, s->path,
                    s->value);
    memcpy(id, s->value, 11);
    return 0;
}

static int add_topic(struct reader *r, const struct dp_setting *s, size_t key)
{
    struct apns *a = r->apns;

    for (size_t i = 0; i < a->topic_count; i++) {
        if (strcmp(a->topics[i].name, s->value) == 0)
            return fail(r, "%s: the topic \"%s\" is configured twice, expected one key for it",
                        s->where, s->value);
    }
    if (s->value[0] == '\0')
        return fail(r, "%s: \"%s\" is empty, expected a bundle id", s->where, s->path);
    if (a->topic_count == TOPICS_MAX)
        return fail(r, "%s: too many topics, expected at most %d", s->where, TOPICS_MAX);
    a->topics[a->topic_count].key = key;
    return read_string(r, s, &a->topics[a->topic_count++].name);
}

/* `NAME[N]` at the start of path: what follows it, and N (whatever is too large is ULONG_MAX).
 * NULL: something else. */
static const char *skip_index(const char *path, const char *name, unsigned long *ret_index)
{
    size_t len = strlen(name);
    unsigned long index;
    char *end;

    if (strncmp(path, name, len) != 0 || path[len] != '[' || path[len + 1] < '0' ||
        path[len + 1] > '9')
        return NULL;
    index = strtoul(path + len + 1, &end, 10);
    if (*end != ']')
        return NULL;
    *ret_index = index;
    return end + 1;
}

/* keys[N].team, .kid, .file, .topics[M] */
static int read_key(struct reader *r, const struct dp_setting *s)
{
    unsigned long index = 0, topic = 0;
    struct key *key;
    const char *rest = skip_index(s->path, "keys", &index), *after_topic;

    if (!rest || *rest++ != '.')
        return fail(r, "%s: \"%s\": expected keys = ( { team; kid; file; topics; } )", s->where,
                    s->path);
    if (index >= KEYS_MAX)
        return fail(r, "%s: too many keys, expected at most %d", s->where, KEYS_MAX);
    if (index >= r->apns->key_count)
        r->apns->key_count = index + 1;
    key = &r->apns->keys[index];
    key->where = s->where;
    if (strcmp(rest, "team") == 0)
        return read_id(r, s, key->team);
    if (strcmp(rest, "kid") == 0)
        return read_id(r, s, key->kid);
    if (strcmp(rest, "file") == 0)
        return read_string(r, s, &key->file);
    after_topic = skip_index(rest, "topics", &topic);
    if (after_topic && *after_topic == '\0')
        return add_topic(r, s, index);
    return fail(r, "%s: unknown setting \"%s\", expected team, kid, file or topics", s->where,
                s->path);
}

static int read_one(struct reader *r, const struct dp_setting *s)
{
    static const char *const environments[ENVIRONMENTS] = {"production", "development"};
    struct options *o = &r->apns->options;
    char path[64];

    for (size_t i = 0; i < NUMBERS; i++) {
        if (strcmp(numbers[i].path, s->path) == 0)
            return read_number(r, s, numbers[i].min, numbers[i].max,
                               number_at(o, numbers[i].offset));
    }
    for (int i = 0; i < ENVIRONMENTS; i++) {
        snprintf(path, sizeof(path), "%s.host", environments[i]);
        if (strcmp(path, s->path) == 0)
            return read_string(r, s, &o->endpoint[i].host);
        snprintf(path, sizeof(path), "%s.port", environments[i]);
        if (strcmp(path, s->path) == 0)
            return read_number(r, s, 1, 65535, &o->endpoint[i].port);
    }
    if (strcmp(s->path, "tls.ca_file") == 0) {
        r->ca_where = s->where;
        return read_string(r, s, &o->ca_file);
    }
    if (strncmp(s->path, "keys[", 5) == 0)
        return read_key(r, s);
    return fail(r,
                "%s: unknown setting \"%s\", expected keys, production, development, tls.ca_file "
                "or one of the limits in docs/apns.md",
                s->where, s->path);
}

static bool is_p256(const EVP_PKEY *pkey)
{
    char group[32] = "";
    size_t len;

    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* Without this OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static int load_key(struct reader *r, struct key *key)
{
    FILE *in;

    if (key->team[0] == '\0' || key->kid[0] == '\0' || !key->file)
        return fail(r, "%s: a key needs team, kid and file", key->where ? key->where : "keys");
    in = fopen(key->file, "re");
    if (!in)
        return fail(r, "%s: could not open the key file \"%s\": %s", key->where, key->file,
                    strerror(errno));
    key->pkey = PEM_read_PrivateKey(in, NULL, no_passphrase, NULL);
    fclose(in);
    ERR_clear_error();
    if (!key->pkey)
        return fail(
            r,
            "%s: \"%s\" holds no private key that can be read without a passphrase, expected "
            "Apple's .p8 file (PKCS#8 PEM)",
            key->where, key->file);
    if (!is_p256(key->pkey))
        return fail(r, "%s: the key in \"%s\" is not for ES256, expected a P-256 key", key->where,
                    key->file);
    return 0;
}

static int check(struct reader *r)
{
    struct apns *a = r->apns;
    bool topics[KEYS_MAX] = {false};

    if (a->key_count == 0)
        return fail(r, "no keys are configured, expected keys = ( { team; kid; file; topics; } )");
    for (size_t i = 0; i < a->topic_count; i++)
        topics[a->topics[i].key] = true;
    for (size_t i = 0; i < a->key_count; i++) {
        if (load_key(r, &a->keys[i]) < 0)
            return -1;
        if (!topics[i])
            return fail(r, "%s: the key \"%s\" has no topics, expected at least one bundle id",
                        a->keys[i].where, a->keys[i].kid);
    }
    a->ssl_ctx = SSL_CTX_new(TLS_client_method());
    a->bio = quiet_bio_create();
    if (!a->ssl_ctx || !a->bio || SSL_CTX_set_min_proto_version(a->ssl_ctx, TLS1_2_VERSION) != 1)
        return fail(r, "out of memory");
    SSL_CTX_set_verify(a->ssl_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(a->ssl_ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (a->options.ca_file ? SSL_CTX_load_verify_file(a->ssl_ctx, a->options.ca_file) != 1
                           : SSL_CTX_set_default_verify_paths(a->ssl_ctx) != 1)
        return fail(r, "%s: \"tls.ca_file\": could not read \"%s\", expected PEM certificates",
                    r->ca_where ? r->ca_where : "by default",
                    a->options.ca_file ? a->options.ca_file : "the system's certificates");
    return 0;
}

int settings_read(struct apns *apns, const struct dp_setting *settings, size_t count, char *error,
                  size_t size)
{
    struct reader r = {.apns = apns, .error = error, .size = size};
    struct options *o = &apns->options;

    for (size_t i = 0; i < NUMBERS; i++)
        *number_at(o, numbers[i].offset) = numbers[i].value;
    o->endpoint[PRODUCTION] = (struct endpoint){.host = strdup("api.push.apple.com"), .port = 443};
    o->endpoint[DEVELOPMENT] =
        (struct endpoint){.host = strdup("api.sandbox.push.apple.com"), .port = 443};
    if (!o->endpoint[PRODUCTION].host || !o->endpoint[DEVELOPMENT].host)
        return fail(&r, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (read_one(&r, &settings[i]) < 0)
            return -1;
    }
    return check(&r);
}

void settings_free(struct apns *apns)
{
    for (size_t i = 0; i < apns->key_count; i++) {
        EVP_PKEY_free(apns->keys[i].pkey);
        free(apns->keys[i].file);
    }
    for (size_t i = 0; i < apns->topic_count; i++)
        free(apns->topics[i].name);
    for (int i = 0; i < ENVIRONMENTS; i++)
        free(apns->options.endpoint[i].host);
    free(apns->options.ca_file);
    SSL_CTX_free(apns->ssl_ctx);
    BIO_meth_free(apns->bio);
}
