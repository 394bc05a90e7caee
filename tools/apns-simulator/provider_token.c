/* provider_token - header.claims.signature: base64url, JSON, ECDSA over P-256 with SHA-256.
 *
 * The key decides the algorithm, the header only has to agree. A verification costs about 100 µs;
 * provider_auth.c remembers what it has seen. */
#include "provider_token.h"

#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/auto.h"
#include "common/bytes.h"

/* A provider token has about 200 bytes; the headers of a request are bounded anyway. */
#define PART_MAX 2048
#define RAW_SIGNATURE_LEN 64
/* Two integers of 33 bytes with their headers, inside a sequence. */
#define DER_SIGNATURE_MAX 72

/* Bytes written to out (PART_MAX), or ERR_INVALID. */
static int decode_base64url(const char *text, size_t len, uint8_t *out)
{
    uint8_t padded[PART_MAX + 4];
    size_t padding = (4 - len % 4) % 4;

    if (len == 0 || len > PART_MAX - 4 || padding == 3)
        return ERR_INVALID;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '-')
            c = '+';
        else if (c == '_')
            c = '/';
        else if (c == '+' || c == '/' || c == '=' || strchr(" \t\r\n", c) != NULL)
            return ERR_INVALID; /* the other alphabet, or what the decoder would skip */
        padded[i] = (uint8_t)c;
    }
    memset(padded + len, '=', padding);
    int n = EVP_DecodeBlock(out, padded, (int)(len + padding));
    return n >= 0 ? n - (int)padding : ERR_INVALID;
}

/* Returns owned, or NULL when it is not base64url of a JSON object. */
static json_t *decode_json(const char *text, size_t len)
{
    uint8_t bytes[PART_MAX];
    int n = decode_base64url(text, len, bytes);
    json_t *json = n > 0 ? json_loadb((const char *)bytes, (size_t)n, 0, NULL) : NULL;

    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

/* R||S as JOSE says becomes DER, which OpenSSL wants. Length of out, or ERR_INVALID. */
static int raw_to_der(const uint8_t *raw, uint8_t out[DER_SIGNATURE_MAX])
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, RAW_SIGNATURE_LEN / 2, NULL);
    BIGNUM *s = BN_bin2bn(raw + RAW_SIGNATURE_LEN / 2, RAW_SIGNATURE_LEN / 2, NULL);
    int len = ERR_INVALID;

    if (signature != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(signature, r, s) == 1) {
        r = s = NULL; /* now the signature's */
        len = i2d_ECDSA_SIG(signature, NULL);
        len = len > 0 && len <= DER_SIGNATURE_MAX ? i2d_ECDSA_SIG(signature, &out) : ERR_INVALID;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return len;
}

static bool verify_der(EVP_PKEY *key, const char *signed_text, size_t signed_len,
                       const uint8_t *signature, size_t signature_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL &&
                EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, signature_len, (const uint8_t *)signed_text,
                                 signed_len) == 1;

    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

static bool verify(EVP_PKEY *key, const char *signed_text, size_t signed_len, const char *signature)
{
    uint8_t bytes[PART_MAX], der[DER_SIGNATURE_MAX];
    int n = decode_base64url(signature, strlen(signature), bytes);

    if (n <= 0)
        return false;
    /* A DER signature of exactly 64 bytes is as rare as R and S that are both 3 bytes short. */
    if (n == RAW_SIGNATURE_LEN) {
        int der_len = raw_to_der(bytes, der);

        if (der_len > 0 && verify_der(key, signed_text, signed_len, der, (size_t)der_len))
            return true;
    }
    return verify_der(key, signed_text, signed_len, bytes, (size_t)n);
}

static const struct provider_key *key_of_header(const struct provider_keys *keys,
                                                const json_t *header)
{
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    const char *kid = json_string_value(json_object_get(header, "kid"));

    if (algorithm == NULL || kid == NULL || strcmp(algorithm, "ES256") != 0)
        return NULL;
    return provider_keys_find(keys, kid);
}

static int read_claims(const json_t *claims, const struct provider_key *key, uint64_t *ret_issued_s)
{
    const char *team = json_string_value(json_object_get(claims, "iss"));
    const json_t *issued = json_object_get(claims, "iat");
    double issued_s = json_number_value(issued);

    if (team == NULL || strcmp(team, key->team) != 0 || !json_is_number(issued))
        return ERR_INVALID;
    if (!(issued_s >= 0 && issued_s < 1e12)) /* what fits, and no NaN */
        return ERR_INVALID;
    *ret_issued_s = (uint64_t)issued_s;
    return 0;
}

int provider_token_verify(const struct provider_keys *keys, const char *text,
                          struct provider_claims *ret_claims)
{
    const char *dot = strchr(text, '.'), *last = dot != NULL ? strchr(dot + 1, '.') : NULL;
    struct provider_claims result = {0};
    json_t *header = NULL, *claims = NULL;
    int r = ERR_INVALID;

    if (last == NULL || strchr(last + 1, '.') != NULL)
        return ERR_INVALID;
    header = decode_json(text, (size_t)(dot - text));
    claims = decode_json(dot + 1, (size_t)(last - dot - 1));
    if (header != NULL && claims != NULL)
        result.key = key_of_header(keys, header);
    if (result.key != NULL)
        r = read_claims(claims, result.key, &result.issued_s);
    json_decref(header);
    json_decref(claims);
    if (r < 0 || !verify(result.key->key, text, (size_t)(last - text), last + 1))
        return ERR_INVALID;
    *ret_claims = result;
    return 0;
}
