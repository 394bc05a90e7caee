/* Tests of common/mid.c. */
#include "common/mid.h"

#include <check.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

#define SOME_MS UINT64_C(1780000000000)

START_TEST(test_layout)
{
    struct mid mid = mid_mint(SOME_MS);

    ck_assert_uint_eq(mid_time_ms(&mid), SOME_MS);
    ck_assert_uint_eq(mid.octets[6] >> 4, 7);
    ck_assert_uint_eq(mid.octets[8] >> 6, 2);
}
END_TEST

START_TEST(test_strictly_increasing_within_a_millisecond)
{
    /* Five times what the counter holds. */
    struct mid previous = mid_mint(SOME_MS);

    for (unsigned i = 0; i < 5 * 4096; i++) {
        struct mid mid = mid_mint(SOME_MS);
        ck_assert_int_lt(memcmp(previous.octets, mid.octets, MID_SIZE), 0);
        ck_assert_uint_eq(mid.octets[6] >> 4, 7);
        ck_assert_uint_eq(mid.octets[8] >> 6, 2);
        previous = mid;
    }
    ck_assert_uint_eq(mid_time_ms(&previous), SOME_MS + 5);
}
END_TEST

START_TEST(test_clock_may_run_backwards)
{
    struct mid previous = mid_mint(SOME_MS);
    static const int64_t steps[] = {0, -1, -100000, 1, -5, 2, 0, 10, -10};

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct mid mid = mid_mint((uint64_t)((int64_t)SOME_MS + steps[i]));
        ck_assert_int_lt(memcmp(previous.octets, mid.octets, MID_SIZE), 0);
        previous = mid;
    }
    ck_assert_uint_eq(mid_time_ms(&previous), SOME_MS + 10);
}
END_TEST

START_TEST(test_random_part_differs)
{
    /* Bits that are the same in all of 1000 MIDs would not be random: the chance is 2^-999. */
    struct mid mid = mid_mint(SOME_MS);
    uint8_t ones[8], zeros[8];

    memcpy(ones, mid.octets + 8, 8);
    memcpy(zeros, mid.octets + 8, 8);
    for (unsigned i = 0; i < 1000; i++) {
        mid = mid_mint(SOME_MS);
        for (unsigned k = 0; k < 8; k++) {
            ones[k] &= mid.octets[8 + k];
            zeros[k] |= mid.octets[8 + k];
        }
    }
    ck_assert_uint_eq(ones[0], 0x80);
    ck_assert_uint_eq(zeros[0], 0xBF);
    for (unsigned k = 1; k < 8; k++) {
        ck_assert_uint_eq(ones[k], 0);
        ck_assert_uint_eq(zeros[k], 0xFF);
    }
}
END_TEST

START_TEST(test_format_and_parse)
{
    char text[MID_TEXT_SIZE];
    struct mid mid, again;

    /* The example of RFC 9562, appendix A.6. */
    ck_assert_int_eq(mid_parse(bytes_of_string("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &mid), 0);
    ck_assert_uint_eq(mid_time_ms(&mid), UINT64_C(0x017F22E279B0));
    mid_format(&mid, text);
    ck_assert_str_eq(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    for (unsigned i = 0; i < 100; i++) {
        mid = mid_mint(SOME_MS + i);
        mid_format(&mid, text);
        ck_assert_int_eq(mid_parse(bytes_of_string(text), &again), 0);
        ck_assert_mem_eq(mid.octets, again.octets, MID_SIZE);
    }
}
END_TEST

START_TEST(test_parse_refuses)
{
    static const char *const texts[] = {
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e279b0-7cc3-98c4-dc0c0c07398f00",
        "017f22e2079b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b007cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3098c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c40dc0c0c07398f",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f", /* version 4 */
        "017f22e2-79b0-7cc3-18c4-dc0c0c07398f", /* variant 0 */
        "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f", /* variant 110 */
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2-79b0-7cc3-98c4-dc0c0c0739 f",
        "+17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    };
    struct mid mid, untouched;

    memset(&mid, 0x55, sizeof(mid));
    untouched = mid;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        ck_assert_msg(mid_parse(bytes_of_string(texts[i]), &mid) == ERR_INVALID, "%s", texts[i]);
        ck_assert_mem_eq(mid.octets, untouched.octets, MID_SIZE);
    }
    ck_assert_int_eq(mid_parse(bytes_of(NULL, 0), &mid), ERR_INVALID);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("mid");
    TCase *mint = tcase_create("mint");
    TCase *text = tcase_create("text");

    tcase_add_test(mint, test_layout);
    tcase_add_test(mint, test_strictly_increasing_within_a_millisecond);
    tcase_add_test(mint, test_clock_may_run_backwards);
    tcase_add_test(mint, test_random_part_differs);
    tcase_add_test(text, test_format_and_parse);
    tcase_add_test(text, test_parse_refuses);
    suite_add_tcase(suite, mint);
    suite_add_tcase(suite, text);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
