/* token - the provider token: a JWT signed with the key, ES256 (RFC 7515, 7518).
 *
 * Its time is rounded down to token_refresh_s, so that processes that share a key, and one that is
 * restarted, make tokens of the same time: Apple refuses tokens that are made too often. */
#include "apns.h"

#include <openssl/ecdsa.h>
#include <stdio.h>
#include <string.h>

#define P256_BYTES 32
/* Apple: not more often than every 20 minutes. */
#define UPDATE_LEAST_S 1200
/* How far the clock may be set back before a token from its future is replaced. */
#define CLOCK_STEP_S 30

/* base64url without padding, NUL-terminated. */
static void encode(const unsigned char *data, size_t len, char *text)
{
    int n = EVP_EncodeBlock((unsigned char *)text, data, (int)len);

    while (n > 0 && text[n - 1] == '=')
        n--;
    text[n] = '\0';
    for (char *c = text; *c != '\0'; c++)
        *c = (char)(*c == '+' ? '-' : (*c == '/' ? '_' : *c));
}

/* JOSE wants the two numbers one after the other, not DER. */
static bool sign(EVP_PKEY *pkey, const char *text, unsigned char raw[2 * P256_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char der[128];
    const unsigned char *at = der;
    size_t len = sizeof(der);
    ECDSA_SIG *pair = NULL;
    bool good = false;

    if (ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
        EVP_DigestSign(ctx, der, &len, (const unsigned char *)text, strlen(text)) == 1)
        pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    if (pair)
        good = BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, P256_BYTES) == P256_BYTES &&
               BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + P256_BYTES, P256_BYTES) == P256_BYTES;
    ECDSA_SIG_free(pair);
    EVP_MD_CTX_free(ctx);
    return good;
}

static bool make(struct key *key, uint64_t iat_s)
{
    char head[64], claims[96], text[384], encoded[192];
    unsigned char raw[2 * P256_BYTES];

    snprintf(head, sizeof(head), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", key->kid);
    snprintf(claims, sizeof(claims), "{\"iss\":\"%s\",\"iat\":%llu}", key->team,
             (unsigned long long)iat_s);
    encode((const unsigned char *)head, strlen(head), encoded);
    snprintf(text, sizeof(text), "%s.", encoded);
    encode((const unsigned char *)claims, strlen(claims), encoded);
    strncat(text, encoded, sizeof(text) - strlen(text) - 1);
    if (!sign(key->pkey, text, raw))
        return false;
    encode(raw, sizeof(raw), encoded);
    snprintf(key->token, sizeof(key->token), "bearer %s.%s", text, encoded);
    return true;
}

const char *token_get(struct apns *apns, struct key *key)
{
    uint64_t wall_s = apns->host->wall_ms(apns->host->ctx) / 1000;
    uint64_t iat_s = wall_s - wall_s % apns->options.token_refresh_s;

    /* after ExpiredProviderToken: as young as it can be */
    if (key->token[0] == '\0' && key->iat_s >= iat_s)
        iat_s = wall_s;
    /* one made outside the steps, or before the clock was set back, is not given up early */
    if (key->token[0] != '\0' && wall_s + CLOCK_STEP_S >= key->iat_s &&
        (key->iat_s >= iat_s || wall_s - key->iat_s < UPDATE_LEAST_S))
        return key->token;
    if (!make(key, iat_s)) {
        apns_log(apns, DP_LOG_ERROR, "could not sign a provider token with key %s", key->kid);
        return NULL;
    }
    key->iat_s = iat_s;
    apns_count(apns, "tokens_signed");
    return key->token;
}

void token_expired(struct key *key)
{
    key->token[0] = '\0';
}
