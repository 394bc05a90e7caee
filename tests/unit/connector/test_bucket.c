/* Tests of connector/bucket.c, on a clock that the tests advance. */
#include "connector/bucket.h"

#include <stddef.h>

#include "tests/support/run_suite.h"

static const struct bucket_limit limit = {.per_s = 10, .burst = 5};
static struct bucket_table *table;
static uint64_t now_ms;

static void set_up(void)
{
    now_ms = 1000000;
    table = bucket_table_create(64);
    ck_assert_ptr_nonnull(table);
}

static void tear_down(void)
{
    bucket_table_destroy(table);
}

static unsigned take_all(struct bucket *bucket, const struct bucket_limit *of)
{
    unsigned count = 0;

    for (; count < 1000 && bucket_wait_ms(bucket, of, now_ms) == 0; count++)
        bucket_take(bucket, of, now_ms);
    return count;
}

START_TEST(test_burst_and_rate)
{
    struct bucket bucket = {0};

    ck_assert_uint_eq(take_all(&bucket, &limit), 5);
    ck_assert_uint_eq(bucket_wait_ms(&bucket, &limit, now_ms), 100);
    now_ms += 99;
    ck_assert_uint_eq(bucket_wait_ms(&bucket, &limit, now_ms), 1);
    now_ms += 1;
    ck_assert_uint_eq(take_all(&bucket, &limit), 1);
    now_ms += 350; /* three, and half of one that is not lost */
    ck_assert_uint_eq(take_all(&bucket, &limit), 3);
    now_ms += 50;
    ck_assert_uint_eq(take_all(&bucket, &limit), 1);
    now_ms += 3600000; /* never more than full */
    ck_assert_uint_eq(take_all(&bucket, &limit), 5);
}
END_TEST

START_TEST(test_rates_that_do_not_divide_a_second)
{
    const struct bucket_limit odd = {.per_s = 700000, .burst = 1000000};
    struct bucket bucket = {0};
    unsigned count = 0;

    for (; bucket_wait_ms(&bucket, &odd, now_ms) == 0; count++)
        bucket_take(&bucket, &odd, now_ms);
    ck_assert_uint_eq(count, 1000000);
    now_ms += 1;
    ck_assert_uint_eq(take_all(&bucket, &odd), 700);
}
END_TEST

START_TEST(test_no_limit)
{
    const struct bucket_limit none = {.per_s = 0, .burst = 1};
    struct bucket bucket = {0};

    ck_assert_uint_eq(take_all(&bucket, &none), 1000);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(bucket_table_take(table, 7, &none, now_ms), 0);
}
END_TEST

/* A limit that was lowered by a reload holds at once, and no bucket waits longer than it takes to
 * fill it. */
START_TEST(test_another_limit)
{
    const struct bucket_limit lower = {.per_s = 1, .burst = 1};
    struct bucket bucket = {0};

    take_all(&bucket, &limit);
    ck_assert_uint_eq(bucket_wait_ms(&bucket, &lower, now_ms), 500);
}
END_TEST

START_TEST(test_keys_have_their_own)
{
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(bucket_table_take(table, 1, &limit, now_ms), 0);
    ck_assert_uint_eq(bucket_table_take(table, 1, &limit, now_ms), 100);
    ck_assert_uint_eq(bucket_table_take(table, 1, &limit, now_ms), 100); /* refusals cost nothing */
    ck_assert_uint_eq(bucket_table_take(table, 9, &limit, now_ms), 0);   /* the same set */
    ck_assert_uint_eq(bucket_table_take(table, 2, &limit, now_ms), 0);
    ck_assert_uint_eq(bucket_table_take(table, 1, &limit, now_ms + 100), 0);
}
END_TEST

/* An attacker with 100,000 keys: nobody is refused for it, and what is nearest to full goes
 * first, so the one that has used most of its bucket is remembered longest. */
START_TEST(test_many_keys)
{
    const uint64_t busy = 3;

    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(bucket_table_take(table, busy, &limit, now_ms), 0);
    for (uint64_t key = 1000; key < 101000; key++)
        ck_assert_uint_eq(bucket_table_take(table, key, &limit, now_ms), 0);
    ck_assert_uint_gt(bucket_table_take(table, busy, &limit, now_ms), 0);
    ck_assert_uint_eq(bucket_table_take(table, 5, &limit, now_ms), 0);
}
END_TEST

START_TEST(test_full_buckets_make_room)
{
    for (uint64_t key = 0; key < 64; key++) /* every place */
        for (unsigned i = 0; i < 5; i++)
            ck_assert_uint_eq(bucket_table_take(table, key, &limit, now_ms), 0);
    now_ms += 500; /* all full again */
    for (uint64_t key = 1000; key < 1064; key++)
        for (unsigned i = 0; i < 5; i++)
            ck_assert_uint_eq(bucket_table_take(table, key, &limit, now_ms), 0);
    for (uint64_t key = 1000; key < 1064; key++)
        ck_assert_uint_eq(bucket_table_take(table, key, &limit, now_ms), 100);
}
END_TEST

START_TEST(test_kept_for_the_next_owner)
{
    struct bucket bucket = bucket_table_get(table, 1, now_ms), again;

    ck_assert_uint_eq(take_all(&bucket, &limit), 5);
    bucket_table_put(table, 1, bucket, now_ms);
    again = bucket_table_get(table, 1, now_ms + 100);
    ck_assert_uint_eq(bucket_wait_ms(&again, &limit, now_ms + 100), 0);
    now_ms += 100;
    ck_assert_uint_eq(take_all(&again, &limit), 1);
    now_ms += 500;
    again = bucket_table_get(table, 1, now_ms);
    ck_assert_uint_eq(take_all(&again, &limit), 5);
    bucket_table_put(table, 2, (struct bucket){0}, now_ms); /* full: nothing to keep */
    again = bucket_table_get(table, 2, now_ms);
    ck_assert_uint_eq(again.full_at_ns, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bucket");
    TCase *buckets = tcase_create("buckets");

    tcase_add_checked_fixture(buckets, set_up, tear_down);
    tcase_add_test(buckets, test_burst_and_rate);
    tcase_add_test(buckets, test_rates_that_do_not_divide_a_second);
    tcase_add_test(buckets, test_no_limit);
    tcase_add_test(buckets, test_another_limit);
    tcase_add_test(buckets, test_keys_have_their_own);
    tcase_add_test(buckets, test_many_keys);
    tcase_add_test(buckets, test_full_buckets_make_room);
    tcase_add_test(buckets, test_kept_for_the_next_owner);
    suite_add_tcase(suite, buckets);
    return run_suite(suite);
}
