/* Tests of bench/load/stamp.c. */
#include "bench/load/stamp.h"

#include <string.h>

#include "tests/support/run_suite.h"

static const struct stamp stamp = {0x01020304, 0xA0B0C0D0, 0x1112131415161718, 0x2122232425262728};

START_TEST(test_what_was_put_is_taken)
{
    uint8_t payload[STAMP_BYTES + 2];
    struct stamp taken = {0};

    memset(payload, 'x', sizeof(payload));
    stamp_put(payload, &stamp);
    ck_assert_mem_eq(payload + STAMP_BYTES, "xx", 2);
    ck_assert(stamp_take(bytes_of(payload, sizeof(payload)), stamp.run, &taken));
    ck_assert_mem_eq(&taken, &stamp, sizeof(stamp));
}
END_TEST

/* Receivers of other programs read it: tests/system/test_load.py. */
START_TEST(test_layout)
{
    static const uint8_t wanted[STAMP_BYTES] = {
        0x04, 0x03, 0x02, 0x01, 0xD0, 0xC0, 0xB0, 0xA0, 0x18, 0x17, 0x16, 0x15,
        0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
    };
    uint8_t payload[STAMP_BYTES];

    stamp_put(payload, &stamp);
    ck_assert_mem_eq(payload, wanted, sizeof(wanted));
}
END_TEST

START_TEST(test_what_is_not_ours)
{
    uint8_t payload[STAMP_BYTES];
    struct stamp taken = {.seq = 7};

    stamp_put(payload, &stamp);
    ck_assert(!stamp_take(bytes_of(payload, sizeof(payload)), stamp.run + 1, &taken));
    ck_assert(!stamp_take(bytes_of(payload, sizeof(payload) - 1), stamp.run, &taken));
    ck_assert(!stamp_take(bytes_of(payload, 0), stamp.run, &taken));
    ck_assert_uint_eq(taken.seq, 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stamp");
    TCase *stamps = tcase_create("stamps");

    tcase_add_test(stamps, test_what_was_put_is_taken);
    tcase_add_test(stamps, test_layout);
    tcase_add_test(stamps, test_what_is_not_ours);
    suite_add_tcase(suite, stamps);
    return run_suite(suite);
}
