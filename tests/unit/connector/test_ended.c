/* Tests of connector/ended.c. */
#include "connector/ended.h"

#include <stdlib.h>

#include "connector/expiry.h"
#include "tests/support/run_suite.h"

static struct ended_sessions *ended;

static void set_up(void)
{
    ended = ended_create(1000);
    ck_assert_ptr_nonnull(ended);
}

static void tear_down(void)
{
    ended_destroy(ended);
}

static int add(uint64_t conn, uint64_t ends_ms)
{
    static const uint64_t seqs[] = {5, 6};
    const struct wire_ended record = {
        .conn = conn,
        .epoch = 7,
        .user = bytes_of_string("alice"),
        .device = bytes_of_string("phone"),
        .messages = {.acked_seq = 3},
        .notified = {.acked_seq = 4},
    };
    const struct wire_seqs messages = {.more = seqs, .more_count = 2},
                           notified = {.sent = seqs + 1, .sent_count = 1};

    return ended_add(ended, 0, &record, &messages, &notified, ends_ms);
}

/* The only record that is announced at now_ms. */
static void announced(uint64_t now_ms, struct buf *frame, struct wire_ended *ret_record)
{
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version;

    wire_begin(frame, 0);
    ended_announce(ended, 0, now_ms, frame);
    ck_assert(buf_ok(frame));
    ck_assert_int_eq(
        wire_open_frame(bytes_of(frame->data, (uint32_t)frame->len), &reader, &version), 0);
    ck_assert_int_eq(wire_next(&reader, &record), 1);
    ck_assert_int_eq(record.type, WIRE_ENDED);
    *ret_record = record.ended;
    ck_assert_int_eq(wire_next(&reader, &record), 0);
}

START_TEST(test_announced_as_it_was)
{
    struct wire_ended record;
    struct buf frame = {0};
    uint64_t seq;

    ck_assert_int_eq(add(9, 10000), 0);
    announced(1000, &frame, &record);
    ck_assert_uint_eq(record.conn, 9);
    ck_assert_uint_eq(record.epoch, 7);
    ck_assert(bytes_equal_string(record.user, "alice"));
    ck_assert(bytes_equal_string(record.device, "phone"));
    ck_assert_uint_eq(record.messages.acked_seq, 3);
    ck_assert_uint_eq(record.messages.more.count, 2);
    ck_assert_uint_eq(record.messages.sent.count, 0);
    ck_assert_uint_eq(record.notified.acked_seq, 4);
    ck_assert_int_eq(wire_seq_next(&record.notified.sent, &seq), 1);
    ck_assert_uint_eq(seq, 6);
    buf_release(&frame);
}
END_TEST

START_TEST(test_what_is_left_of_the_session)
{
    static const struct {
        uint64_t ends_ms, now_ms;
        uint32_t left_s;
    } cases[] = {
        {10000, 1000, 9},  {10000, 1001, 9},  {10000, 9999, 1},
        {10000, 10000, 0}, {10000, 20000, 0}, {UINT64_MAX, 5, UINT32_MAX},
    };
    struct wire_ended record;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf frame = {0};

        ck_assert_int_eq(add(i, cases[i].ends_ms), 0);
        announced(cases[i].now_ms, &frame, &record);
        ck_assert_uint_eq(record.session_expiry_s, cases[i].left_s);
        ended_remove(ended, i, 0);
        buf_release(&frame);
    }
    ck_assert_uint_eq(expiry_at_ms(5, UINT32_MAX), UINT64_MAX);
    ck_assert_uint_eq(expiry_at_ms(5, 2), 2005);
}
END_TEST

START_TEST(test_bounded)
{
    uint64_t count = 0;

    while (add(count, UINT64_MAX) == 0)
        count++;
    ck_assert_uint_gt(count, 2);
    ck_assert_uint_lt(count, 12); /* a record alone is some 80 bytes */
    ck_assert_int_eq(add(count, UINT64_MAX), ERR_FULL);
    ck_assert_uint_eq(ended_count(ended), count);
    ended_remove(ended, 0, 0);
    ended_remove(ended, 0, 0); /* unknown by now */
    ck_assert_int_eq(add(count, UINT64_MAX), 0);
    ck_assert_uint_eq(ended_count(ended), count);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ended");
    TCase *tcase = tcase_create("ended");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_announced_as_it_was);
    tcase_add_test(tcase, test_what_is_left_of_the_session);
    tcase_add_test(tcase, test_bounded);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
