/* Provider tokens: form, signature, age, how often they change, what a connection is bound to. */
#include "tools/apns-simulator/provider_auth.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "tests/support/run_suite.h"
#include "tools/apns-simulator/pem_file.h"
#include "tools/apns-simulator/provider_token.h"

#include "token_signer.h"

#define TEAM "TEAMTEAM01"
#define OTHER_TEAM "TEAMTEAM02"
#define KID "KEYKEYKEY1"
#define SECOND_KID "KEYKEYKEY2" /* of the same team */
#define OTHER_KID "KEYKEYKEY3"  /* of the other one */
#define NOW 1780000000ULL
#define INTERVAL 1200
#define HEADER "{\"alg\":\"ES256\",\"kid\":\"" KID "\"}"
#define CLAIMS "{\"iss\":\"" TEAM "\",\"iat\":1780000000}"

static EVP_PKEY *pairs[3];
static struct provider_keys keys;
static struct provider_auth *auth;
static struct provider_session session;

static void set_up(void)
{
    static const char *const ids[3][2] = {{KID, TEAM}, {SECOND_KID, TEAM}, {OTHER_KID, OTHER_TEAM}};

    keys = (struct provider_keys){.keys = calloc(3, sizeof(*keys.keys)), .count = 3};
    ck_assert_ptr_nonnull(keys.keys);
    for (size_t i = 0; i < 3; i++) {
        pairs[i] = pem_make_key();
        ck_assert_ptr_nonnull(pairs[i]);
        ck_assert_int_eq(EVP_PKEY_up_ref(pairs[i]), 1);
        keys.keys[i].key = pairs[i];
        memcpy(keys.keys[i].kid, ids[i][0], APPLE_ID_LEN);
        memcpy(keys.keys[i].team, ids[i][1], APPLE_ID_LEN);
    }
    memset(&session, 0, sizeof(session));
    auth = NULL;
}

static void tear_down(void)
{
    provider_auth_destroy(auth);
    provider_keys_fini(&keys);
    for (size_t i = 0; i < 3; i++)
        EVP_PKEY_free(pairs[i]);
}

static void make_auth(uint32_t interval_s)
{
    auth = provider_auth_create(&keys, interval_s);
    ck_assert_ptr_nonnull(auth);
}

static int verify(const char *header, const char *claims, EVP_PKEY *key, bool der)
{
    struct provider_claims result = {0};
    AUTO_FREE char *token = sign_token(key, header, claims, der);
    int r = provider_token_verify(&keys, token, &result);

    if (r == 0) {
        ck_assert_ptr_eq(result.key, &keys.keys[0]);
        ck_assert_uint_eq(result.issued_s, NOW);
    }
    return r;
}

START_TEST(test_signatures)
{
    ck_assert_int_eq(verify(HEADER, CLAIMS, pairs[0], false), 0);
    ck_assert_int_eq(verify(HEADER, CLAIMS, pairs[0], true), 0);
    ck_assert_int_eq(verify(HEADER, CLAIMS, pairs[1], false), ERR_INVALID);
    ck_assert_int_eq(verify(HEADER, CLAIMS, pairs[1], true), ERR_INVALID);
}
END_TEST

static const char *const bad_parts[][2] = {
    {"{\"alg\":\"none\",\"kid\":\"" KID "\"}", CLAIMS},
    {"{\"alg\":\"HS256\",\"kid\":\"" KID "\"}", CLAIMS},
    {"{\"kid\":\"" KID "\"}", CLAIMS},
    {"{\"alg\":\"ES256\"}", CLAIMS},
    {"{\"alg\":\"ES256\",\"kid\":\"KEYKEYKEY9\"}", CLAIMS},
    {"{\"alg\":\"ES256\",\"kid\":1}", CLAIMS},
    {"[]", CLAIMS},
    {"", CLAIMS},
    {HEADER, "{\"iss\":\"" OTHER_TEAM "\",\"iat\":1780000000}"},
    {HEADER, "{\"iat\":1780000000}"},
    {HEADER, "{\"iss\":\"" TEAM "\"}"},
    {HEADER, "{\"iss\":\"" TEAM "\",\"iat\":\"1780000000\"}"},
    {HEADER, "{\"iss\":\"" TEAM "\",\"iat\":-1}"},
    {HEADER, "{\"iss\":\"" TEAM "\",\"iat\":1e300}"},
    {HEADER, "no JSON"},
};

