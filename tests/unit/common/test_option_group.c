/* Tests of common/option_group.c. auth.keys, which uses it, has its own in test_auth_keys.c. */
#include "common/option_group.h"

#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static config_t config;

static void set_up(void)
{
    config_init(&config);
}

static void tear_down(void)
{
    config_destroy(&config);
}

static const config_setting_t *first(const char *text)
{
    ck_assert_int_eq(config_read_string(&config, text), CONFIG_TRUE);
    return config_setting_get_elem(config_lookup(&config, "list"), 0);
}

START_TEST(test_one_or_many_fields)
{
    static const char *const fields[] = {"a", "b", "c"};
    static const struct {
        const char *text;
        size_t field_count;
        const char *error; /* NULL: good */
    } cases[] = {
        {"list = ( { a = \"1\"; } );", 1, NULL},
        {"list = ( { c = \"3\"; b = \"2\"; a = \"1\"; } );", 3, NULL},
        {"list = ( \"a\" );", 1, "configuration:1: an element of \"list\" is not a group { ... }"},
        {"list = ( { a = 1; } );", 1,
         "configuration:1: an element of \"list\" has no \"a\", expected a string"},
        {"list = ( { a = \"1\";\n b = \"2\"; } );", 1,
         "configuration:2: unknown option \"b\" in an element of \"list\", expected a"},
        {"list = ( { a = \"1\"; b = \"2\"; d = \"4\"; } );", 2,
         "configuration:1: unknown option \"d\" in an element of \"list\", expected a and b"},
        {"list = ( { a = \"1\"; b = \"2\"; c = \"3\"; d = \"4\"; } );", 3,
         "configuration:1: unknown option \"d\" in an element of \"list\", expected a, b and c"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct option_group what = {"list", fields, cases[i].field_count};
        struct err_text et = {""};
        int r = option_group_check(first(cases[i].text), &what, &et);

        ck_assert_int_eq(r, cases[i].error != NULL ? ERR_CONFIG : 0);
        if (cases[i].error != NULL)
            ck_assert_str_eq(et.text, cases[i].error);
    }
}
END_TEST

START_TEST(test_paths_without_a_file)
{
    AUTO_FREE char *relative = option_path(NULL, "keys/a.key");
    AUTO_FREE char *absolute = option_path(first("list = ( { a = \"1\"; } );"), "/etc/a.key");

    ck_assert_str_eq(relative, "keys/a.key");
    ck_assert_str_eq(absolute, "/etc/a.key");
    ck_assert_str_eq(option_source(config_lookup(&config, "list")), "configuration");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("option_group");
    TCase *tcase = tcase_create("option_group");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_one_or_many_fields);
    tcase_add_test(tcase, test_paths_without_a_file);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
