/* Tests of common/option_print.c: what is printed loads again to the same. */
#include "option_fixture.h"

#include "tests/support/run_suite.h"

static char printed[8192];

/* Check's own message would hold both texts, and it has a limit. */
static void check_printed(const char *expected)
{
    size_t same = 0;

    while (printed[same] != '\0' && printed[same] == expected[same])
        same++;
    ck_assert_msg(printed[same] == expected[same], "expected \"%.60s\", printed \"%.60s\"",
                  expected + same, printed + same);
}

static void print_set(const struct option_set *from)
{
    FILE *out = fmemopen(printed, sizeof(printed), "w");

    ck_assert_ptr_nonnull(out);
    option_set_print(from, out);
    ck_assert_int_eq(ferror(out), 0);
    ck_assert_int_eq(fclose(out), 0);
}

/* Prints the set, loads that into a second one, prints it: no difference. */
static void check_round_trip(void)
{
    static char before[sizeof(printed)];
    struct values again;
    struct option_set second;

    print_set(&set);
    memcpy(before, printed, sizeof(before));
    write_file(before);
    option_set_init(&second, option_table, ARRAY_LEN(option_table), &again);
    ck_assert_msg(option_set_load(&second, file, NULL, 0, &et) == 0, "%s\n%s", et.text, before);
    ck_assert_uint_eq(again.port, values.port);
    ck_assert_uint_eq(again.backlog, values.backlog);
    ck_assert_int_eq(again.nodelay, values.nodelay);
    ck_assert_int_eq(again.verbose, values.verbose);
    ck_assert_uint_eq(again.max_bytes, values.max_bytes);
    ck_assert_str_eq(again.name, values.name);
    ck_assert_str_eq(again.dsn, values.dsn);
    print_set(&second);
    check_printed(before);
    option_set_fini(&second);
}

START_TEST(test_what_it_looks_like)
{
    write_file("plugins = ( { file = \"live\"; }, { n = [1, 2]; } );");
    ck_assert_int_eq(option_set_load(&set, file, NULL, 0, &et), 0);
    print_set(&set);
    check_printed("listen = {\n"
                  "    tcp = {\n"
                  "        # port of MQTT over TCP (1 to 65535, default 1883)\n"
                  "        port = 1883;\n"
                  "        # send small packets at once (default true, reloadable)\n"
                  "        nodelay = true;\n"
                  "    };\n"
                  "    # connections waiting for accept (0 to 4294967295, default 512)\n"
                  "    backlog = 512;\n"
                  "};\n"
                  "# name of this process (default \"\")\n"
                  "name = \"\";\n"
                  "limits = {\n"
                  "    # largest packet, bytes (0 to 9223372036854775807, default 1048576, "
                  "reloadable)\n"
                  "    max_bytes = 1048576;\n"
                  "};\n"
                  "# say more (default false, reloadable)\n"
                  "verbose = false;\n"
                  "# delivery plugins\n"
                  "plugins = ({\n"
                  "    file = \"live\";\n"
                  "}, {\n"
                  "    n = [1, 2];\n"
                  "});\n"
                  "store = {\n"
                  "    # connection string (default \"dbname=beckon\")\n"
                  "    dsn = \"dbname=beckon\";\n"
                  "    # databases\n"
                  "    # shards is not set\n"
                  "};\n");
}
END_TEST

START_TEST(test_defaults_round_trip)
{
    ck_assert_int_eq(option_set_load(&set, NULL, NULL, 0, &et), 0);
    check_round_trip();
}
END_TEST

START_TEST(test_values_round_trip)
{
    static const char *const overrides[] = {
        "listen.tcp.port=65535",
        "listen.backlog=4294967295",
        "limits.max_bytes=9223372036854775807",
        "verbose=true",
        "listen.tcp.nodelay=false",
        "name=a\"\\\n\t'\x01",
        "store.dsn=\xC3\xBC \x1b # // /* \\x41 @include \"x\" ; } \x7f"};

    ck_assert_int_eq(option_set_load(&set, NULL, overrides, ARRAY_LEN(overrides), &et), 0);
    check_round_trip();
}
END_TEST

START_TEST(test_lists_round_trip)
{
    write_file("plugins = ( { file = \"a\\\"b\"; deep = { er = ( 1, ( ), [ ], { } ); }; },\n"
               "  { i = -5; l = 5L; big = 99999999999L; h = 0x1F; f = 0.1; e = 1e300; w = 2.0;\n"
               "    b = [ true, false ]; s = [ \"x\", \"y\" ]; ll = [ 1L, 2L ]; } );\n"
               "store = { shards = { one = \"x\"; two = { n = 1; }; }; };\n");
    ck_assert_msg(option_set_load(&set, file, NULL, 0, &et) == 0, "%s", et.text);
    check_round_trip();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("option_print");
    TCase *text = tcase_create("text");
    TCase *round_trip = tcase_create("round trip");

    tcase_add_checked_fixture(text, option_set_up, option_tear_down);
    tcase_add_test(text, test_what_it_looks_like);
    tcase_add_checked_fixture(round_trip, option_set_up, option_tear_down);
    tcase_add_test(round_trip, test_defaults_round_trip);
    tcase_add_test(round_trip, test_values_round_trip);
    tcase_add_test(round_trip, test_lists_round_trip);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, round_trip);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