START_TEST(test_bad_parts)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_parts); i++)
        ck_assert_msg(verify(bad_parts[i][0], bad_parts[i][1], pairs[0], false) == ERR_INVALID,
                      "row %zu", i);
}
END_TEST

START_TEST(test_bad_form)
{
    static const char *const texts[] = {
        "", ".", "..", "...", "a.b", "a.b.c", "e30.e30.", "e30.e30.AA", "e30=.e30.AA", " .e30.AA"};
    struct provider_claims claims;
    AUTO_FREE char *token = sign_token(pairs[0], HEADER, CLAIMS, false);
    AUTO_FREE char *longer = NULL;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_int_eq(provider_token_verify(&keys, texts[i], &claims), ERR_INVALID);
    ck_assert_int_gt(asprintf(&longer, "%s.x", token), 0);
    ck_assert_int_eq(provider_token_verify(&keys, longer, &claims), ERR_INVALID);
    token[strlen(token) - 10] ^= 1;
    ck_assert_int_eq(provider_token_verify(&keys, token, &claims), ERR_INVALID);
}
END_TEST

static enum reason check_with(struct provider_session *with, EVP_PKEY *key, const char *kid,
                              const char *team, uint64_t issued_s, uint64_t now_s)
{
    AUTO_FREE char *bearer = sign_bearer(key, kid, team, issued_s);

    return provider_auth_check(auth, with, bearer, now_s);
}

static enum reason check(uint64_t issued_s, uint64_t now_s)
{
    return check_with(&session, pairs[0], KID, TEAM, issued_s, now_s);
}

START_TEST(test_missing)
{
    AUTO_FREE char *bearer = sign_bearer(pairs[0], KID, TEAM, NOW);

    make_auth(INTERVAL);
    ck_assert_int_eq(provider_auth_check(auth, &session, NULL, NOW), REASON_MISSING_PROVIDER_TOKEN);
    ck_assert_int_eq(provider_auth_check(auth, &session, "bearer ", NOW),
                     REASON_MISSING_PROVIDER_TOKEN);
    ck_assert_int_eq(provider_auth_check(auth, &session, "Basic YTpi", NOW),
                     REASON_MISSING_PROVIDER_TOKEN);
    ck_assert_int_eq(provider_auth_check(auth, &session, "bearer x.y.z", NOW),
                     REASON_INVALID_PROVIDER_TOKEN);
    ck_assert_ptr_null(session.key);
    memcpy(bearer, "BEARER", 6);
    ck_assert_int_eq(provider_auth_check(auth, &session, bearer, NOW), REASON_NONE);
    ck_assert_ptr_nonnull(session.key);
}
END_TEST

START_TEST(test_age)
{
    struct provider_session fresh = {0};

    make_auth(0);
    ck_assert_int_eq(check(NOW - 3600, NOW), REASON_NONE);
    /* the same connection is of no use any more, whatever it brings */
    ck_assert_int_eq(check(NOW - 3600, NOW + 1), REASON_EXPIRED_PROVIDER_TOKEN);
    ck_assert_int_eq(check(NOW, NOW + 1), REASON_EXPIRED_PROVIDER_TOKEN);
    ck_assert_int_eq(check_with(&fresh, pairs[0], KID, TEAM, NOW, NOW + 1), REASON_NONE);
}
END_TEST

