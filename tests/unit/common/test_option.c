/* Tests of common/option.c: defaults, files, --set, and what each error says. */
#include "option_fixture.h"

#include "tests/support/run_suite.h"

static void fresh_set(void)
{
    option_set_fini(&set);
    option_set_init(&set, option_table, ARRAY_LEN(option_table), &values);
    et.text[0] = '\0';
}

/* text fails with "FILE:" and the rest of the message. */
static void check_file_error(const char *text, const char *expected)
{
    char full[1024];

    write_file(text);
    fresh_set();
    ck_assert_int_eq(option_set_load(&set, file, NULL, 0, &et), ERR_CONFIG);
    snprintf(full, sizeof(full), "%s:%s", file, expected);
    ck_assert_str_eq(et.text, full);
}

static void check_set_error(const char *override, const char *expected)
{
    fresh_set();
    ck_assert_int_eq(option_set_load(&set, NULL, &override, 1, &et), ERR_CONFIG);
    ck_assert_str_eq(et.text, expected);
}

static void check_defaults(void)
{
    ck_assert_uint_eq(values.port, 1883);
    ck_assert_uint_eq(values.backlog, 512);
    ck_assert(values.nodelay);
    ck_assert(!values.verbose);
    ck_assert_uint_eq(values.max_bytes, 1048576);
    ck_assert_str_eq(values.name, "");
    ck_assert_str_eq(values.dsn, "dbname=beckon");
}

START_TEST(test_defaults)
{
    check_defaults();
    ck_assert_int_eq(option_set_load(&set, NULL, NULL, 0, &et), 0);
    check_defaults();
    fresh_set();
    write_file("");
    ck_assert_int_eq(option_set_load(&set, file, NULL, 0, &et), 0);
    check_defaults();
    ck_assert_uint_eq(check_calls, 0); /* no list, nothing to check */
}
END_TEST

START_TEST(test_file_sets_values)
{
    write_file("listen = { tcp = { port = 65535; nodelay = false; }; backlog = 4294967295L; };\n"
               "name = \"12345678\"; verbose = true;\n"
               "limits: { max_bytes = 9223372036854775807L };\n"
               "store = { dsn = \"host=\\\"db\\\" x\\\\y\"; };\n");
    ck_assert_int_eq(option_set_load(&set, file, NULL, 0, &et), 0);
    ck_assert_uint_eq(values.port, 65535);
    ck_assert(!values.nodelay);
    ck_assert_uint_eq(values.backlog, UINT32_MAX);
    ck_assert_str_eq(values.name, "12345678");
    ck_assert(values.verbose);
    ck_assert_uint_eq(values.max_bytes, INT64_MAX);
    ck_assert_str_eq(values.dsn, "host=\"db\" x\\y");
}
END_TEST

START_TEST(test_unknown_options_and_the_nearest)
{
    check_file_error("name = \"x\";\nlisten = {\n  tcp = { prt = 1; };\n};\n",
                     "3: unknown option \"listen.tcp.prt\", did you mean \"listen.tcp.port\"?");
    check_file_error("lisen = { tcp = { port = 1; }; };",
                     "1: unknown option \"lisen\", did you mean \"listen\"?");
    check_file_error("\n\nnmae = 1;", "3: unknown option \"nmae\", did you mean \"name\"?");
    check_file_error("something_else = 1;", "1: unknown option \"something_else\"");
}
END_TEST

START_TEST(test_ranges)
{
    check_file_error("listen = { tcp = { port = 70000; }; };",
                     "1: \"listen.tcp.port\" is 70000, expected 1 to 65535");
    check_file_error("\nlisten = { tcp = {\n port = 0; }; };",
                     "3: \"listen.tcp.port\" is 0, expected 1 to 65535");
    check_file_error("listen = { tcp = { port = -1; }; };",
                     "1: \"listen.tcp.port\" is -1, expected 1 to 65535");
    check_file_error("listen = { backlog = 4294967296L; };",
                     "1: \"listen.backlog\" is 4294967296, expected 0 to 4294967295");
    check_file_error("name = \"123456789\";",
                     "1: \"name\" is 9 bytes long, expected a string of at most 8 bytes");
}
END_TEST

START_TEST(test_types)
{
    check_file_error("listen = { tcp = { port = \"80\"; }; };",
                     "1: \"listen.tcp.port\" is a string, expected 1 to 65535");
    check_file_error("listen = { tcp = { port = 80.5; }; };",
                     "1: \"listen.tcp.port\" is a fraction, expected 1 to 65535");
    check_file_error("listen = { tcp = { port = [80, 81]; }; };",
                     "1: \"listen.tcp.port\" is an array, expected 1 to 65535");
    check_file_error("verbose = 1;", "1: \"verbose\" is a number, expected true or false");
    check_file_error("name = true;",
                     "1: \"name\" is true or false, expected a string of at most 8 bytes");
    check_file_error("store = { dsn = ( \"x\" ); };",
                     "1: \"store.dsn\" is a list, expected a string");
    check_file_error("listen = 5;", "1: \"listen\" is a number, expected a group");
    check_file_error("name = { x = 1; };",
                     "1: \"name\" is a group, expected a string of at most 8 bytes");
}
END_TEST

START_TEST(test_syntax)
{
    check_file_error("name = \"x\";\nverbose = ;\n", "2: syntax error");
    check_file_error("name = \"x\"; name = \"y\";", "1: duplicate setting name");
    fresh_set();
    ck_assert_int_eq(option_set_load(&set, "/nonexistent/x.conf", NULL, 0, &et), ERR_CONFIG);
    ck_assert_str_eq(et.text, "/nonexistent/x.conf: could not open: No such file or directory");
}
END_TEST

