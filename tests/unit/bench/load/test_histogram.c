/* Tests of bench/load/histogram.c. */
#include "bench/load/histogram.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/run_suite.h"

static struct histogram histogram;

static void set_up(void)
{
    memset(&histogram, 0, sizeof(histogram));
}

START_TEST(test_empty)
{
    ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 0);
}
END_TEST

START_TEST(test_small_values_are_exact)
{
    for (uint64_t value = 1; value <= 100; value++)
        histogram_add(&histogram, value);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0), 1);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0.01), 1);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 50);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0.505), 51);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0.99), 99);
    ck_assert_uint_eq(histogram_percentile(&histogram, 1), 100);
}
END_TEST

/* Around each power of two, where buckets change their width. */
START_TEST(test_every_magnitude)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int64_t near = -1; near <= 1; near++) {
            uint64_t value = (1ull << bit) + (uint64_t)near, found;

            set_up();
            histogram_add(&histogram, value);
            histogram_add(&histogram, UINT64_MAX);
            found = histogram_percentile(&histogram, 0.5);
            ck_assert_uint_ge(found, value);
            ck_assert_uint_le(found - value, value / 128);
        }
    }
}
END_TEST

/* Against sorting. */
START_TEST(test_like_sorting)
{
    enum { COUNT = 1000 };
    static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
    uint64_t values[COUNT], value = 1;

    for (unsigned i = 0; i < COUNT; i++) {
        values[i] = value; /* ascending, to some 40 milliseconds in nanoseconds */
        value += value / 57 + 1;
        histogram_add(&histogram, values[i]);
    }
    for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        uint64_t exact = values[(unsigned)(shares[i] * COUNT) - 1];
        uint64_t found = histogram_percentile(&histogram, shares[i]);

        ck_assert_uint_ge(found, exact);
        ck_assert_uint_le(found - exact, exact / 128);
    }
    ck_assert_uint_eq(histogram_percentile(&histogram, 1), histogram.max);
}
END_TEST

START_TEST(test_never_above_the_greatest)
{
    histogram_add(&histogram, 1000000);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 1000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histogram");
    TCase *percentiles = tcase_create("percentiles");

    tcase_add_checked_fixture(percentiles, set_up, NULL);
    tcase_add_test(percentiles, test_empty);
    tcase_add_test(percentiles, test_small_values_are_exact);
    tcase_add_test(percentiles, test_every_magnitude);
    tcase_add_test(percentiles, test_like_sorting);
    tcase_add_test(percentiles, test_never_above_the_greatest);
    suite_add_tcase(suite, percentiles);
    return run_suite(suite);
}
