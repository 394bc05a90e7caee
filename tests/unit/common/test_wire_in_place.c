/* Tests of what common/wire_encode.c changes in encoded records: requests are kept in that form
 * until they are answered. */
#include "common/wire.h"

#include <check.h>

#include "common/auto.h"
#include "tests/support/wire_again.h"
#include "tests/unit/common/wire_samples.h"

#include "tests/support/run_suite.h"

/* The record alone, as it is kept. */
static void decode(const struct buf *raw, struct wire_record *ret_record)
{
    struct wire_reader reader = {.rest = bytes_of(raw->data, (uint32_t)raw->len)};

    ck_assert(buf_ok(raw));
    ck_assert_int_eq(wire_next(&reader, ret_record), 1);
    ck_assert_uint_eq(reader.rest.len, 0);
}

/* Nothing else has changed than what expected says. Takes raw's memory. */
static void assert_publish(struct buf *raw, enum wire_type type,
                           const struct wire_publish *expected)
{
    struct buf fresh = {0};

    wire_put_publish(&fresh, type, expected);
    ck_assert_uint_eq(raw->len, fresh.len);
    ck_assert_mem_eq(raw->data, fresh.data, fresh.len);
    buf_release(&fresh);
    buf_release(raw);
}

START_TEST(test_mark_resend)
{
    struct wire_publish expected = sample_publish;
    struct buf raw = {0}, fresh = {0};
    struct wire_record record;

    expected.resend = true;
    put_sample_publish(&raw);
    wire_mark_resend(raw.data, raw.len);
    assert_publish(&raw, WIRE_PUBLISH, &expected);
    wire_put_publish(&raw, WIRE_COPY, &sample_publish);
    wire_mark_resend(raw.data, raw.len);
    assert_publish(&raw, WIRE_COPY, &expected);

    put_sample_state(&raw);
    wire_mark_resend(raw.data, raw.len);
    decode(&raw, &record);
    ck_assert(record.state.resend);
    ck_assert_uint_eq(record.state.state, WIRE_FOREGROUND);

    buf_clear(&raw);
    put_sample_read(&raw); /* a type without the flag stays as it is */
    put_sample_read(&fresh);
    wire_mark_resend(raw.data, raw.len);
    ck_assert_uint_eq(raw.len, fresh.len);
    ck_assert_mem_eq(raw.data, fresh.data, fresh.len);
    buf_release(&raw);
    buf_release(&fresh);
}
END_TEST

/* The first thing in every request, whatever its type. */
START_TEST(test_set_token)
{
    static void (*const puts[])(struct buf * frame) = {
        put_sample_subscribe, put_sample_unsubscribe, put_sample_publish,
        put_sample_copy,      put_sample_state,       put_sample_push,
        put_sample_read,      put_sample_shown,       put_sample_push_gone,
    };

    for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
        struct buf raw = {0}, again = {0}, fresh = {0};
        struct wire_record record;

        puts[i](&raw);
        wire_set_token(raw.data, raw.len, 0x0102030405060708);
        decode(&raw, &record);
        ck_assert_uint_eq(record.publish.token, 0x0102030405060708);
        puts[i](&fresh);
        decode(&fresh, &record);
        wire_set_token(raw.data, raw.len, record.publish.token);
        decode(&raw, &record);
        wire_again(&again, &record);
        ck_assert_uint_eq(again.len, fresh.len);
        ck_assert_mem_eq(again.data, fresh.data, fresh.len);
        buf_release(&raw);
        buf_release(&again);
        buf_release(&fresh);
    }
}
END_TEST

START_TEST(test_copy_of_a_publish)
{
    static const struct mid stored = {{0x01, 0x8e, [15] = 0x55}};
    struct wire_publish expected = sample_publish;
    struct buf raw = {0};

    put_sample_publish(&raw);
    wire_mark_copy(raw.data, raw.len, NULL);
    assert_publish(&raw, WIRE_COPY, &expected);

    /* That PUBLISH was said again; its COPY is said for the first time. */
    put_sample_publish(&raw);
    wire_mark_resend(raw.data, raw.len);
    wire_mark_copy(raw.data, raw.len, NULL);
    assert_publish(&raw, WIRE_COPY, &expected);

    /* The KEY was used before: that message's copy may be there. */
    expected.mid = stored;
    expected.resend = true;
    put_sample_publish(&raw);
    wire_mark_copy(raw.data, raw.len, &stored);
    assert_publish(&raw, WIRE_COPY, &expected);
}
END_TEST

/* What is left of the session is written into the encoded record; nothing else changes. */
START_TEST(test_expiry_of_an_ended_session)
{
    struct buf raw = {0};
    struct wire_record record;
    uint64_t seq;

    put_sample_ended(&raw);
    wire_set_ended_expiry(raw.data, raw.len, 0x01020304);
    decode(&raw, &record);
    ck_assert_uint_eq(record.ended.session_expiry_s, 0x01020304);
    ck_assert_uint_eq(record.ended.conn, 2);
    ck_assert_uint_eq(record.ended.epoch, 9);
    ck_assert(bytes_equal_string(record.ended.user, "alice"));
    ck_assert(bytes_equal_string(record.ended.device, "phone"));
    ck_assert_uint_eq(record.ended.messages.acked_seq, 0x10);
    ck_assert_int_eq(wire_seq_next(&record.ended.messages.more, &seq), 1);
    ck_assert_uint_eq(seq, 0x11);
    ck_assert_uint_eq(record.ended.messages.sent.count, 0);
    ck_assert_uint_eq(record.ended.notified.acked_seq, 0x12);
    ck_assert_uint_eq(record.ended.notified.sent.count, 2);
    buf_release(&raw);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire_in_place");
    TCase *tcase = tcase_create("in place");

    tcase_add_test(tcase, test_mark_resend);
    tcase_add_test(tcase, test_set_token);
    tcase_add_test(tcase, test_copy_of_a_publish);
    tcase_add_test(tcase, test_expiry_of_an_ended_session);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
