/* token_fixture - keys of all three algorithms, made once in a folder of their own, and tokens
 * signed with them by libjwt. For test_token.c and test_token_key.c. */
#ifndef BECKON_TESTS_TOKEN_FIXTURE_H
#define BECKON_TESTS_TOKEN_FIXTURE_H

#include <check.h>
#include <jwt.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/token.h"

#define NOW UINT64_C(1780000000)
#define SECRET "0123456789abcdef0123456789abcdef"
#define PEM_MAX 4096

struct pair {
    char secret_pem[PEM_MAX], public_pem[PEM_MAX]; /* strings */
    char public_file[64];
};

/* Made once, before Check forks. */
static char folder[32], secret_file[64], other_file[64];
static struct pair rsa, ec;

static const struct token_policy any_policy = {.issuer = "", .audience = "", .leeway_s = 60};

static inline void write_file(const char *file, const void *data, size_t len)
{
    FILE *out = fopen(file, "wb");

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(data, 1, len, out), len);
    ck_assert_int_eq(fclose(out), 0);
}

/* Takes bio's content as a string. */
static inline void take_pem(BIO *bio, char out[PEM_MAX])
{
    int len = BIO_read(bio, out, PEM_MAX - 1);

    ck_assert_int_gt(len, 0);
    out[len] = '\0';
    BIO_free(bio);
}

/* Takes pkey. */
static inline void make_pair(EVP_PKEY *pkey, const char *name, struct pair *pair)
{
    BIO *secret = BIO_new(BIO_s_mem()), *public = BIO_new(BIO_s_mem());

    ck_assert_ptr_nonnull(pkey);
    ck_assert_int_eq(PEM_write_bio_PrivateKey(secret, pkey, NULL, NULL, 0, NULL, NULL), 1);
    ck_assert_int_eq(PEM_write_bio_PUBKEY(public, pkey), 1);
    take_pem(secret, pair->secret_pem);
    take_pem(public, pair->public_pem);
    snprintf(pair->public_file, sizeof(pair->public_file), "%s/%s", folder, name);
    write_file(pair->public_file, pair->public_pem, strlen(pair->public_pem));
    EVP_PKEY_free(pkey);
}

static inline void make_keys(void)
{
    snprintf(folder, sizeof(folder), "/tmp/test-token-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(secret_file, sizeof(secret_file), "%s/secret", folder);
    write_file(secret_file, SECRET "\n", sizeof(SECRET)); /* with a newline, without NUL */
    snprintf(other_file, sizeof(other_file), "%s/other", folder);
    make_pair(EVP_RSA_gen(2048), "rsa", &rsa);
    make_pair(EVP_EC_gen("P-256"), "ec", &ec);
}

static inline void remove_keys(void)
{
    unlink(secret_file);
    unlink(other_file);
    unlink(rsa.public_file);
    unlink(ec.public_file);
    rmdir(folder);
}

/* kid "hs", "rsa" and "ec". */
static inline struct token_keys *all_keys(const struct token_policy *policy)
{
    struct token_keys *keys = token_keys_create(policy);
    struct err_text et = {""};

    ck_assert_ptr_nonnull(keys);
    ck_assert_msg(token_keys_add_file(keys, "hs", "HS256", secret_file, &et) == 0, "%s", et.text);
    ck_assert_msg(token_keys_add_file(keys, "rsa", "RS256", rsa.public_file, &et) == 0, "%s",
                  et.text);
    ck_assert_msg(token_keys_add_file(keys, "ec", "ES256", ec.public_file, &et) == 0, "%s",
                  et.text);
    return keys;
}

/* A set with one HS256 key of that kid. */
static inline struct token_keys *one_key(const char *kid)
{
    struct token_keys *keys = token_keys_create(&any_policy);

    ck_assert_ptr_nonnull(keys);
    ck_assert_int_eq(token_keys_add_file(keys, kid, "HS256", secret_file, NULL), 0);
    return keys;
}

/* kid NULL: none in the header. Returns owned. */
static inline char *sign(jwt_alg_t alg, const char *kid, const char *claims, const char *key)
{
    jwt_t *jwt;

    ck_assert_int_eq(jwt_new(&jwt), 0);
    ck_assert_int_eq(jwt_add_grants_json(jwt, claims), 0);
    if (kid != NULL)
        ck_assert_int_eq(jwt_add_header(jwt, "kid", kid), 0);
    int key_len = key == NULL ? 0 : (int)strlen(key);
    ck_assert_int_eq(jwt_set_alg(jwt, alg, (const unsigned char *)key, key_len), 0);
    char *text = jwt_encode_str(jwt);
    ck_assert_ptr_nonnull(text);
    jwt_free(jwt);
    return text;
}

#define GOOD "{\"sub\":\"alice\",\"exp\":1780000600}"

#endif
