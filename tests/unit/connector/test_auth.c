/* Tests of connector/auth.c: the keys of a configuration, and the reason codes of a verdict. */
#include "connector/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/auto.h"

#include "connector/connector.h"
#include "connector/mqtt_codec.h"

#include "tests/support/run_suite.h"

#define NOW_S 1780000000u

static char folder[64], key_file[96], config_file[96];
static struct option_set set;
static struct options options;
static struct auth *auth;
static struct err_text et;
static struct metrics metrics;

static void write_file(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");

    ck_assert_ptr_nonnull(out);
    fputs(text, out);
    ck_assert_int_eq(fclose(out), 0);
}

static void set_up(void)
{
    snprintf(folder, sizeof(folder), "/tmp/test_auth.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(key_file, sizeof(key_file), "%s/dev.hs256", folder);
    snprintf(config_file, sizeof(config_file), "%s/connector.conf", folder);
    write_file(key_file, "0123456789abcdef0123456789abcdef\n");
    option_set_init(&set, connector_options, connector_option_count, &options);
    et.text[0] = '\0';
    metrics = (struct metrics){0};
    auth = NULL;
}

static void tear_down(void)
{
    auth_destroy(auth);
    option_set_fini(&set);
    unlink(key_file);
    unlink(config_file);
    rmdir(folder);
}

static int load(const char *config)
{
    write_file(config_file, config);
    return option_set_load(&set, config_file, NULL, 0, &et);
}

static void load_dev_key(void)
{
    ck_assert_msg(load("auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; "
                       "file = \"dev.hs256\"; } ); };") == 0,
                  "%s", et.text);
    ck_assert_msg(auth_create(&options, options.auth_key_dir, &set.config, &auth, &et) == 0, "%s",
                  et.text);
}

static uint8_t check(const struct token_claims *claims, const char *user, const char *device,
                     struct token_claims *ret_claims)
{
    AUTO_FREE char *token = token_sign_hs256(claims, "dev", key_file, &et);
    enum token_why why;
    uint8_t reason;

    ck_assert_msg(token != NULL, "%s", et.text);
    reason = auth_check(auth, bytes_of_string(token), bytes_of_string(user),
                        bytes_of_string(device), NOW_S, ret_claims, &why);
    if (reason != MQTT_SUCCESS)
        auth_count(&metrics, why);
    return reason;
}

START_TEST(test_good)
{
    struct token_claims got;

    load_dev_key(); /* the file is found beside the configuration */
    ck_assert_uint_eq(check(&(struct token_claims){.user = "bob",
                                                   .device = "phone",
                                                   .service = true,
                                                   .issued_s = NOW_S - 5,
                                                   .expires_s = NOW_S + 5},
                            "bob", "phone", &got),
                      MQTT_SUCCESS);
    ck_assert(got.service);
    ck_assert_uint_eq(got.issued_s, NOW_S - 5);
    ck_assert_uint_eq(got.expires_s, NOW_S + 5);
    ck_assert_uint_eq(
        check(&(struct token_claims){.user = "bob", .expires_s = NOW_S + 5}, "bob", "any", &got),
        MQTT_SUCCESS);
}
END_TEST

START_TEST(test_not_for_this_one)
{
    struct token_claims got;

    load_dev_key();
    ck_assert_uint_eq(
        check(&(struct token_claims){.user = "eve", .expires_s = NOW_S + 5}, "bob", "phone", &got),
        MQTT_NOT_AUTHORIZED);
    ck_assert_uint_eq(
        check(&(struct token_claims){.user = "bob", .device = "tablet", .expires_s = NOW_S + 5},
              "bob", "phone", &got),
        MQTT_NOT_AUTHORIZED);
    ck_assert_uint_eq(check(&(struct token_claims){.user = "bob", .expires_s = NOW_S - 100}, "bob",
                            "phone", &got),
                      MQTT_NOT_AUTHORIZED);
    ck_assert_uint_eq(metrics.tokens_user, 1);
    ck_assert_uint_eq(metrics.tokens_device, 1);
    ck_assert_uint_eq(metrics.tokens_expired, 1);
    ck_assert_uint_eq(metrics.tokens_malformed, 0);
}
END_TEST

START_TEST(test_unverifiable)
{
    struct token_claims got;
    enum token_why why;

    load_dev_key();
    ck_assert_uint_eq(auth_check(auth, bytes_of_string("no.token.atall"), bytes_of_string("bob"),
                                 bytes_of_string("phone"), NOW_S, &got, &why),
                      MQTT_BAD_CREDENTIALS);
    auth_count(&metrics, why);
    ck_assert_uint_eq(metrics.tokens_malformed, 1);
}
END_TEST

START_TEST(test_bad_configurations)
{
    static const struct {
        const char *config, *expected;
    } cases[] = {
        {"auth = { keys = ( ); };", "at least one"},
        {"auth = { keys = \"dev\"; };", "not a list"},
        {"auth = { keys = ( \"dev\" ); };", "not a group"},
        {"auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; } ); };", "\"file\""},
        {"auth = { keys = ( { kid = 1; algorithm = \"HS256\"; file = \"x\"; } ); };", "\"kid\""},
        {"auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; file = \"x\"; fiel = 1; } ); "
         "};",
         "fiel"},
    };

    ck_assert_int_lt(_i, (int)ARRAY_LEN(cases));
    ck_assert_int_eq(load(cases[_i].config), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, cases[_i].expected) != NULL, "%s", et.text);
    ck_assert_msg(strstr(et.text, "connector.conf:1") != NULL, "%s", et.text);
}
END_TEST

START_TEST(test_missing_file)
{
    ck_assert_int_eq(load("auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; "
                          "file = \"absent\"; } ); };"),
                     0);
    ck_assert_int_eq(auth_create(&options, options.auth_key_dir, &set.config, &auth, &et),
                     ERR_CONFIG);
    ck_assert_msg(strstr(et.text, "absent") != NULL, "%s", et.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth");
    TCase *verdict = tcase_create("verdict"), *keys = tcase_create("keys");

    tcase_add_checked_fixture(verdict, set_up, tear_down);
    tcase_add_checked_fixture(keys, set_up, tear_down);
    tcase_add_test(verdict, test_good);
    tcase_add_test(verdict, test_not_for_this_one);
    tcase_add_test(verdict, test_unverifiable);
    tcase_add_loop_test(keys, test_bad_configurations, 0, 6);
    tcase_add_test(keys, test_missing_file);
    suite_add_tcase(suite, verdict);
    suite_add_tcase(suite, keys);
    return run_suite(suite);
}
