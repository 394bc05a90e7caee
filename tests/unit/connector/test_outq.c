/* Tests of connector/outq.c, over a transport that takes what the test allows. */
#include "connector/outq.h"

#include <stdlib.h>

#include "tests/support/run_suite.h"

static struct outq q;
static size_t allowed;     /* bytes the transport still takes */
static unsigned writes;    /* calls */
static struct buf written; /* what it got */
static bool broken;

static ssize_t fake_write(struct transport *t, const void *data, size_t size)
{
    size_t n = size < allowed ? size : allowed;

    (void)t;
    writes++;
    if (broken)
        return ERR_IO;
    if (n == 0)
        return ERR_AGAIN;
    buf_put(&written, data, n);
    allowed -= n;
    return (ssize_t)n;
}

static const struct transport_ops ops = {.write = fake_write};
static struct transport transport = {.ops = &ops, .fd = -1};

static void set_up(void)
{
    q = (struct outq){0};
    written = (struct buf){0};
    allowed = 0;
    writes = 0;
    broken = false;
}

static void tear_down(void)
{
    outq_fini(&q);
    buf_release(&written);
}

static void put(const char *text)
{
    struct buf buf = outq_begin(&q);

    buf_put(&buf, text, strlen(text));
    ck_assert_int_eq(outq_end(&q, &buf), 0);
}

static int write_once(void)
{
    size_t bytes;

    return outq_write(&q, &transport, &bytes);
}

START_TEST(test_one_write_for_many_packets)
{
    put("one");
    put("two");
    put("three");
    ck_assert_uint_eq(outq_waiting(&q), 11);
    allowed = 100;
    ck_assert_int_eq(write_once(), 0);
    ck_assert_uint_eq(writes, 1);
    ck_assert_mem_eq(written.data, "onetwothree", 11);
}
END_TEST

START_TEST(test_empty_owns_nothing)
{
    struct buf buf = outq_begin(&q);

    ck_assert_int_eq(outq_end(&q, &buf), 0); /* nothing was appended */
    ck_assert_ptr_null(q.data);
    ck_assert_int_eq(write_once(), 0);
    ck_assert_uint_eq(writes, 0);
    put("x");
    ck_assert_ptr_nonnull(q.data);
    allowed = 1;
    ck_assert_int_eq(write_once(), 0);
    ck_assert_ptr_null(q.data);
}
END_TEST

START_TEST(test_partial_writes_keep_order)
{
    put("abcdefgh");
    ck_assert_int_eq(write_once(), 1); /* would block */
    allowed = 3;
    ck_assert_int_eq(write_once(), 1);
    ck_assert_uint_eq(outq_waiting(&q), 5);
    put("ijk");
    allowed = 3;
    ck_assert_int_eq(write_once(), 1);
    put("l");
    allowed = 100;
    ck_assert_int_eq(write_once(), 0);
    ck_assert_uint_eq(written.len, 12);
    ck_assert_mem_eq(written.data, "abcdefghijkl", 12);
}
END_TEST

/* A client that always has something waiting must not make the buffer grow for ever. */
START_TEST(test_never_empty_stays_small)
{
    unsigned wrong = 0; /* counted, not asserted one by one: an assertion costs a system call */

    put("0123456789");
    for (unsigned i = 0; i < 100000; i++) {
        put("0123456789");
        allowed = 10;
        wrong += write_once() != 1 || outq_waiting(&q) != 10;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_le(q.cap, 1024);
}
END_TEST

START_TEST(test_failures)
{
    struct buf buf;

    put("abc");
    buf = outq_begin(&q);
    buf_put(&buf, "de", 2);
    buf.failed = true; /* what running out of memory leaves */
    ck_assert_int_eq(outq_end(&q, &buf), ERR_NO_MEMORY);
    ck_assert_uint_eq(outq_waiting(&q), 3);
    broken = true;
    ck_assert_int_eq(write_once(), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outq");
    TCase *writing = tcase_create("writing");

    tcase_add_checked_fixture(writing, set_up, tear_down);
    tcase_add_test(writing, test_one_write_for_many_packets);
    tcase_add_test(writing, test_empty_owns_nothing);
    tcase_add_test(writing, test_partial_writes_keep_order);
    tcase_add_test(writing, test_never_empty_stays_small);
    tcase_add_test(writing, test_failures);
    suite_add_tcase(suite, writing);
    return run_suite(suite);
}
