/* Tests of delivery-plugins/apns/token.c: what is signed, and when anew. */
#include "push_fixture.h"

#include <check.h>
#include <jansson.h>
#include <openssl/ecdsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static uint64_t last_id;

/* The authorization header of one more request. */
static const char *authorization(void)
{
    push_host_deliver(&host, ++last_id);
    push_host_await(&host, last_id);
    return server.requests[server.request_count - 1].authorization;
}

/* base64url to bytes; returns how many. */
static size_t decode(const char *text, size_t len, unsigned char *out)
{
    char padded[512] = "";
    int n;

    ck_assert_uint_lt(len + 3, sizeof(padded));
    for (size_t i = 0; i < len; i++)
        padded[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    for (size_t i = len; i % 4 != 0; i++)
        padded[i] = '=';
    n = EVP_DecodeBlock(out, (const unsigned char *)padded, (int)((len + 3) / 4 * 4));
    ck_assert_int_ge(n, 0);
    return (size_t)n - (len % 4 ? 4 - len % 4 : 0);
}

/* Takes the token apart: header and claims are owned by the caller. */
static void take_apart(const char *token, json_t **ret_header, json_t **ret_claims)
{
    const char *head = token + strlen("bearer ");
    const char *claims = strchr(head, '.') + 1;
    const char *signature = strchr(claims, '.') + 1;
    unsigned char buf[512], raw[128];
    unsigned char *der = NULL;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int len;

    ck_assert_int_eq(strncmp(token, "bearer ", 7), 0);
    ck_assert_ptr_null(strpbrk(head, "=+/ "));
    *ret_header = json_loadb((char *)buf, decode(head, (size_t)(claims - 1 - head), buf), 0, NULL);
    *ret_claims =
        json_loadb((char *)buf, decode(claims, (size_t)(signature - 1 - claims), buf), 0, NULL);
    /* JOSE: the two numbers, 32 bytes each */
    ck_assert_uint_eq(decode(signature, strlen(signature), raw), 64);
    ECDSA_SIG_set0(pair, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
    len = i2d_ECDSA_SIG(pair, &der);
    ck_assert_int_eq(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, keys.provider), 1);
    ck_assert_int_eq(EVP_DigestVerify(ctx, der, (size_t)len, (const unsigned char *)head,
                                      (size_t)(signature - 1 - head)),
                     1);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    EVP_MD_CTX_free(ctx);
}

static uint64_t iat_of(const char *token)
{
    json_t *header, *claims;
    uint64_t iat;

    take_apart(token, &header, &claims);
    ck_assert_str_eq(json_string_value(json_object_get(header, "alg")), "ES256");
    ck_assert_str_eq(json_string_value(json_object_get(header, "kid")), "KID4567890");
    ck_assert_uint_eq(json_object_size(header), 2);
    ck_assert_str_eq(json_string_value(json_object_get(claims, "iss")), "TEAM567890");
    ck_assert_uint_eq(json_object_size(claims), 2);
    iat = (uint64_t)json_integer_value(json_object_get(claims, "iat"));
    json_decref(header);
    json_decref(claims);
    return iat;
}

static uint64_t wall_s(void)
{
    return host.host.wall_ms(&host) / 1000;
}

static void set_up(void)
{
    push_set_up();
    last_id = 0;
}

/* Processes that share a key make tokens of the same time. */
START_TEST(test_time_is_rounded)
{
    uint64_t iat;

    push_open(NULL);
    iat = iat_of(authorization());
    ck_assert_uint_eq(iat, wall_s() / 3000 * 3000);
    ck_assert_uint_lt(wall_s() - iat, 3000);
}
END_TEST

START_TEST(test_every_number_is_padded)
{
    /* one signature in 128 has a number that begins with a zero byte */
    push_open("token_refresh_s", "1200", NULL);
    for (int i = 0; i < 300; i++) {
        host.wall_step_ms += 1200 * 1000;
        iat_of(authorization());
    }
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 300);
}
END_TEST

START_TEST(test_renewed_in_time)
{
    char first[600];
    uint64_t left_s;

    push_open(NULL);
    snprintf(first, sizeof(first), "%s", authorization());
    left_s = 3000 - wall_s() % 3000;
    ck_assert_uint_gt(left_s, 60);
    host.wall_step_ms += (int64_t)(left_s - 30) * 1000;
    ck_assert_str_eq(authorization(), first);
    host.wall_step_ms += 30 * 1000;
    ck_assert_uint_eq(iat_of(authorization()), iat_of(first) + 3000);
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 2);
    ck_assert_uint_eq(push_host_counter(&host, "connections_opened"), 1);
}
END_TEST

/* Both environments share it: it belongs to the key. */
START_TEST(test_one_token_a_key)
{
    push_open(NULL);
    authorization();
    push_host_deliver_as(&host, 2, &(struct push_changes){.environment = "development"});
    push_host_await(&host, 2);
    ck_assert_str_eq(server.requests[0].authorization, server.requests[1].authorization);
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 1);
}
END_TEST

static const struct push_answer expired[] = {
    {.status = 200}, {.status = 403, .body = "{\"reason\":\"ExpiredProviderToken\"}"}};

/* One that had to be made anew just before a step is kept: Apple counts. */
START_TEST(test_not_twice_in_twenty_minutes)
{
    char renewed[600];

    server.script = expired;
    server.script_len = 2;
    push_open(NULL);
    authorization();
    host.wall_step_ms += (int64_t)(3000 - wall_s() % 3000 - 20) * 1000;
    snprintf(renewed, sizeof(renewed), "%s", authorization());
    ck_assert_uint_le(wall_s() - iat_of(renewed), 5);
    host.wall_step_ms += 600 * 1000;
    ck_assert_str_eq(authorization(), renewed);
    host.wall_step_ms += 700 * 1000;
    ck_assert_str_ne(authorization(), renewed);
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 3);
}
END_TEST

START_TEST(test_clock_set_back)
{
    char renewed[600];

    server.script = expired;
    server.script_len = 2;
    push_open(NULL);
    authorization();
    snprintf(renewed, sizeof(renewed), "%s", authorization());
    host.wall_step_ms -= 10 * 1000;
    ck_assert_str_eq(authorization(), renewed);
    /* a token from far in the future would be refused: one new one, not one a request */
    host.wall_step_ms -= 7200 * 1000;
    for (int i = 0; i < 5; i++)
        ck_assert_uint_le(iat_of(authorization()), wall_s());
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 3);
}
END_TEST

/* Asleep for hours. */
START_TEST(test_clock_set_forward)
{
    push_open(NULL);
    authorization();
    host.wall_step_ms += INT64_C(86400000) * 30;
    ck_assert_uint_lt(wall_s() - iat_of(authorization()), 3000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apns_token");
    TCase *tcase = tcase_create("token");

    tcase_add_checked_fixture(tcase, set_up, push_tear_down);
    tcase_add_test(tcase, test_time_is_rounded);
    tcase_add_test(tcase, test_every_number_is_padded);
    tcase_add_test(tcase, test_renewed_in_time);
    tcase_add_test(tcase, test_one_token_a_key);
    tcase_add_test(tcase, test_not_twice_in_twenty_minutes);
    tcase_add_test(tcase, test_clock_set_back);
    tcase_add_test(tcase, test_clock_set_forward);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
