/* Tests of broker/pg_array.c: the bytes PostgreSQL's array_recv expects. */
#include "broker/pg_array.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static void expect(struct pg_array *array, const char *hex)
{
    char text[512] = "";

    pg_array_end(array);
    ck_assert(buf_ok(&array->buf));
    for (size_t i = 0; i < array->buf.len; i++)
        snprintf(text + 2 * i, sizeof(text) - 2 * i, "%02x", array->buf.data[i]);
    ck_assert_str_eq(text, hex);
    pg_array_fini(array);
}

/* dimensions 1, has-null, element type, size, lower bound 1 */
#define HEAD(null, oid, count) "00000001" null oid count "00000001"

START_TEST(integers)
{
    struct pg_array a = {0};

    pg_array_begin(&a, PG_INT8);
    pg_array_int8(&a, 1);
    pg_array_int8(&a, -2);
    expect(&a, HEAD("00000000", "00000014", "00000002") "000000080000000000000001"
                                                        "00000008fffffffffffffffe");
}
END_TEST

START_TEST(nulls_are_flagged)
{
    struct pg_array a = {0};

    pg_array_begin(&a, PG_TEXT);
    pg_array_null(&a);
    pg_array_bytes(&a, bytes_of_string("ab"));
    expect(&a, HEAD("00000001", "00000019", "00000002") "ffffffff"
                                                        "000000026162");
}
END_TEST

START_TEST(begin_again_forgets)
{
    struct pg_array a = {0};

    pg_array_begin(&a, PG_INT4);
    pg_array_null(&a);
    pg_array_begin(&a, PG_BOOL);
    pg_array_bool(&a, true);
    expect(&a, HEAD("00000000", "00000010", "00000001") "0000000101");
}
END_TEST

START_TEST(times_count_from_2000)
{
    struct pg_array a = {0};

    pg_array_begin(&a, PG_TIMESTAMPTZ);
    pg_array_time(&a, 946684800001ULL); /* 2000-01-01 00:00:00.001 UTC */
    pg_array_time(&a, 946684799999ULL);
    expect(&a, HEAD("00000000", "000004a0", "00000002") "0000000800000000000003e8"
                                                        "00000008fffffffffffffc18");
}
END_TEST

START_TEST(the_end_of_an_array_becomes_one)
{
    struct pg_array a = {0}, b = {0};

    pg_array_begin(&a, PG_TEXT);
    pg_array_bytes(&a, bytes_of_string("ab"));
    pg_array_null(&a);
    pg_array_bytes(&a, bytes_of_string("c"));
    pg_array_end(&a);
    pg_array_begin(&b, PG_INT8); /* what was in it does not matter */
    pg_array_int8(&b, 1);
    ck_assert_int_eq(pg_array_copy(&a, 1, &b), 0);
    pg_array_truncate(&a, 1);
    ck_assert_uint_eq(a.count, 1);
    expect(&a, HEAD("00000001", "00000019", "00000001") "000000026162");
    ck_assert_uint_eq(b.count, 2);
    expect(&b, HEAD("00000001", "00000019", "00000002") "ffffffff"
                                                        "0000000163");
}
END_TEST

START_TEST(numbers_are_read_back)
{
    struct pg_array a = {0};

    pg_array_begin(&a, PG_INT8);
    pg_array_int8(&a, 1);
    pg_array_int8(&a, -2);
    ck_assert_int_eq(pg_array_at(&a, 0), 1);
    ck_assert_int_eq(pg_array_at(&a, 1), -2);
    pg_array_fini(&a);
}
END_TEST

START_TEST(empty_array_has_count_zero)
{
    struct pg_array a = {0};

    pg_array_begin(&a, PG_UUID);
    expect(&a, HEAD("00000000", "00000b86", "00000000"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pg_array");
    TCase *tcase = tcase_create("encode");

    tcase_add_test(tcase, integers);
    tcase_add_test(tcase, nulls_are_flagged);
    tcase_add_test(tcase, begin_again_forgets);
    tcase_add_test(tcase, times_count_from_2000);
    tcase_add_test(tcase, the_end_of_an_array_becomes_one);
    tcase_add_test(tcase, numbers_are_read_back);
    tcase_add_test(tcase, empty_array_has_count_zero);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
