/* Tests of broker/tail.c: the newest messages of a person. */
#include "broker/user.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct message *make(uint64_t seq)
{
    struct wire_body body = {.kind = WIRE_BODY_USER,
                             .from = bytes_of_string("alice"),
                             .payload = bytes_of_string("0123456789")};
    struct message *m = message_create(&body, body.from, body.from, bytes_of(NULL, 0));

    ck_assert_ptr_nonnull(m);
    m->seq = seq;
    return m;
}

static void append(struct tail *tail, uint64_t seq)
{
    struct message *m = make(seq);

    tail_append(tail, m);
    message_unref(m); /* the tail holds its own reference */
}

START_TEST(finds_by_sequence)
{
    struct tail tail = {0};

    for (uint64_t seq = 5; seq < 105; seq++)
        append(&tail, seq);
    ck_assert_ptr_null(tail_get(&tail, 4));
    ck_assert_uint_eq(tail_get(&tail, 5)->seq, 5);
    ck_assert_uint_eq(tail_get(&tail, 104)->seq, 104);
    ck_assert_ptr_null(tail_get(&tail, 105));
    tail_fini(&tail);
    ck_assert_ptr_null(tail_get(&tail, 5));
}
END_TEST

START_TEST(trims_by_sequence_count_and_bytes)
{
    struct tail tail = {0};
    size_t one;

    for (uint64_t seq = 1; seq <= 100; seq++)
        append(&tail, seq);
    one = tail.bytes / 100;
    tail_trim(&tail, 11, 1000, SIZE_MAX);
    ck_assert_uint_eq(tail.first_seq, 11);
    tail_trim(&tail, 0, 50, SIZE_MAX);
    ck_assert_uint_eq(tail.count, 50);
    ck_assert_uint_eq(tail.first_seq, 51);
    tail_trim(&tail, 0, 1000, one * 10);
    ck_assert_uint_eq(tail.count, 10);
    ck_assert_uint_eq(tail.bytes, one * 10);
    tail_trim(&tail, UINT64_MAX, 1000, SIZE_MAX);
    ck_assert_uint_eq(tail.count, 0);
    ck_assert_uint_eq(tail.bytes, 0);
    append(&tail, 500);
    ck_assert_uint_eq(tail_get(&tail, 500)->seq, 500);
    tail_fini(&tail);
}
END_TEST

START_TEST(a_gap_starts_a_new_run)
{
    struct tail tail = {0};

    append(&tail, 1);
    append(&tail, 2);
    append(&tail, 4);
    ck_assert_uint_eq(tail.count, 1);
    ck_assert_ptr_null(tail_get(&tail, 2));
    ck_assert_uint_eq(tail_get(&tail, 4)->seq, 4);
    tail_fini(&tail);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tail");
    TCase *tcase = tcase_create("tail");

    tcase_add_test(tcase, finds_by_sequence);
    tcase_add_test(tcase, trims_by_sequence_count_and_bytes);
    tcase_add_test(tcase, a_gap_starts_a_new_run);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
