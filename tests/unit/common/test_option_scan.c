/* Tests of common/option_scan.c: what libconfig 1.5 would take without a word, or die of. */
#include "common/option_scan.h"

#include "option_fixture.h"

#include "tests/support/run_suite.h"

static void check_error(const char *text, const char *expected)
{
    char full[1024], *content = NULL;

    write_file(text);
    ck_assert_int_eq(option_scan_read(file, &content, &et), ERR_CONFIG);
    snprintf(full, sizeof(full), "%s:%s", file, expected);
    ck_assert_str_eq(et.text, full);
    ck_assert_ptr_null(content);
}

static void check_good(const char *text)
{
    AUTO_FREE char *content = NULL;

    write_file(text);
    ck_assert_msg(option_scan_read(file, &content, &et) == 0, "%s", et.text);
    ck_assert_str_eq(content, text);
}

START_TEST(test_numbers_that_fit)
{
    check_good("");
    check_good("a = 2147483647; b = 0x7fffffff; c = 9223372036854775807L; d = 4294967296LL;");
    check_good("a = 99999999999.5; b = 99999999999e3; c = .5; d = -2147483647;");
}
END_TEST

START_TEST(test_numbers_that_libconfig_would_change)
{
    check_error("a = 1;\nb = 2147483648;",
                "2: 2147483648 needs the suffix L, as it has more than 31 bits");
    check_error("a = [ 1, 4294967298 ];",
                "1: 4294967298 needs the suffix L, as it has more than 31 bits");
    check_error("a = 0xffffffff;", "1: 0xffffffff needs the suffix L, as it has more than 31 bits");
    check_error("a = 9223372036854775808L;", "1: 9223372036854775808 has more than 63 bits");
    check_error("a = 99999999999999999999;", "1: 99999999999999999999 has more than 63 bits");
    check_error("a = 1e999;", "1: 1e999 is too large");
}
END_TEST

START_TEST(test_text_is_not_numbers)
{
    check_good("a = \"99999999999\"; b = \"\\\"99999999999\"; c = \"\\\\\"; // 99999999999\n"
               "# 99999999999\n/* 99999999999\n * \" 99999999999 */ key99999999999 = 1;\n");
    check_error("a = \"\n\\\"\n\"; # x\n/* \n\n */ b = 99999999999;",
                "6: 99999999999 needs the suffix L, as it has more than 31 bits");
    check_good("a = \"never ends"); /* libconfig's to refuse */
    check_good("/* never ends");
    check_good("a = \"\\");
}
END_TEST

START_TEST(test_files_that_are_none)
{
    char *content = NULL, full[256];

    ck_assert_int_eq(option_scan_read(folder, &content, &et), ERR_CONFIG);
    snprintf(full, sizeof(full), "%s: could not read: Is a directory", folder);
    ck_assert_str_eq(et.text, full);
    ck_assert_int_eq(option_scan_read("/dev/zero", &content, &et), ERR_CONFIG);
    ck_assert_str_eq(et.text, "/dev/zero: is larger than 1048576 bytes");
    write_bytes(file, "a = 1;\0b = 2;", 13);
    ck_assert_int_eq(option_scan_read(file, &content, &et), ERR_CONFIG);
    snprintf(full, sizeof(full), "%s: has a NUL byte, expected text", file);
    ck_assert_str_eq(et.text, full);
    ck_assert_ptr_null(content);
}
END_TEST

START_TEST(test_includes_are_walked)
{
    char inner[192], text[512], *content = NULL;

    snprintf(inner, sizeof(inner), "%s/inner \"x\".conf", folder);
    write_bytes(inner, "\nb = 4294967297;", 16);
    snprintf(text, sizeof(text), "a = 1;\n@include \"%s/inner \\\"x\\\".conf\"\n", folder);
    write_file(text);
    ck_assert_int_eq(option_scan_read(file, &content, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "inner \"x\".conf:2: 4294967297 needs the suffix L"));

    /* And libconfig takes the same file for included, once it is right. */
    write_bytes(inner, "listen = { tcp = { port = 7; }; };", 34);
    snprintf(text, sizeof(text), "name = \"x\";\n@include \"%s/inner \\\"x\\\".conf\"\n", folder);
    write_file(text);
    ck_assert_msg(option_set_load(&set, file, NULL, 0, &et) == 0, "%s", et.text);
    ck_assert_uint_eq(values.port, 7);
    unlink(inner);
}
END_TEST

START_TEST(test_errors_in_includes_name_them)
{
    char inner[192], text[512], expected[512];

    snprintf(inner, sizeof(inner), "%s/inner.conf", folder);
    write_bytes(inner, "\n\nverbos = true;", 16);
    snprintf(text, sizeof(text), "@include \"%s\"\n", inner);
    write_file(text);
    ck_assert_int_eq(option_set_load(&set, file, NULL, 0, &et), ERR_CONFIG);
    snprintf(expected, sizeof(expected),
             "%s:3: unknown option \"verbos\", did you mean \"verbose\"?", inner);
    ck_assert_str_eq(et.text, expected);
    unlink(inner);
}
END_TEST

START_TEST(test_includes_that_would_end_the_process)
{
    char text[512], *content = NULL;

    snprintf(text, sizeof(text), "@include \"%s\"\n", folder);
    write_file(text);
    ck_assert_int_eq(option_scan_read(file, &content, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "could not read: Is a directory"));
    snprintf(text, sizeof(text), "@include \"%s\"\n", file); /* itself */
    write_file(text);
    ck_assert_int_eq(option_scan_read(file, &content, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "includes are more than 10 deep"));
    write_file("@include \"unfinished");
    ck_assert_int_eq(option_scan_read(file, &content, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, ":1: the name after @include has no end"));
    check_good("@include without quotes");
    check_good("@include");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("option_scan");
    TCase *tokens = tcase_create("tokens");
    TCase *files = tcase_create("files");

    tcase_add_checked_fixture(tokens, option_set_up, option_tear_down);
    tcase_add_test(tokens, test_numbers_that_fit);
    tcase_add_test(tokens, test_numbers_that_libconfig_would_change);
    tcase_add_test(tokens, test_text_is_not_numbers);
    tcase_add_checked_fixture(files, option_set_up, option_tear_down);
    tcase_add_test(files, test_files_that_are_none);
    tcase_add_test(files, test_includes_are_walked);
    tcase_add_test(files, test_errors_in_includes_name_them);
    tcase_add_test(files, test_includes_that_would_end_the_process);
    suite_add_tcase(suite, tokens);
    suite_add_tcase(suite, files);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
