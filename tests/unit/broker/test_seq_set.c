/* Tests of broker/seq_set.c. */
#include "broker/seq_set.h"

#include "tests/support/run_suite.h"

static struct seq_set set;

static void teardown(void)
{
    seq_set_clear(&set);
}

START_TEST(keeps_them_in_order)
{
    static const uint64_t seqs[] = {9, 5, 7, 12, 6, 7};

    ck_assert(!seq_set_has(&set, 5));
    for (unsigned i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++)
        seq_set_add(&set, seqs[i], 3);
    ck_assert_uint_eq(set.count, 5); /* 7 came twice */
    for (unsigned i = 1; i < set.count; i++)
        ck_assert_uint_lt(set.seqs[i - 1], set.seqs[i]);
    ck_assert(seq_set_has(&set, 5) && seq_set_has(&set, 9) && seq_set_has(&set, 12));
    ck_assert(!seq_set_has(&set, 4) && !seq_set_has(&set, 8) && !seq_set_has(&set, 13));
}
END_TEST

START_TEST(forgets_what_the_cursor_has_passed)
{
    for (uint64_t seq = 10; seq < 20; seq++)
        seq_set_add(&set, seq, 3);
    seq_set_add(&set, 30, 14);
    ck_assert_uint_eq(set.count, 6);
    ck_assert(!seq_set_has(&set, 14) && seq_set_has(&set, 15) && seq_set_has(&set, 30));
    seq_set_add(&set, 25, 25); /* passed itself */
    ck_assert_uint_eq(set.count, 1);
    ck_assert(!seq_set_has(&set, 25) && seq_set_has(&set, 30));
}
END_TEST

START_TEST(is_bounded)
{
    for (uint64_t seq = 1; seq <= 5000; seq++)
        seq_set_add(&set, seq, 0);
    ck_assert_uint_eq(set.count, 4096);
    ck_assert(seq_set_has(&set, 4096) && !seq_set_has(&set, 4097));
    seq_set_clear(&set);
    ck_assert(!seq_set_has(&set, 1));
    ck_assert_ptr_null(set.seqs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seq_set");
    TCase *tcase = tcase_create("seq_set");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, keeps_them_in_order);
    tcase_add_test(tcase, forgets_what_the_cursor_has_passed);
    tcase_add_test(tcase, is_bounded);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
