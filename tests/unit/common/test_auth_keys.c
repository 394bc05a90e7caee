/* Tests of common/auth_keys.c: what "auth.keys" may say, and where key files are looked for. */
#include "common/auth_keys.h"
#include "common/option_group.h"

#include "common/auto.h"

#include "tests/unit/common/token_fixture.h"

#include "tests/support/run_suite.h"

static config_t config;
static struct err_text et;
static char config_file[64];

static void set_up(void)
{
    config_init(&config);
    et.text[0] = '\0';
    snprintf(config_file, sizeof(config_file), "%s/test.conf", folder);
}

static void tear_down(void)
{
    config_destroy(&config);
    unlink(config_file);
}

static const config_setting_t *read_list(const char *text)
{
    write_file(config_file, text, strlen(text));
    ck_assert_msg(config_read_file(&config, config_file) == CONFIG_TRUE, "%s",
                  config_error_text(&config));
    return config_lookup(&config, "auth.keys");
}

static void refused(const char *text, const char *expected)
{
    char whole[512];

    snprintf(whole, sizeof(whole), "%s:%s", config_file, expected);
    ck_assert_int_eq(auth_keys_check(read_list(text), &et), ERR_CONFIG);
    ck_assert_str_eq(et.text, whole);
}

START_TEST(test_good_list)
{
    const config_setting_t *list =
        read_list("auth = { keys = ( { kid = \"a\"; algorithm = \"HS256\"; file = \"a.key\"; },\n"
                  "{ file = \"b.pem\"; kid = \"b\"; algorithm = \"ES256\"; } ); };");

    ck_assert_msg(auth_keys_check(list, &et) == 0, "%s", et.text);
}
END_TEST

START_TEST(test_no_list_of_keys)
{
    static const char expected[] = "2: \"auth.keys\" is not a list of at least one key: "
                                   "( { kid = ...; algorithm = ...; file = ...; } )";

    refused("auth = {\nkeys = ( ); };", expected);
    refused("auth = {\nkeys = [ \"a\" ]; };", expected);
    refused("auth = {\nkeys = { kid = \"a\"; }; };", expected);
    refused("auth = {\nkeys = \"a\"; };", expected);
}
END_TEST

START_TEST(test_bad_keys)
{
    refused("auth = { keys = (\n{ kid = \"a\"; algorithm = \"HS256\"; file = \"f\"; },\n5 ); };",
            "3: an element of \"auth.keys\" is not a group { ... }");
    refused("auth = { keys = (\n{ algorithm = \"HS256\"; file = \"f\"; } ); };",
            "2: an element of \"auth.keys\" has no \"kid\", expected a string");
    refused("auth = { keys = (\n{ kid = \"a\"; file = \"f\"; } ); };",
            "2: an element of \"auth.keys\" has no \"algorithm\", expected a string");
    refused("auth = { keys = (\n{ kid = \"a\"; algorithm = \"HS256\"; file = 5; } ); };",
            "2: an element of \"auth.keys\" has no \"file\", expected a string");
    refused(
        "auth = { keys = ( { kid = \"a\"; algorithm = \"HS256\"; file = \"f\";\n"
        "secret = \"x\"; } ); };",
        "2: unknown option \"secret\" in an element of \"auth.keys\", expected kid, algorithm and "
        "file");
}
END_TEST

START_TEST(test_source_without_a_file)
{
    ck_assert_int_eq(config_read_string(&config, "auth = { keys = ( ); };"), CONFIG_TRUE);
    ck_assert_int_eq(auth_keys_check(config_lookup(&config, "auth.keys"), &et), ERR_CONFIG);
    ck_assert_ptr_eq(strstr(et.text, "configuration:1: "), et.text);
}
END_TEST

static void check_path(const config_setting_t *setting, const char *file, const char *expected)
{
    AUTO_FREE char *path = option_path(setting, file);

    ck_assert_str_eq(path, expected);
}

START_TEST(test_where_files_are)
{
    const config_setting_t *list = read_list("auth = { keys = ( ); };");
    char expected[128];
    config_t other;

    snprintf(expected, sizeof(expected), "%s/keys/a", folder);
    check_path(list, "keys/a", expected);
    check_path(list, "/etc/a", "/etc/a");
    check_path(NULL, "keys/a", "keys/a");
    config_init(&other);
    ck_assert_int_eq(config_read_string(&other, "auth = { keys = ( ); };"), CONFIG_TRUE);
    check_path(config_lookup(&other, "auth.keys"), "a", "a");
    config_destroy(&other);
}
END_TEST

START_TEST(test_loads_keys_beside_the_configuration)
{
    struct token_keys *keys = NULL;
    struct token_claims claims;
    enum token_why why;
    char *token = sign(JWT_ALG_HS256, "dev", GOOD, SECRET);

    read_list("auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; file = \"secret\"; }, "
              "{ kid = \"rsa\"; algorithm = \"RS256\"; file = \"rsa\"; } ); };");
    ck_assert_msg(auth_keys_load(&any_policy, &config, "", &keys, &et) == 0, "%s", et.text);
    ck_assert_ptr_nonnull(keys);
    ck_assert_int_eq(token_verify(keys, bytes_of_string(token), NOW, &claims, &why), TOKEN_VALID);
    ck_assert_str_eq(claims.user, "alice");
    token_keys_destroy(keys);
    free(token);
}
END_TEST

START_TEST(test_without_the_option_there_are_none)
{
    struct token_keys *keys = (struct token_keys *)&any_policy;

    read_list("auth = { };");
    ck_assert_int_eq(auth_keys_load(&any_policy, &config, "", &keys, &et), 0);
    ck_assert_ptr_null(keys);
}
END_TEST

static void not_loaded(const char *text, const char *part)
{
    struct token_keys *const untouched = (struct token_keys *)&any_policy, *keys = untouched;

    read_list(text);
    ck_assert_int_eq(auth_keys_load(&any_policy, &config, "", &keys, &et), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, part) != NULL, "%s", et.text);
    ck_assert_ptr_eq(keys, untouched);
}

START_TEST(test_one_bad_key_is_all_bad)
{
    not_loaded("auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; file = \"secret\"; }, "
               "{ kid = \"b\"; algorithm = \"HS256\"; file = \"absent\"; } ); };",
               "/absent");
    not_loaded("auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; file = \"secret\"; }, "
               "{ kid = \"dev\"; algorithm = \"HS256\"; file = \"secret\"; } ); };",
               "\"dev\"");
    not_loaded("auth = { keys = ( { kid = \"dev\"; file = \"secret\"; } ); };",
               "has no \"algorithm\"");
    not_loaded("auth = { keys = ( 5 ); };", "is not a group");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_keys");
    TCase *tcase = tcase_create("auth_keys");

    tcase_add_unchecked_fixture(tcase, make_keys, remove_keys);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_good_list);
    tcase_add_test(tcase, test_no_list_of_keys);
    tcase_add_test(tcase, test_bad_keys);
    tcase_add_test(tcase, test_source_without_a_file);
    tcase_add_test(tcase, test_where_files_are);
    tcase_add_test(tcase, test_loads_keys_beside_the_configuration);
    tcase_add_test(tcase, test_without_the_option_there_are_none);
    tcase_add_test(tcase, test_one_bad_key_is_all_bad);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