START_TEST(test_old_and_future)
{
    struct provider_session other = {0};

    make_auth(0);
    ck_assert_int_eq(check(NOW - 3601, NOW), REASON_EXPIRED_PROVIDER_TOKEN);
    ck_assert_int_eq(check_with(&other, pairs[0], KID, TEAM, NOW + 61, NOW),
                     REASON_EXPIRED_PROVIDER_TOKEN);
    memset(&other, 0, sizeof(other));
    ck_assert_int_eq(check_with(&other, pairs[0], KID, TEAM, NOW + 60, NOW), REASON_NONE);
}
END_TEST

/* A connection that used its token all the time still learns that it has grown old. */
START_TEST(test_age_of_repeated_token)
{
    AUTO_FREE char *bearer = sign_bearer(pairs[0], KID, TEAM, NOW);

    make_auth(INTERVAL);
    ck_assert_int_eq(provider_auth_check(auth, &session, bearer, NOW), REASON_NONE);
    ck_assert_int_eq(provider_auth_check(auth, &session, bearer, NOW + 3600), REASON_NONE);
    ck_assert_int_eq(provider_auth_check(auth, &session, bearer, NOW + 3601),
                     REASON_EXPIRED_PROVIDER_TOKEN);
}
END_TEST

START_TEST(test_too_many_updates)
{
    AUTO_FREE char *first = sign_bearer(pairs[0], KID, TEAM, NOW);
    struct provider_session other = {0};

    make_auth(INTERVAL);
    ck_assert_int_eq(provider_auth_check(auth, &session, first, NOW), REASON_NONE);
    ck_assert_int_eq(check(NOW + 10, NOW + 10), REASON_TOO_MANY_PROVIDER_TOKEN_UPDATES);
    /* for a while also with the old one; another connection is not concerned */
    ck_assert_int_eq(provider_auth_check(auth, &session, first, NOW + 11),
                     REASON_TOO_MANY_PROVIDER_TOKEN_UPDATES);
    ck_assert_int_eq(provider_auth_check(auth, &other, first, NOW + 11), REASON_NONE);
    ck_assert_int_eq(provider_auth_check(auth, &session, first, NOW + 60), REASON_NONE);
    ck_assert_int_eq(check(NOW + INTERVAL, NOW + INTERVAL), REASON_NONE);
    /* a process that still has the old one may use it */
    ck_assert_int_eq(provider_auth_check(auth, &other, first, NOW + INTERVAL + 1), REASON_NONE);
}
END_TEST

START_TEST(test_teams_are_separate)
{
    struct provider_session other = {0};

    make_auth(INTERVAL);
    ck_assert_int_eq(check(NOW, NOW), REASON_NONE);
    ck_assert_int_eq(check_with(&other, pairs[2], OTHER_KID, OTHER_TEAM, NOW, NOW), REASON_NONE);
}
END_TEST

START_TEST(test_one_team_and_key_a_connection)
{
    make_auth(0);
    ck_assert_int_eq(check(NOW, NOW), REASON_NONE);
    ck_assert_int_eq(check_with(&session, pairs[2], OTHER_KID, OTHER_TEAM, NOW, NOW),
                     REASON_INVALID_PROVIDER_TOKEN);
    ck_assert_int_eq(check_with(&session, pairs[1], SECOND_KID, TEAM, NOW, NOW),
                     REASON_UNRELATED_KEY_ID_IN_TOKEN);
    ck_assert_int_eq(check(NOW + 1, NOW + 1), REASON_NONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("provider_auth");
    TCase *tcase = tcase_create("provider_auth");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_signatures);
    tcase_add_test(tcase, test_bad_parts);
    tcase_add_test(tcase, test_bad_form);
    tcase_add_test(tcase, test_missing);
    tcase_add_test(tcase, test_age);
    tcase_add_test(tcase, test_old_and_future);
    tcase_add_test(tcase, test_age_of_repeated_token);
    tcase_add_test(tcase, test_too_many_updates);
    tcase_add_test(tcase, test_teams_are_separate);
    tcase_add_test(tcase, test_one_team_and_key_a_connection);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
