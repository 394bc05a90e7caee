/* Tests of connector/device_state.c. */
#include "connector/device_state.h"

#include "common/auto.h"
#include "common/wire.h"

#include "tests/support/run_suite.h"

START_TEST(test_good)
{
    static const struct {
        const char *text;
        uint8_t state;
        uint32_t lease_s;
    } cases[] = {
        {"foreground", WIRE_FOREGROUND, 0},
        {"background", WIRE_BACKGROUND, 0},
        {"background 30", WIRE_BACKGROUND, 30},
        {"background 0", WIRE_BACKGROUND, 1}, /* said, so not "not said" */
        {"background 007", WIRE_BACKGROUND, 7},
        {"background 4294967295", WIRE_BACKGROUND, UINT32_MAX},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t state = 0;
        uint32_t lease_s = 99;

        ck_assert_int_eq(device_state_parse(bytes_of_string(cases[i].text), &state, &lease_s), 0);
        ck_assert_uint_eq(state, cases[i].state);
        ck_assert_uint_eq(lease_s, cases[i].lease_s);
    }
}
END_TEST

START_TEST(test_bad)
{
    static const char *const cases[] = {
        "",
        "Foreground",
        "foreground ",
        "foreground 3",
        "background ",
        "background  3",
        "background 3 ",
        "background -3",
        "background 1.5",
        "background 4294967296",
        "background 99999999999",
        "background30",
        "online",
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t state = 77;
        uint32_t lease_s = 99;

        ck_assert_msg(device_state_parse(bytes_of_string(cases[i]), &state, &lease_s) ==
                          ERR_INVALID,
                      "\"%s\"", cases[i]);
        ck_assert_uint_eq(state, 77); /* untouched */
        ck_assert_uint_eq(lease_s, 99);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device_state");
    TCase *parse = tcase_create("parse");

    tcase_add_test(parse, test_good);
    tcase_add_test(parse, test_bad);
    suite_add_tcase(suite, parse);
    return run_suite(suite);
}
