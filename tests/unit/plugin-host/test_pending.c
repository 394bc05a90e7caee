/* Tests of plugin-host/pending.c. */
#include "plugin-host/pending.h"

#include "tests/support/run_suite.h"

#include <check.h>

START_TEST(keeps_order_and_copies)
{
    struct pending pending;
    uint8_t record[] = {1, 2, 3};
    struct pending_item *first;

    pending_init(&pending);
    ck_assert_int_eq(pending_add(&pending, 1, bytes_of(record, 3)), 0);
    ck_assert_int_eq(pending_add(&pending, 2, bytes_of(record, 2)), 0);
    ck_assert_int_eq(pending_add(&pending, 3, bytes_of(record, 1)), 0);
    record[0] = 9;
    first = TAILQ_FIRST(&pending);
    ck_assert_uint_eq(first->id, 1);
    ck_assert_uint_eq(first->len, 3);
    ck_assert_uint_eq(first->record[0], 1);
    ck_assert(pending_remove(&pending, 2));
    ck_assert(!pending_remove(&pending, 2));
    pending_drop(&pending, first);
    ck_assert_uint_eq(TAILQ_FIRST(&pending)->id, 3);
    pending_fini(&pending);
    ck_assert(TAILQ_EMPTY(&pending));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pending");
    TCase *tcase = tcase_create("pending");

    tcase_add_test(tcase, keeps_order_and_copies);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