START_TEST(test_lists_are_let_through_and_checked)
{
    write_file("plugins = ( { file = \"live\"; any = { thing = 1; }; }, { file = \"apns\"; } );\n"
               "store = { shards = { a = 1; }; };\n");
    ck_assert_int_eq(option_set_load(&set, file, NULL, 0, &et), 0);
    ck_assert_uint_eq(check_calls, 1);
    const config_setting_t *plugins = config_lookup(&set.config, "plugins");
    ck_assert_ptr_nonnull(plugins);
    ck_assert_int_eq(config_setting_length(plugins), 2);
    check_file_error("plugins = (\n { file = \"x\"; },\n 17\n);",
                     "3: an element of \"plugins\" is no group");
}
END_TEST

START_TEST(test_set_overrides_the_file)
{
    static const char *const overrides[] = {"listen.tcp.port=1",
                                            "verbose=true",
                                            "store.dsn=host=db user=\"x\"",
                                            "name=",
                                            "name=last",
                                            "listen.tcp.nodelay=false",
                                            "limits.max_bytes=9223372036854775807"};

    write_file("listen = { tcp = { port = 80; }; }; name = \"first\";");
    ck_assert_int_eq(option_set_load(&set, file, overrides, ARRAY_LEN(overrides), &et), 0);
    ck_assert_uint_eq(values.port, 1);
    ck_assert(values.verbose);
    ck_assert(!values.nodelay);
    ck_assert_str_eq(values.dsn, "host=db user=\"x\"");
    ck_assert_str_eq(values.name, "last");
    ck_assert_uint_eq(values.max_bytes, INT64_MAX);
}
END_TEST

START_TEST(test_set_errors)
{
    check_set_error("name", "--set: \"name\" has no value, expected path=value");
    check_set_error("listen.tcp.prt=1",
                    "--set: unknown option \"listen.tcp.prt\", did you mean \"listen.tcp.port\"?");
    check_set_error("=1", "--set: unknown option \"\"");
    check_set_error("listen.tcp.port=70000",
                    "--set: \"listen.tcp.port\" is 70000, expected 1 to 65535");
    check_set_error("listen.tcp.port=x",
                    "--set: \"listen.tcp.port\" is \"x\", expected 1 to 65535");
    check_set_error("listen.tcp.port=", "--set: \"listen.tcp.port\" is \"\", expected 1 to 65535");
    check_set_error("listen.tcp.port= 5",
                    "--set: \"listen.tcp.port\" is \" 5\", expected 1 to 65535");
    check_set_error("listen.tcp.port=-5",
                    "--set: \"listen.tcp.port\" is \"-5\", expected 1 to 65535");
    check_set_error("limits.max_bytes=99999999999999999999",
                    "--set: \"limits.max_bytes\" is \"99999999999999999999\", "
                    "expected 0 to 9223372036854775807");
    check_set_error("verbose=yes", "--set: \"verbose\" is \"yes\", expected true or false");
    check_set_error("name=123456789",
                    "--set: \"name\" is 9 bytes long, expected a string of at most 8 bytes");
    check_set_error("listen=1", "--set: \"listen\" is a group, expected one of its options");
}
END_TEST

START_TEST(test_set_does_not_reach_into_lists)
{
    check_set_error("plugins.[0].file=x", "--set: \"plugins.[0].file\" is in the list \"plugins\", "
                                          "which can only be set as a whole");
    check_set_error(
        "plugins[0]=x",
        "--set: \"plugins[0]\" is in the list \"plugins\", which can only be set as a whole");
    check_set_error("plugin=x", "--set: unknown option \"plugin\", did you mean \"plugins\"?");
}
END_TEST

START_TEST(test_long_names_are_cut_safely)
{
    char override[3000], text[3000];

    memset(override, 'n', sizeof(override));
    override[sizeof(override) - 1] = '\0';
    memcpy(text, override, sizeof(text));
    memcpy(override + sizeof(override) - 3, "=1", 3);
    const char *const overrides[] = {override};
    ck_assert_int_eq(option_set_load(&set, NULL, overrides, 1, &et), ERR_CONFIG);
    ck_assert_int_eq(strncmp(et.text, "--set: unknown option \"nnn", 26), 0);
    memcpy(text + sizeof(text) - 4, "=1;", 4);
    write_file(text);
    fresh_set();
    ck_assert_int_eq(option_set_load(&set, file, NULL, 0, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, ":1: unknown option \"nnn"));
}
END_TEST

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, option_set_up, option_tear_down);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("option");
    TCase *good = make_case(suite, "values");
    TCase *errors = make_case(suite, "errors");
    TCase *lists = make_case(suite, "lists");
    TCase *overrides = make_case(suite, "overrides");

    tcase_add_test(good, test_defaults);
    tcase_add_test(good, test_file_sets_values);
    tcase_add_test(errors, test_unknown_options_and_the_nearest);
    tcase_add_test(errors, test_ranges);
    tcase_add_test(errors, test_types);
    tcase_add_test(errors, test_syntax);
    tcase_add_test(errors, test_long_names_are_cut_safely);
    tcase_add_test(lists, test_lists_are_let_through_and_checked);
    tcase_add_test(lists, test_set_does_not_reach_into_lists);
    tcase_add_test(overrides, test_set_overrides_the_file);
    tcase_add_test(overrides, test_set_errors);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
