/* Tests of connector/held.c: order, the limit, and that nothing is left behind. */
#include "connector/held.h"

#include <check.h>
#include <stdlib.h>

#include "common/buf.h"

#include "tests/support/run_suite.h"

#define PLENTY ((size_t)1 << 20)

static struct held *held;
static struct buf body;

static void tear_down(void)
{
    held_drop(&held);
    buf_release(&body);
}

/* A message from alice whose payload is text. */
static struct wire_deliver deliver(uint64_t seq, const char *text)
{
    const struct wire_body message = {
        .kind = WIRE_BODY_USER, .from = bytes_of_string("alice"), .payload = bytes_of_string(text)};

    buf_clear(&body);
    wire_put_body(&body, &message);
    return (struct wire_deliver){
        .seq = seq, .dup = seq == 2, .encoded_body = bytes_of(body.data, (uint32_t)body.len)};
}

static void add(uint64_t seq, const char *text)
{
    struct wire_deliver record = deliver(seq, text);

    ck_assert_int_eq(held_add(&held, &record, PLENTY), 0);
}

static void expect(uint64_t seq, const char *text)
{
    struct wire_deliver record;
    void *memory = held_take(&held, &record);

    ck_assert_ptr_nonnull(memory);
    ck_assert_uint_eq(record.seq, seq);
    ck_assert_int_eq(record.dup, seq == 2);
    ck_assert(bytes_equal_string(record.body.payload, text));
    ck_assert(bytes_equal_string(record.body.from, "alice"));
    free(memory);
}

START_TEST(test_oldest_first)
{
    struct wire_deliver record;

    ck_assert_ptr_null(held_take(&held, &record));
    add(1, "one");
    add(2, "two");
    expect(1, "one");
    add(3, "");
    expect(2, "two");
    expect(3, "");
    ck_assert_ptr_null(held); /* nothing is owned while nothing is held */
    ck_assert_ptr_null(held_take(&held, &record));
    add(4, "four");
    expect(4, "four");
}
END_TEST

START_TEST(test_limit)
{
    struct wire_deliver record = deliver(1, "0123456789");
    unsigned count = 0;

    while (held_add(&held, &record, 1000) == 0)
        count++;
    ck_assert_uint_gt(count, 2);
    ck_assert_int_eq(held_add(&held, &record, 1000), ERR_FULL);
    expect(1, "0123456789"); /* which makes room for another one */
    record = deliver(1, "0123456789");
    ck_assert_int_eq(held_add(&held, &record, 1000), 0);
    ck_assert_int_eq(held_add(&held, &record, 1000), ERR_FULL);
}
END_TEST

START_TEST(test_too_large_alone)
{
    struct wire_deliver record = deliver(1, "0123456789");

    ck_assert_int_eq(held_add(&held, &record, 10), ERR_FULL);
    ck_assert_ptr_null(held);
}
END_TEST

START_TEST(test_drop)
{
    held_drop(&held);
    add(1, "one");
    add(2, "two");
    held_drop(&held);
    ck_assert_ptr_null(held);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("held");
    TCase *tcase = tcase_create("held");

    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, test_oldest_first);
    tcase_add_test(tcase, test_limit);
    tcase_add_test(tcase, test_too_large_alone);
    tcase_add_test(tcase, test_drop);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
