/* Tests of common/wire_encode.c and wire_decode.c: the frozen layout of version 4, what decodes
 * encodes to the same bytes, and everything a broken peer could send is ERR_MALFORMED and touches
 * nothing outside the frame. */
#include "common/wire.h"

#include <check.h>
#include <stdlib.h>

#include "common/auto.h"
#include "tests/support/wire_again.h"
#include "tests/unit/common/wire_samples.h"

#include "tests/support/run_suite.h"

#define SAMPLE_GENERATION 0x0607
#define SAMPLES ((int)ARRAY_LEN(wire_samples))

/* An exact-size heap copy, so that the address sanitizer sees a read past its end. */
struct copy {
    uint8_t *data;
    size_t len;
};

static struct copy copy_of(const uint8_t *data, size_t len)
{
    struct copy copy = {.data = malloc(len == 0 ? 1 : len), .len = len};

    ck_assert_ptr_nonnull(copy.data);
    if (len != 0)
        memcpy(copy.data, data, len);
    return copy;
}

static struct bytes copy_bytes(const struct copy *copy)
{
    return bytes_of(copy->data, (uint32_t)copy->len);
}

/* 0 and the number of records, or the first error. */
static int decode_all(struct bytes frame, unsigned *ret_count)
{
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version;
    int result = wire_open_frame(frame, &reader, &version);

    *ret_count = 0;
    while (result == 0) {
        int next = wire_next(&reader, &record);
        if (next <= 0)
            return next;
        ++*ret_count;
    }
    return result;
}

static struct buf sample_frame(int index)
{
    struct buf frame = {0};

    wire_begin(&frame, SAMPLE_GENERATION);
    wire_samples[index].put(&frame);
    ck_assert_msg(buf_ok(&frame), "%s", wire_samples[index].name);
    return frame;
}

