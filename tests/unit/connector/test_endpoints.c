/* Tests of connector/endpoints.c. */
#include "connector/endpoints.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static config_t config;
static struct endpoints endpoints;
static struct err_text et;

static void set_up(void)
{
    config_init(&config);
}

static void tear_down(void)
{
    endpoints_fini(&endpoints);
    config_destroy(&config);
}

static int check(const char *value)
{
    char text[2048];

    snprintf(text, sizeof(text), "broker = { endpoints = %s; };", value);
    ck_assert_int_eq(config_read_string(&config, text), CONFIG_TRUE);
    return endpoints_check(config_lookup(&config, "broker.endpoints"), &et);
}

START_TEST(test_default)
{
    ck_assert_int_eq(config_read_string(&config, ""), CONFIG_TRUE);
    ck_assert_int_eq(endpoints_read(&config, &endpoints, &et), 0);
    ck_assert_uint_eq(endpoints.count, 1);
    ck_assert_str_eq(endpoints.all[0], "tcp://127.0.0.1:7400");
}
END_TEST

START_TEST(test_list)
{
    ck_assert_int_eq(check("( \"tcp://a:1\", \"tcp://b:2\" )"), 0);
    ck_assert_int_eq(endpoints_read(&config, &endpoints, &et), 0);
    ck_assert_uint_eq(endpoints.count, 2);
    ck_assert_str_eq(endpoints.all[0], "tcp://a:1");
    ck_assert_str_eq(endpoints.all[1], "tcp://b:2");
}
END_TEST

START_TEST(test_refused)
{
    static const struct {
        const char *value, *fragment;
    } cases[] = {
        {"\"tcp://a:1\"", "not a list"},
        {"( )", "it is empty"},
        {"( 7400 )", "an element is not a string"},
        {"( \"tcp://a:1\", \"b:2\" )", "\"b:2\" is not an endpoint"},
    };
    char many[1024] = "( \"a://a\"";

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_int_eq(check(cases[i].value), ERR_CONFIG);
        ck_assert_msg(strstr(et.text, cases[i].fragment) != NULL, "%s", et.text);
        ck_assert_msg(strstr(et.text, "expected a list of 1 to 16 endpoints") != NULL, "%s",
                      et.text);
    }
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        size_t used = strlen(many);

        snprintf(many + used, sizeof(many) - used, ", \"a://a\"%s",
                 i + 1 == ENDPOINTS_MAX ? " )" : "");
    }
    ck_assert_int_eq(check(many), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, "too many of them") != NULL, "%s", et.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("endpoints");
    TCase *tcase = tcase_create("endpoints");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_default);
    tcase_add_test(tcase, test_list);
    tcase_add_test(tcase, test_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
