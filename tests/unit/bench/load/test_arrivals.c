/* Tests of bench/load/arrivals.c. */
#include "bench/load/arrivals.h"

#include "tests/support/run_suite.h"

static struct arrivals arrivals;

static void set_up(void)
{
    arrivals = (struct arrivals){0};
}

static void tear_down(void)
{
    arrivals_fini(&arrivals);
}

static void accept_up_to(uint64_t count)
{
    for (uint64_t seq = 0; seq < count; seq++)
        ck_assert_int_eq(arrivals_accepted(&arrivals, seq), 0);
}

START_TEST(test_in_order)
{
    accept_up_to(3000);
    for (uint64_t seq = 0; seq < 3000; seq++)
        ck_assert_int_eq(arrivals_arrived(&arrivals, seq), 1);
    ck_assert_uint_eq(arrivals.arrived_count, 3000);
    ck_assert_uint_eq(arrivals_lost(&arrivals), 0);
    ck_assert_uint_eq(arrivals.doubled, 0);
    ck_assert_uint_eq(arrivals.swapped, 0);
}
END_TEST

START_TEST(test_lost)
{
    accept_up_to(200);
    ck_assert_uint_eq(arrivals_lost(&arrivals), 200);
    for (uint64_t seq = 0; seq < 199; seq++) {
        if (seq != 64)
            ck_assert_int_eq(arrivals_arrived(&arrivals, seq), 1);
    }
    ck_assert_uint_eq(arrivals_lost(&arrivals), 2);
}
END_TEST

/* A message may arrive before its sender hears that it was accepted, or though it never does. */
START_TEST(test_arrived_but_not_accepted)
{
    ck_assert_int_eq(arrivals_arrived(&arrivals, 5000), 1);
    ck_assert_uint_eq(arrivals_lost(&arrivals), 0);
    accept_up_to(1);
    ck_assert_uint_eq(arrivals_lost(&arrivals), 1);
}
END_TEST

START_TEST(test_doubled_and_swapped)
{
    static const uint64_t seqs[] = {0, 2, 1, 1, 3, 2, 5, 4};

    for (unsigned i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++)
        ck_assert_int_eq(arrivals_arrived(&arrivals, seqs[i]), i != 3 && i != 5);
    ck_assert_uint_eq(arrivals.doubled, 2); /* 1 and 2 */
    ck_assert_uint_eq(arrivals.swapped, 2); /* 1 and 4 */
    ck_assert_uint_eq(arrivals.arrived_count, 6);
}
END_TEST

START_TEST(test_tally_adds_up)
{
    struct tally tally = {.lost = 10, .doubled = 20, .swapped = 30};

    accept_up_to(5);
    for (unsigned i = 0; i < 2; i++)
        IGNORE_RESULT(arrivals_arrived(&arrivals, 2));
    ck_assert_int_eq(arrivals_arrived(&arrivals, 0), 1);
    tally_add(&tally, &arrivals);
    ck_assert_uint_eq(tally.lost, 13);
    ck_assert_uint_eq(tally.doubled, 21);
    ck_assert_uint_eq(tally.swapped, 31);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arrivals");
    TCase *counts = tcase_create("counts");

    tcase_add_checked_fixture(counts, set_up, tear_down);
    tcase_add_test(counts, test_in_order);
    tcase_add_test(counts, test_lost);
    tcase_add_test(counts, test_arrived_but_not_accepted);
    tcase_add_test(counts, test_doubled_and_swapped);
    tcase_add_test(counts, test_tally_adds_up);
    suite_add_tcase(suite, counts);
    return run_suite(suite);
}
