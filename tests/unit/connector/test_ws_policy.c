/* Tests of connector/ws_policy.c: the options of websocket. */
#include "connector/ws_policy.h"

#include <string.h>

#include "common/auto.h"

#include "connector/options.h"

#include "tests/support/run_suite.h"

static struct option_set set;
static struct options options;
static struct ws_policy policy;
static struct err_text et;

static void set_up(void)
{
    option_set_init(&set, connector_options, connector_option_count, &options);
    policy = (struct ws_policy){0};
    et.text[0] = '\0';
}

static void tear_down(void)
{
    ws_policy_fini(&policy);
    option_set_fini(&set);
}

static int load(const char *override)
{
    int r = option_set_load(&set, NULL, &override, override != NULL, &et);

    return r < 0 ? r : ws_policy_read(options.websocket_path, &set.config, &policy, &et);
}

START_TEST(test_defaults)
{
    ck_assert_int_eq(load(NULL), 0);
    ck_assert_str_eq(policy.path, "/mqtt");
    ck_assert_uint_eq(policy.origin_count, 0);
}
END_TEST

START_TEST(test_origins)
{
    ck_assert_msg(load("websocket.origins=( \"https://chat.example.org\", "
                       "\"http://localhost:8000\" )") == 0,
                  "%s", et.text);
    ck_assert_uint_eq(policy.origin_count, 2);
    ck_assert_str_eq(policy.origins[0], "https://chat.example.org");
    ck_assert_str_eq(policy.origins[1], "http://localhost:8000");
}
END_TEST

START_TEST(test_none)
{
    ck_assert_msg(load("websocket.origins=( )") == 0, "%s", et.text);
    ck_assert_uint_eq(policy.origin_count, 0);
}
END_TEST

START_TEST(test_bad_options)
{
    static const struct {
        const char *override, *expected;
    } cases[] = {
        {"websocket.origins=( \"https://chat.example.org/\" )", "\"https://chat.example.org/\""},
        {"websocket.origins=( 7 )", "not a string"},
        {"websocket.origins={ a = 1; }", "not a list"},
        {"websocket.path=mqtt", "\"websocket.path\" is \"mqtt\""},
        {"websocket.path=/mqtt?x", "\"websocket.path\" is \"/mqtt?x\""},
    };

    ck_assert_int_lt(_i, (int)ARRAY_LEN(cases));
    ck_assert_int_eq(load(cases[_i].override), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, cases[_i].expected) != NULL, "%s", et.text);
    ck_assert_ptr_nonnull(strstr(et.text, "expected"));
}
END_TEST

START_TEST(test_what_an_origin_is)
{
    ck_assert(ws_origin_valid("https://chat.example.org"));
    ck_assert(ws_origin_valid("http://localhost:8000"));
    ck_assert(ws_origin_valid("http://[::1]:8000"));
    ck_assert(!ws_origin_valid("https://chat.example.org/"));
    ck_assert(!ws_origin_valid("https://*.example.org"));
    ck_assert(!ws_origin_valid("https://user@example.org"));
    ck_assert(!ws_origin_valid("chat.example.org"));
    ck_assert(!ws_origin_valid("://chat.example.org"));
    ck_assert(!ws_origin_valid("https://"));
    ck_assert(!ws_origin_valid("null"));
    ck_assert(!ws_origin_valid(""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ws_policy");
    TCase *options_case = tcase_create("options");

    tcase_add_checked_fixture(options_case, set_up, tear_down);
    tcase_add_test(options_case, test_defaults);
    tcase_add_test(options_case, test_origins);
    tcase_add_test(options_case, test_none);
    tcase_add_loop_test(options_case, test_bad_options, 0, 5);
    tcase_add_test(options_case, test_what_an_origin_is);
    suite_add_tcase(suite, options_case);
    return run_suite(suite);
}
