/* Tests of common/err.c. */
#include "common/err.h"

#include <check.h>
#include <string.h>

#include "tests/support/run_suite.h"

START_TEST(test_codes_start_at_minus_one)
{
    ck_assert_int_eq(ERR_AGAIN, -1);
    ck_assert_int_eq(ERR_FULL, -2);
    ck_assert_int_eq(ERR_SYSTEM, -(int)ERR_ORDINAL_COUNT);
}
END_TEST

START_TEST(test_each_code_has_its_text_and_class)
{
#define ERR(name, class, text)                                                                     \
    ck_assert_str_eq(err_string(ERR_##name), text);                                                \
    ck_assert_int_eq(err_class(ERR_##name), ERR_CLASS_##class);
#include "common/err.def"

#undef ERR
}
END_TEST

START_TEST(test_other_numbers_are_answered)
{
    ck_assert_str_eq(err_string(0), "success");
    ck_assert_str_eq(err_string(17), "success");
    ck_assert_str_eq(err_string(ERR_SYSTEM - 1), "unknown error");
    ck_assert_str_eq(err_string(-2147483647 - 1), "unknown error");
    ck_assert_int_eq(err_class(ERR_SYSTEM - 1), ERR_CLASS_PROCESS);
}
END_TEST

START_TEST(test_set_formats_and_returns)
{
    struct err_text et;

    ck_assert_int_eq(err_set(&et, ERR_CONFIG, "%s:%d: wrong", "file", 3), ERR_CONFIG);
    ck_assert_str_eq(et.text, "file:3: wrong");
    ck_assert_int_eq(err_set(NULL, ERR_FULL, "nobody reads this"), ERR_FULL);
}
END_TEST

START_TEST(test_set_truncates)
{
    struct err_text et;
    char longer[sizeof(et.text) * 2];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    ck_assert_int_eq(err_set(&et, ERR_CONFIG, "%s", longer), ERR_CONFIG);
    ck_assert_uint_eq(strlen(et.text), sizeof(et.text) - 1);
}
END_TEST

START_TEST(test_set_may_use_its_own_text)
{
    struct err_text et;

    ck_assert_int_eq(err_set(&et, ERR_CONFIG, "inner"), ERR_CONFIG);
    ck_assert_int_eq(err_set(&et, ERR_PLUGIN, "outer: %s", et.text), ERR_PLUGIN);
    ck_assert_str_eq(et.text, "outer: inner");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("err");
    TCase *codes = tcase_create("codes");
    TCase *text = tcase_create("text");

    tcase_add_test(codes, test_codes_start_at_minus_one);
    tcase_add_test(codes, test_each_code_has_its_text_and_class);
    tcase_add_test(codes, test_other_numbers_are_answered);
    tcase_add_test(text, test_set_formats_and_returns);
    tcase_add_test(text, test_set_truncates);
    tcase_add_test(text, test_set_may_use_its_own_text);
    suite_add_tcase(suite, codes);
    suite_add_tcase(suite, text);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
