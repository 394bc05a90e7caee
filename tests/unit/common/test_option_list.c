/* Tests of common/option_list.c: lists and groups given with --set mean what they say, or are
 * refused. */
#include "common/option_list.h"

#include "option_fixture.h"

#include "tests/support/run_suite.h"

static config_t config;
static int check_result;
static char checked_file[32];

static int on_check(const config_setting_t *setting, struct err_text *text)
{
    const char *source = config_setting_source_file(setting);

    check_calls++;
    snprintf(checked_file, sizeof(checked_file), "%s", source ? source : "(none)");
    return check_result < 0 ? err_set(text, check_result, "not so") : 0;
}

static const struct option keys = {.path = "auth.keys", .type = OPTION_LIST, .check = on_check},
                           plugins = {.path = "plugins", .type = OPTION_LIST};

static void set_up(void)
{
    option_set_up();
    check_result = 0;
    config_init(&config);
}

static void tear_down(void)
{
    config_destroy(&config);
    option_tear_down();
}

static void given(const struct option *option, const char *text)
{
    ck_assert_msg(option_list_set(&config, option, text, &et) == 0, "%s", et.text);
}

static void refused(const struct option *option, const char *text, const char *expected)
{
    ck_assert_int_eq(option_list_set(&config, option, text, &et), ERR_CONFIG);
    ck_assert_str_eq(et.text, expected);
}

START_TEST(test_every_type_is_copied)
{
    const config_setting_t *group;

    given(&plugins, "( { name = \"a\\\"b\"; n = 7; big = 4294967296L; f = 1.5; yes = true;"
                    " deep = { list = ( 1, [ 2, 3 ], \"x\" ); }; none = ( ); } )");
    group = config_setting_get_elem(config_lookup(&config, "plugins"), 0);
    ck_assert_ptr_nonnull(group);
    ck_assert_str_eq(config_setting_get_string(config_setting_get_member(group, "name")), "a\"b");
    ck_assert_int_eq(config_setting_get_int(config_setting_get_member(group, "n")), 7);
    ck_assert_int_eq(config_setting_get_int64(config_setting_get_member(group, "big")),
                     4294967296LL);
    ck_assert(config_setting_get_float(config_setting_get_member(group, "f")) == 1.5);
    ck_assert_int_eq(config_setting_get_bool(config_setting_get_member(group, "yes")), 1);
    ck_assert_int_eq(config_setting_length(config_setting_get_member(group, "none")), 0);
    ck_assert_int_eq(
        config_setting_get_int(config_lookup(&config, "plugins.[0].deep.list.[1].[1]")), 3);
    ck_assert_str_eq(config_setting_get_string(config_lookup(&config, "plugins.[0].deep.list.[2]")),
                     "x");
}
END_TEST

START_TEST(test_a_group_is_as_good)
{
    given(&plugins, "{ offline = ( ); }");
    ck_assert_int_eq(config_setting_is_group(config_lookup(&config, "plugins")), 1);
}
END_TEST

START_TEST(test_it_takes_the_place_of_what_is_there)
{
    ck_assert_int_eq(config_read_string(&config, "auth = { issuer = \"i\"; keys = ( 1, 2, 3 ); };"),
                     CONFIG_TRUE);
    given(&keys, "( 4 )");
    ck_assert_int_eq(config_setting_length(config_lookup(&config, "auth.keys")), 1);
    ck_assert_int_eq(config_setting_get_int(config_lookup(&config, "auth.keys.[0]")), 4);
    ck_assert_ptr_nonnull(config_lookup(&config, "auth.issuer"));
}
END_TEST

START_TEST(test_missing_groups_are_made)
{
    given(&keys, "( 4 )");
    ck_assert_int_eq(config_setting_get_int(config_lookup(&config, "auth.keys.[0]")), 4);
}
END_TEST

START_TEST(test_where_it_came_from)
{
    const config_setting_t *element;

    given(&keys, "(\n{ a = 1; } )");
    ck_assert_uint_eq(check_calls, 1);
    ck_assert_str_eq(checked_file, "--set"); /* for what the check has to say */
    element = config_lookup(&config, "auth.keys.[0]");
    ck_assert_str_eq(config_setting_source_file(element), "--set");
    ck_assert_int_eq(config_setting_source_line(element), 2);
}
END_TEST

START_TEST(test_what_the_check_refuses_changes_nothing)
{
    given(&keys, "( 4 )");
    check_result = ERR_CONFIG;
    refused(&keys, "( 5, 6 )", "not so");
    ck_assert_int_eq(config_setting_length(config_lookup(&config, "auth.keys")), 1);
}
END_TEST

START_TEST(test_neither_list_nor_group)
{
    refused(&keys, "5", "--set: \"auth.keys\" is not a list or a group, expected one");
    refused(&keys, "\"x\"", "--set: \"auth.keys\" is not a list or a group, expected one");
    ck_assert_uint_eq(check_calls, 0);
    ck_assert_ptr_null(config_lookup(&config, "auth"));
}
END_TEST

START_TEST(test_broken_syntax)
{
    static const char wrong[] =
        "--set: \"plugins\": syntax error, expected the syntax of a configuration file";

    refused(&plugins, "", wrong);
    refused(&plugins, "( { name = ; } )", wrong);
    refused(&plugins, "( {", wrong);
    refused(&plugins, "( ) )", wrong);
}
END_TEST

START_TEST(test_more_than_a_value)
{
    refused(&plugins, "( ); port = 5", "--set: \"plugins\" has more than one value, expected one");
}
END_TEST

START_TEST(test_numbers_that_libconfig_would_change)
{
    refused(&plugins, "( 4294967298 )",
            "--set:1: 4294967298 needs the suffix L, as it has more than 31 bits");
}
END_TEST

START_TEST(test_includes)
{
    char text[256], expected[256];

    snprintf(text, sizeof(text), "(\n@include \"%s\"\n)", folder); /* libconfig would exit */
    snprintf(expected, sizeof(expected), "%s: could not read: Is a directory", folder);
    refused(&plugins, text, expected);
    write_file("{ a = 1; }");
    snprintf(text, sizeof(text), "(\n@include \"%s\"\n)", file);
    given(&plugins, text);
    ck_assert_str_eq(config_setting_source_file(config_lookup(&config, "plugins.[0].a")), "--set");
}
END_TEST

START_TEST(test_a_value_where_its_group_should_be)
{
    ck_assert_int_eq(config_read_string(&config, "auth = 5;"), CONFIG_TRUE);
    refused(&keys, "( 4 )", "--set: \"auth.keys\": \"auth\" is not a group, expected one");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("option_list");
    TCase *tcase = tcase_create("option_list");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_every_type_is_copied);
    tcase_add_test(tcase, test_a_group_is_as_good);
    tcase_add_test(tcase, test_it_takes_the_place_of_what_is_there);
    tcase_add_test(tcase, test_missing_groups_are_made);
    tcase_add_test(tcase, test_where_it_came_from);
    tcase_add_test(tcase, test_what_the_check_refuses_changes_nothing);
    tcase_add_test(tcase, test_neither_list_nor_group);
    tcase_add_test(tcase, test_broken_syntax);
    tcase_add_test(tcase, test_more_than_a_value);
    tcase_add_test(tcase, test_numbers_that_libconfig_would_change);
    tcase_add_test(tcase, test_includes);
    tcase_add_test(tcase, test_a_value_where_its_group_should_be);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
