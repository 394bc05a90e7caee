/* token_signer - base64url and ECDSA from the other side than provider_token.c. */
#include "token_signer.h"

#include <check.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

/* Returns owned. */
static char *base64url(const void *data, size_t len)
{
    char *text = calloc(1, len * 2 + 8);

    ck_assert_ptr_nonnull(text);
    EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '+')
            *c = '-';
        else if (*c == '/')
            *c = '_';
        else if (*c == '=')
            *c = '\0';
    }
    return text;
}

static void der_to_raw(const unsigned char *der, size_t len, unsigned char raw[64])
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)len);

    ck_assert_ptr_nonnull(signature);
    ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, 32), 32);
    ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + 32, 32), 32);
    ECDSA_SIG_free(signature);
}

char *sign_token(EVP_PKEY *key, const char *header, const char *claims, bool der)
{
    AUTO_FREE char *first = base64url(header, strlen(header));
    AUTO_FREE char *second = base64url(claims, strlen(claims));
    AUTO_FREE char *signed_text = NULL;
    AUTO_FREE char *third = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[128], raw[64];
    size_t len = sizeof(signature);
    char *token = NULL;

    ck_assert_int_gt(asprintf(&signed_text, "%s.%s", first, second), 0);
    ck_assert_int_eq(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
    ck_assert_int_eq(
        EVP_DigestSign(context, signature, &len, (unsigned char *)signed_text, strlen(signed_text)),
        1);
    EVP_MD_CTX_free(context);
    der_to_raw(signature, len, raw);
    third = der ? base64url(signature, len) : base64url(raw, sizeof(raw));
    ck_assert_int_gt(asprintf(&token, "%s.%s", signed_text, third), 0);
    return token;
}

char *sign_bearer(EVP_PKEY *key, const char *kid, const char *team, unsigned long long issued_s)
{
    AUTO_FREE char *token = NULL;
    char header[128], claims[128], *bearer = NULL;

    snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
    snprintf(claims, sizeof(claims), "{\"iss\":\"%s\",\"iat\":%llu}", team, issued_s);
    token = sign_token(key, header, claims, false);
    ck_assert_int_gt(asprintf(&bearer, "bearer %s", token), 0);
    return bearer;
}