static unsigned hex_digit(char c)
{
    ck_assert_msg((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'), "not hex: %c", c);
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The notation of wire_samples.h. */
static void put_notation(struct buf *out, const char *text)
{
    bool quoted = false;

    for (; *text != '\0'; text++) {
        if (*text == '"') {
            quoted = !quoted;
        } else if (quoted) {
            buf_put_u8(out, (uint8_t)*text);
        } else if (*text != ' ') {
            buf_put_u8(out, (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1])));
            text++;
        }
    }
    ck_assert(!quoted && buf_ok(out));
}

static void assert_same(const char *name, const struct buf *got, const struct buf *expected)
{
    size_t at = 0;

    while (at < got->len && at < expected->len && got->data[at] == expected->data[at])
        at++;
    ck_assert_msg(at == got->len && at == expected->len,
                  "%s: %zu bytes, expected %zu; first difference at %zu", name, got->len,
                  expected->len, at);
}

START_TEST(test_version_4_is_frozen)
{
    struct buf got = sample_frame(_i), expected = {0};

    ck_assert_uint_eq(WIRE_VERSION, 4);
    put_notation(&expected, "\"BK\" 04 00 0706000000000000");
    put_notation(&expected, wire_samples[_i].bytes);
    assert_same(wire_samples[_i].name, &got, &expected);
    buf_release(&got);
    buf_release(&expected);
}
END_TEST

START_TEST(test_round_trip)
{
    struct buf frame = sample_frame(_i), again = {0};
    struct copy copy = copy_of(frame.data, frame.len);
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version;

    ck_assert_int_eq(wire_open_frame(copy_bytes(&copy), &reader, &version), 0);
    ck_assert_uint_eq(version, WIRE_VERSION);
    ck_assert_uint_eq(reader.generation, SAMPLE_GENERATION);
    ck_assert_int_eq(wire_next(&reader, &record), 1);
    wire_begin(&again, reader.generation);
    wire_again(&again, &record);
    assert_same(wire_samples[_i].name, &again, &frame);
    ck_assert_int_eq(wire_next(&reader, &record), 0);
    ck_assert_int_eq(wire_next(&reader, &record), 0);
    buf_release(&frame);
    buf_release(&again);
    free(copy.data);
}
END_TEST

START_TEST(test_samples_cover_every_type)
{
    bool seen[256] = {false};
    unsigned types = 0;

    for (int i = 0; i < SAMPLES; i++) {
        struct buf frame = sample_frame(i);
        seen[frame.data[WIRE_HEADER_SIZE + 4]] = true;
        buf_release(&frame);
    }
    /* An empty record: what is no type fails whatever its fields would be. */
    for (unsigned type = 0; type < 256; type++) {
        const uint8_t frame[] = {'B', 'K', WIRE_VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
                                 0,   0,   (uint8_t)type};
        bool empty = type == WIRE_PING || type == WIRE_ANNOUNCE_END;
        unsigned count;
        ck_assert_int_eq(decode_all(bytes_of(frame, sizeof(frame)), &count),
                         empty ? 0 : ERR_MALFORMED);
        types += seen[type];
    }
    ck_assert_uint_eq(types, ARRAY_LEN(wire_samples));
}
END_TEST

START_TEST(test_many_records_in_one_frame)
{
    struct buf frame = {0};
    unsigned count;

    wire_begin(&frame, SAMPLE_GENERATION);
    ck_assert_int_eq(decode_all(bytes_of(frame.data, (uint32_t)frame.len), &count), 0);
    ck_assert_uint_eq(count, 0);
    for (int i = 0; i < SAMPLES; i++)
        wire_samples[i].put(&frame);
    ck_assert_int_eq(decode_all(bytes_of(frame.data, (uint32_t)frame.len), &count), 0);
    ck_assert_uint_eq(count, SAMPLES);
    buf_release(&frame);
}
END_TEST

START_TEST(test_decoded_publish)
{
    struct buf frame = {0};
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version;

    wire_begin(&frame, SAMPLE_GENERATION);
    put_sample_publish(&frame);
    ck_assert_int_eq(wire_open_frame(bytes_of(frame.data, (uint32_t)frame.len), &reader, &version),
                     0);
    ck_assert_int_eq(wire_next(&reader, &record), 1);
    ck_assert_int_eq(record.type, WIRE_PUBLISH);
    ck_assert_uint_eq(record.publish.token, 4);
    ck_assert_uint_eq(record.publish.conn, 2);
    ck_assert_mem_eq(&record.publish.mid, &sample_mid, sizeof(sample_mid));
    ck_assert(!record.publish.resend && record.publish.has_expiry);
    ck_assert_uint_eq(record.publish.kind, WIRE_TO_USER);
    ck_assert_uint_eq(record.publish.expiry_s, 60);
    ck_assert(bytes_equal_string(record.publish.from, "alice"));
    ck_assert(bytes_equal_string(record.publish.from_device, "phone"));
    ck_assert(bytes_equal_string(record.publish.to, "bob"));
    ck_assert_uint_eq(record.publish.key.len, 0);
    ck_assert_uint_eq(record.publish.properties.len, 0);
    ck_assert(bytes_equal(record.publish.payload, bytes_of("hi\0\xff", 4)));
    buf_release(&frame);
}
END_TEST

START_TEST(test_decoded_announce)
{
    struct buf frame = {0};
    struct wire_reader reader;
    struct wire_record record;
    struct wire_subscription subscription;
    uint64_t seq;
    uint8_t version;

    wire_begin(&frame, SAMPLE_GENERATION);
    put_sample_announce(&frame);
    ck_assert_int_eq(wire_open_frame(bytes_of(frame.data, (uint32_t)frame.len), &reader, &version),
                     0);
    ck_assert_int_eq(wire_next(&reader, &record), 1);
    struct wire_announce *announce = &record.announce;
    ck_assert_uint_eq(announce->open.state, WIRE_BACKGROUND);
    ck_assert_uint_eq(announce->open.receive_max, 0x0102);
    ck_assert(announce->open.clean_start && !announce->open.service && announce->doubtful);
    ck_assert(bytes_equal_string(announce->open.will.payload, "bye"));
    ck_assert_uint_eq(announce->epoch, 0x0000000700000009);
    ck_assert_uint_eq(announce->messages.acked_seq, 0x10);
    ck_assert_uint_eq(announce->notified.acked_seq, 0x12);
    ck_assert_uint_eq(announce->subscriptions.count, 2);
    ck_assert_int_eq(wire_subscription_next(&announce->subscriptions, &subscription), 1);
    ck_assert(bytes_equal_string(subscription.filter, "inbox/#"));
    ck_assert_uint_eq(subscription.options, 0x2c);
    ck_assert_uint_eq(subscription.id, 0x01020304);
    ck_assert_int_eq(wire_subscription_next(&announce->subscriptions, &subscription), 1);
    ck_assert_int_eq(wire_subscription_next(&announce->subscriptions, &subscription), 0);
    ck_assert_int_eq(wire_seq_next(&announce->messages.sent, &seq), 1);
    ck_assert_uint_eq(seq, 0x11);
    ck_assert_int_eq(wire_seq_next(&announce->messages.sent, &seq), 1);
    ck_assert_uint_eq(seq, 0x2233);
    ck_assert_int_eq(wire_seq_next(&announce->messages.sent, &seq), 0);
    ck_assert_int_eq(wire_seq_next(&announce->messages.more, &seq), 1);
    ck_assert_uint_eq(seq, 0x11);
    ck_assert_int_eq(wire_seq_next(&announce->messages.more, &seq), 0);
    ck_assert_int_eq(wire_seq_next(&announce->notified.more, &seq), 0);
    ck_assert_int_eq(wire_seq_next(&announce->notified.sent, &seq), 1);
    buf_release(&frame);
}
END_TEST

START_TEST(test_truncated_frame)
{
    struct buf frame = sample_frame(_i);

    for (size_t len = 0; len < frame.len; len++) {
        struct copy cut = copy_of(frame.data, len);
        unsigned count;
        int expected = len == WIRE_HEADER_SIZE ? 0 : ERR_MALFORMED;
        ck_assert_msg(decode_all(copy_bytes(&cut), &count) == expected, "%s cut at %zu",
                      wire_samples[_i].name, len);
        ck_assert_uint_eq(count, 0);
        free(cut.data);
    }
    buf_release(&frame);
}
END_TEST

static void set_record_len(uint8_t *frame, size_t frame_len)
{
    size_t len = frame_len - WIRE_HEADER_SIZE - 4;

    for (unsigned i = 0; i < 4; i++)
        frame[WIRE_HEADER_SIZE + i] = (uint8_t)(len >> (8 * i));
}

/* The record's length is right for what is left of it, so the fields themselves must notice. */
START_TEST(test_truncated_record)
{
    struct buf frame = sample_frame(_i);

    for (size_t len = WIRE_HEADER_SIZE + 4; len < frame.len; len++) {
        struct copy cut = copy_of(frame.data, len);
        unsigned count;
        set_record_len(cut.data, len);
        ck_assert_msg(decode_all(copy_bytes(&cut), &count) == ERR_MALFORMED, "%s cut at %zu",
                      wire_samples[_i].name, len);
        free(cut.data);
    }
    buf_release(&frame);
}
END_TEST

START_TEST(test_trailing_garbage)
{
    struct buf frame = sample_frame(_i);
    unsigned count;

    /* Behind the record: a length of which bytes are missing. */
    buf_put_u8(&frame, 0);
    struct copy copy = copy_of(frame.data, frame.len);
    ck_assert_int_eq(decode_all(copy_bytes(&copy), &count), ERR_MALFORMED);
    ck_assert_uint_eq(count, 1);
    /* Inside it: a field that this version doesn't have. */
    set_record_len(copy.data, copy.len);
    ck_assert_int_eq(decode_all(copy_bytes(&copy), &count), ERR_MALFORMED);
    ck_assert_uint_eq(count, 0);
    free(copy.data);
    buf_release(&frame);
}
END_TEST

/* Whatever bits flip, decoding stays inside the frame, and what it accepts encodes to the same. */
START_TEST(test_flipped_bits)
{
    struct buf frame = {0};
    unsigned seed = 20260501, accepted = 0, refused = 0;

    wire_begin(&frame, SAMPLE_GENERATION);
    for (int i = 0; i < SAMPLES; i++)
        wire_samples[i].put(&frame);
    for (int round = 0; round < 5000; round++) {
        struct copy copy = copy_of(frame.data, frame.len);
        struct wire_reader reader = {.generation = 0};
        struct wire_record record;
        uint8_t version;
        for (int flips = 1 + rand_r(&seed) % 3; flips > 0; flips--)
            copy.data[(size_t)rand_r(&seed) % copy.len] ^= (uint8_t)(1 << rand_r(&seed) % 8);
        int result = wire_open_frame(copy_bytes(&copy), &reader, &version);
        struct buf again = {0};
        wire_begin(&again, reader.generation);
        while (result == 0 && (result = wire_next(&reader, &record)) == 1) {
            wire_again(&again, &record);
            result = 0;
        }
        if (result == 0) {
            ck_assert_uint_eq(again.len, copy.len);
            ck_assert_mem_eq(again.data, copy.data, copy.len);
            accepted++;
        } else {
            ck_assert(result == ERR_MALFORMED || result == ERR_VERSION);
            refused++;
        }
        buf_release(&again);
        free(copy.data);
    }
    ck_assert_uint_gt(accepted, 200);
    ck_assert_uint_gt(refused, 200);
    buf_release(&frame);
}
END_TEST

START_TEST(test_frame_headers)
{
    static const struct {
        uint8_t bytes[WIRE_HEADER_SIZE];
        int expected;
    } cases[] = {
        {{'B', 'K', WIRE_VERSION, 0}, 0},
        {{'B', 'K', WIRE_VERSION + 1, 0}, ERR_VERSION},
        {{'B', 'K', 0, 9}, ERR_VERSION},
        {{'B', 'K', WIRE_VERSION, 1}, ERR_MALFORMED},
        {{'B', 'C', WIRE_VERSION, 0}, ERR_MALFORMED},
        {{'K', 'B', WIRE_VERSION, 0}, ERR_MALFORMED},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wire_reader reader;
        uint8_t version = 0xee;
        ck_assert_int_eq(
            wire_open_frame(bytes_of(cases[i].bytes, WIRE_HEADER_SIZE), &reader, &version),
            cases[i].expected);
        if (cases[i].expected != ERR_MALFORMED)
            ck_assert_uint_eq(version, cases[i].bytes[2]);
    }
}
END_TEST

/* One byte of a sample set to a value that its field can't have. Offsets from the record's type. */
START_TEST(test_fields_out_of_range)
{
    static const struct {
        void (*put)(struct buf *frame);
        size_t offset;
        uint8_t value;
        const char *field;
    } cases[] = {
        {put_sample_open, 21, 3, "level"},        {put_sample_open, 21, 6, "level"},
        {put_sample_open, 22, 2, "clean_start"},  {put_sample_open, 24, 0, "state"},
        {put_sample_open, 24, 3, "state"},        {put_sample_open, 43, 2, "will present"},
        {put_sample_publish, 33, 2, "resend"},    {put_sample_publish, 35, 'x', "kind"},
        {put_sample_signal, 1, 0, "kind"},        {put_sample_state, 25, 2, "resend"},
        {put_sample_state, 26, 3, "state"},       {put_sample_subscribe, 27, 2, "qos"},
        {put_sample_deliver, 23, 0, "body kind"}, {put_sample_deliver, 23, 5, "body kind"},
        {put_sample_live, 9, 3, "kind"},          {put_sample_will, 49, 'U', "will kind"},
        {put_sample_will, 50, 2, "will qos"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf frame = {0};
        unsigned count;
        wire_begin(&frame, SAMPLE_GENERATION);
        cases[i].put(&frame);
        ck_assert_int_eq(decode_all(bytes_of(frame.data, (uint32_t)frame.len), &count), 0);
        frame.data[WIRE_HEADER_SIZE + 4 + cases[i].offset] = cases[i].value;
        ck_assert_msg(decode_all(bytes_of(frame.data, (uint32_t)frame.len), &count) ==
                          ERR_MALFORMED,
                      "%s = %u", cases[i].field, cases[i].value);
        buf_release(&frame);
    }
}
END_TEST

START_TEST(test_names_longer_than_a_byte_can_say)
{
    uint8_t name[256];
    struct buf frame = {0};
    unsigned count;

    memset(name, 'x', sizeof(name));
    wire_begin(&frame, SAMPLE_GENERATION);
    wire_put_signal(&frame,
                    &(struct wire_signal){.kind = WIRE_TO_USER, .from = bytes_of(name, 255)});
    ck_assert(buf_ok(&frame));
    ck_assert_int_eq(decode_all(bytes_of(frame.data, (uint32_t)frame.len), &count), 0);
    wire_put_signal(&frame,
                    &(struct wire_signal){.kind = WIRE_TO_USER, .from = bytes_of(name, 256)});
    ck_assert(!buf_ok(&frame));
    wire_put_empty(&frame, WIRE_PING); /* sticks, and nothing breaks */
    ck_assert(!buf_ok(&frame));

    /* What only people read is cut instead. */
    buf_clear(&frame);
    wire_begin(&frame, SAMPLE_GENERATION);
    wire_put_refuse(&frame, &(struct wire_refuse){.version = 1,
                                                  .reason = WIRE_REFUSED_MALFORMED,
                                                  .text = bytes_of(name, 256)});
    ck_assert(buf_ok(&frame));
    ck_assert_int_eq(decode_all(bytes_of(frame.data, (uint32_t)frame.len), &count), 0);
    ck_assert_uint_eq(frame.len, WIRE_HEADER_SIZE + 4 + 4 + 255);
    buf_release(&frame);
}
END_TEST

/* A peer of another version reads why it is refused: the header is one that it knows. */
START_TEST(test_refusals_for_older_peers)
{
    static const char record[] = "08000000 02 04 01 04\"text\"";
    struct buf expected = {0}, got = {0};

    for (uint8_t version = 1; version <= WIRE_VERSION + 1; version++) {
        bool older = version < 4;
        buf_clear(&expected);
        put_notation(&expected, "\"BK\"");
        buf_put_u8(&expected, older ? version : WIRE_VERSION);
        put_notation(&expected, older ? "00" : "00 0000000000000000");
        put_notation(&expected, record);
        buf_clear(&got);
        wire_begin_refusal(&got, version);
        wire_put_refuse(&got, &(struct wire_refuse){.version = WIRE_VERSION,
                                                    .reason = WIRE_REFUSED_VERSION,
                                                    .text = bytes_of_string("text")});
        assert_same("REFUSE", &got, &expected);
    }
    buf_release(&expected);
    buf_release(&got);
}
END_TEST

/* What an older program sends: its header is shorter than ours, and its version is seen. */
START_TEST(test_frame_of_an_older_peer)
{
    const uint8_t frame[] = {'B', 'K', 3, 0};
    struct wire_reader reader;
    uint8_t version = 0;

    ck_assert_int_eq(wire_open_frame(bytes_of(frame, sizeof(frame)), &reader, &version),
                     ERR_VERSION);
    ck_assert_uint_eq(version, 3);
}
END_TEST

START_TEST(test_body_alone)
{
    struct buf encoded = {0}, again = {0};
    struct wire_body body;

    wire_put_body(&encoded, &sample_body);
    ck_assert(buf_ok(&encoded));
    ck_assert_uint_eq(encoded.len, wire_body_size(&sample_body));
    for (size_t len = 0; len < encoded.len; len++) {
        struct copy cut = copy_of(encoded.data, len);
        ck_assert_int_eq(wire_get_body(copy_bytes(&cut), &body), ERR_MALFORMED);
        free(cut.data);
    }
    ck_assert_int_eq(wire_get_body(bytes_of(encoded.data, (uint32_t)encoded.len), &body), 0);
    ck_assert_uint_eq(body.kind, WIRE_BODY_GROUP);
    ck_assert_uint_eq(body.sent_at_ms, sample_body.sent_at_ms);
    ck_assert_uint_eq(body.expires_at_ms, sample_body.expires_at_ms);
    ck_assert(bytes_equal_string(body.from, "alice"));
    ck_assert(bytes_equal_string(body.to, "team"));
    ck_assert(bytes_equal_string(body.payload, "hi"));
    wire_put_body(&again, &body);
    assert_same("body", &again, &encoded);
    buf_put_u8(&encoded, 0);
    ck_assert_int_eq(wire_get_body(bytes_of(encoded.data, (uint32_t)encoded.len), &body),
                     ERR_MALFORMED);
    buf_release(&encoded);
    buf_release(&again);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count,
                     int loops)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 30);
    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(tcase, tests[i], 0, loops);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    const TTest *const each[] = {test_version_4_is_frozen, test_round_trip, test_truncated_frame,
                                 test_truncated_record, test_trailing_garbage};
    const TTest *const layout[] = {test_samples_cover_every_type, test_many_records_in_one_frame,
                                   test_decoded_publish, test_decoded_announce, test_body_alone};
    const TTest *const refusals[] = {test_flipped_bits,
                                     test_frame_headers,
                                     test_refusals_for_older_peers,
                                     test_frame_of_an_older_peer,
                                     test_fields_out_of_range,
                                     test_names_longer_than_a_byte_can_say};
    Suite *suite = suite_create("wire");

    add_case(suite, "every record", each, ARRAY_LEN(each), SAMPLES);
    add_case(suite, "layout", layout, ARRAY_LEN(layout), 1);
    add_case(suite, "refusals", refusals, ARRAY_LEN(refusals), 1);
    return run_suite(suite);
}
