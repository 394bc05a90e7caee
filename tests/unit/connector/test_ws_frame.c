/* Tests of connector/ws_frame.c: the examples and the rules of RFC 6455 section 5, each also fed
 * byte by byte. */
#include "connector/ws_frame.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static struct ws_decoder decoder;
static struct buf stream;   /* what the data frames held */
static struct buf controls; /* each control frame: opcode, length, payload */
static struct buf control;  /* payload of the one that is under way */
static const struct ws_fault *fault;

static void set_up(void)
{
    decoder = (struct ws_decoder){0};
    stream = controls = control = (struct buf){0};
    fault = NULL;
}

static void tear_down(void)
{
    buf_release(&stream);
    buf_release(&controls);
    buf_release(&control);
}

static void take(const struct ws_piece *piece)
{
    if (piece->kind == WS_PIECE_DATA)
        buf_put(&stream, piece->data, piece->len);
    if (piece->kind != WS_PIECE_CONTROL)
        return;
    buf_put(&control, piece->data, piece->len);
    if (!piece->last)
        return;
    buf_put_u8(&controls, piece->opcode);
    buf_put_u8(&controls, (uint8_t)control.len);
    buf_put(&controls, control.data, control.len);
    buf_clear(&control);
}

/* Feeds bytes in chunks. 0, or what the decoder refused it with. */
static int feed(const void *bytes, uint32_t len, uint32_t chunk)
{
    AUTO_FREE uint8_t *copy = malloc(len);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, len);
    for (uint32_t at = 0; at < len;) {
        uint32_t left = len - at < chunk ? len - at : chunk;

        while (left > 0) {
            struct ws_piece piece;
            int used = ws_decode(&decoder, copy + at, left, &piece, &fault);

            if (used < 0)
                return used;
            if (used == 0 || (uint32_t)used > left) /* asserted, it would cost a system call each */
                ck_abort_msg("%d bytes used of %u", used, left);
            take(&piece);
            at += (uint32_t)used;
            left -= (uint32_t)used;
        }
    }
    return 0;
}

/* The whole of it at once, and byte by byte: with the same result. */
static void expect(const void *bytes, uint32_t len, const char *data, const void *frames,
                   uint32_t frames_len)
{
    static const uint32_t chunks[] = {UINT32_MAX, 1, 3};

    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        tear_down();
        set_up();
        ck_assert_int_eq(feed(bytes, len, chunks[i]), 0);
        ck_assert_uint_eq(stream.len, strlen(data));
        ck_assert(stream.len == 0 || memcmp(stream.data, data, stream.len) == 0);
        ck_assert_uint_eq(controls.len, frames_len);
        ck_assert(frames_len == 0 || memcmp(controls.data, frames, frames_len) == 0);
    }
}

static void expect_fault(const void *bytes, uint32_t len, uint16_t code)
{
    tear_down();
    set_up();
    ck_assert_int_eq(feed(bytes, len, UINT32_MAX), ERR_PROTOCOL);
    ck_assert_uint_eq(fault->code, code);
    tear_down();
    set_up();
    ck_assert_int_eq(feed(bytes, len, 1), ERR_PROTOCOL);
    ck_assert_uint_eq(fault->code, code);
    /* not before the last byte: what is refused does not depend on what follows */
    tear_down();
    set_up();
    ck_assert_int_eq(feed(bytes, len - 1, 1), 0);
}

#define EXPECT(bytes, data, frames)                                                                \
    expect(bytes, sizeof(bytes) - 1, data, frames, sizeof(frames) - 1)
#define EXPECT_FAULT(bytes, code) expect_fault(bytes, sizeof(bytes) - 1, code)

/* --- RFC 6455 section 5.7 --- */

/* Its text frames with the opcode of binary ones. */
START_TEST(test_examples_from_a_client)
{
    EXPECT("\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "Hello", "");
    EXPECT("\x02\x83\x37\xfa\x21\x3d\x7f\x9f\x4d"
           "\x80\x82\x37\xfa\x21\x3d\x5b\x95",
           "Hello", "");
    EXPECT("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "", "\x09\x05Hello");
    EXPECT("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "", "\x0a\x05Hello");
}
END_TEST

START_TEST(test_examples_from_a_server)
{
    uint8_t header[WS_SERVER_HEADER_MAX];
    struct buf out = {0};

    ck_assert_uint_eq(ws_write_header(header, WS_TEXT, 5), 2);
    ck_assert_mem_eq(header, "\x81\x05", 2);
    ws_put_control(&out, WS_PING, bytes_of_string("Hello"));
    ck_assert_uint_eq(out.len, 7);
    ck_assert_mem_eq(out.data, "\x89\x05Hello", 7);
    ck_assert_uint_eq(ws_write_header(header, WS_BINARY, 256), 4);
    ck_assert_mem_eq(header, "\x82\x7e\x01\x00", 4);
    ck_assert_uint_eq(ws_write_header(header, WS_BINARY, 65536), 10);
    ck_assert_mem_eq(header, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    buf_release(&out);
}
END_TEST

START_TEST(test_lengths_are_written_minimally)
{
    static const struct {
        uint64_t len;
        uint32_t size;
        const char *header;
    } cases[] = {
        {0, 2, "\x82\x00"},
        {125, 2, "\x82\x7d"},
        {126, 4, "\x82\x7e\x00\x7e"},
        {65535, 4, "\x82\x7e\xff\xff"},
        {0x0102030405, 10, "\x82\x7f\x00\x00\x00\x01\x02\x03\x04\x05"},
    };
    uint8_t header[WS_SERVER_HEADER_MAX];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_uint_eq(ws_write_header(header, WS_BINARY, cases[i].len), cases[i].size);
        ck_assert_mem_eq(header, cases[i].header, cases[i].size);
    }
}
END_TEST

/* --- streams --- */

/* A frame of `len` bytes 0, 1, 2... with a key that changes with it. */
static void put_frame(struct buf *out, uint8_t first, uint32_t len)
{
    uint8_t header[WS_CLIENT_HEADER_MAX];
    uint8_t key[4] = {0x37, (uint8_t)len, 0x00, 0xff};
    uint32_t size = ws_write_header(header, WS_BINARY, len);

    header[0] = first;
    header[1] |= 0x80;
    buf_put(out, header, size);
    buf_put(out, key, sizeof(key));
    for (uint32_t i = 0; i < len; i++)
        buf_put_u8(out, (uint8_t)(i ^ key[i % 4]));
}

/* Every length around the steps of unmasking and of the length's encoding, in chunks that begin
 * anywhere in the key. */
START_TEST(test_payload_of_any_length)
{
    static const uint32_t chunks[] = {1, 2, 3, 5, 7, 8, 9, 13, 64, UINT32_MAX};
    static const uint32_t lengths[] = {0,  1,  2,  3,   4,   5,   6,   7,    8,     9,    15,
                                       16, 17, 31, 125, 126, 127, 128, 1000, 65535, 65536};
    unsigned wrong = 0; /* counted, not asserted one by one: an assertion costs a system call */

    for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
        struct buf frame = {0};

        put_frame(&frame, 0x82, lengths[l]);
        for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
            tear_down();
            set_up();
            ck_assert_int_eq(feed(frame.data, (uint32_t)frame.len, chunks[i]), 0);
            ck_assert_uint_eq(stream.len, lengths[l]);
            for (uint32_t at = 0; at < lengths[l]; at++)
                wrong += stream.data[at] != (uint8_t)at;
        }
        buf_release(&frame);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(test_control_frames_between_fragments)
{
    EXPECT("\x02\x81\x00\x00\x00\x00"
           "a"
           "\x89\x82\x00\x00\x00\x00"
           "p1"
           "\x00\x80\x00\x00\x00\x00"
           "\x00\x81\x01\x01\x01\x01"
           "c"
           "\x8a\x80\x00\x00\x00\x00"
           "\x80\x81\x00\x00\x00\x00"
           "c"
           "\x88\x82\x00\x00\x00\x00\x03\xe8",
           "abc",
           "\x09\x02p1"
           "\x0a\x00"
           "\x08\x02\x03\xe8");
}
END_TEST

START_TEST(test_message_after_a_fragmented_one)
{
    EXPECT("\x02\x81\x00\x00\x00\x00"
           "a"
           "\x80\x81\x00\x00\x00\x00"
           "b"
           "\x82\x81\x00\x00\x00\x00"
           "c",
           "abc", "");
}
END_TEST

START_TEST(test_longest_control_frame)
{
    struct buf frame = {0};

    put_frame(&frame, 0x89, 125);
    ck_assert_int_eq(feed(frame.data, (uint32_t)frame.len, 1), 0);
    ck_assert_uint_eq(controls.len, 2 + 125);
    ck_assert_uint_eq(controls.data[1 + 125], 124);
    buf_release(&frame);
}
END_TEST

START_TEST(test_pieces_lie_in_the_chunk)
{
    uint8_t bytes[] = "\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x82";
    struct ws_piece piece;

    ck_assert_int_eq(ws_decode(&decoder, bytes, 4, &piece, &fault), 4);
    ck_assert_int_eq(piece.kind, WS_PIECE_NONE);
    ck_assert_int_eq(ws_decode(&decoder, bytes + 4, 8, &piece, &fault), 7);
    ck_assert_int_eq(piece.kind, WS_PIECE_DATA);
    ck_assert(piece.last);
    ck_assert_ptr_eq(piece.data, bytes + 6);
    ck_assert_mem_eq(bytes + 6, "Hello", 5);
    ck_assert_uint_eq(bytes[11], 0x82); /* of the next frame: untouched */
}
END_TEST

/* --- what is refused --- */

START_TEST(test_first_byte)
{
    EXPECT_FAULT("\xc2", WS_PROTOCOL_ERROR); /* RSV1: compression was not agreed on */
    EXPECT_FAULT("\xa2", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x92", WS_PROTOCOL_ERROR);
    for (unsigned opcode = 0; opcode <= 0xF; opcode++) {
        bool reserved = (opcode > 2 && opcode < 8) || opcode > 0xA;
        uint8_t byte = (uint8_t)(0x80 | opcode);

        if (reserved)
            expect_fault(&byte, 1, WS_PROTOCOL_ERROR);
    }
    EXPECT_FAULT("\x80", WS_PROTOCOL_ERROR); /* continues nothing */
    EXPECT_FAULT("\x00", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x81", WS_UNSUPPORTED_DATA); /* text */
    EXPECT_FAULT("\x01", WS_UNSUPPORTED_DATA);
    EXPECT_FAULT("\x08", WS_PROTOCOL_ERROR); /* fragmented control frames */
    EXPECT_FAULT("\x09", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x0a", WS_PROTOCOL_ERROR);
}
END_TEST

START_TEST(test_message_in_a_message)
{
    EXPECT_FAULT("\x02\x81\x00\x00\x00\x00"
                 "a\x82",
                 WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x02\x80\x00\x00\x00\x00\x81", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x02\x80\x00\x00\x00\x00\x80\x80\x00\x00\x00\x00\x80", WS_PROTOCOL_ERROR);
}
END_TEST

START_TEST(test_not_masked)
{
    EXPECT_FAULT("\x82\x05", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x89\x00", WS_PROTOCOL_ERROR);
}
END_TEST

START_TEST(test_long_control_frames)
{
    EXPECT_FAULT("\x89\xfe", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x88\xff", WS_PROTOCOL_ERROR);
}
END_TEST

START_TEST(test_lengths)
{
    EXPECT_FAULT("\x82\xfe\x00\x7d", WS_PROTOCOL_ERROR); /* padded */
    EXPECT_FAULT("\x82\xfe\x00\x00", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", WS_PROTOCOL_ERROR);
    EXPECT_FAULT("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", WS_TOO_BIG);
    EXPECT_FAULT("\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00", WS_TOO_BIG);
    EXPECT_FAULT("\x82\xff\x00\x00\x00\x00\x10\x00\x00\x05", WS_TOO_BIG);
    tear_down();
    set_up();
    ck_assert_int_eq(feed("\x82\xff\x00\x00\x00\x00\x10\x00\x00\x04\x00\x00\x00\x00", 14, 1), 0);
}
END_TEST

/* --- Close --- */

static int parse_close(const char *payload, uint32_t len, uint16_t *ret_code)
{
    return ws_parse_close(bytes_of(payload, len), ret_code, &fault);
}

START_TEST(test_close)
{
    uint16_t code = 0;

    ck_assert_int_eq(parse_close("", 0, &code), 0);
    ck_assert_uint_eq(code, WS_NO_CODE);
    ck_assert_int_eq(parse_close("\x03\xe8", 2, &code), 0);
    ck_assert_uint_eq(code, WS_NORMAL);
    ck_assert_int_eq(parse_close("\x03\xe9gr\xc3\xbc\xc3\x9f", 8, &code), 0);
    ck_assert_uint_eq(code, 1001);
}
END_TEST

START_TEST(test_bad_close)
{
    uint16_t code = 4711;

    ck_assert_int_eq(parse_close("\x03", 1, &code), ERR_PROTOCOL);
    ck_assert_uint_eq(fault->code, WS_PROTOCOL_ERROR);
    ck_assert_int_eq(parse_close("\x03\xe8\xff", 3, &code), ERR_PROTOCOL);
    ck_assert_uint_eq(fault->code, WS_INVALID_DATA);
    ck_assert_uint_eq(code, 4711); /* untouched */
}
END_TEST

START_TEST(test_close_codes)
{
    static const uint16_t good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                    1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    static const uint16_t bad[] = {0,    1,    999,  1004, 1005, 1006, 1015,
                                   1016, 1100, 2000, 2999, 5000, 65535};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char payload[2] = {(char)(good[i] >> 8), (char)good[i]};
        uint16_t code = 0;

        ck_assert_int_eq(parse_close(payload, 2, &code), 0);
        ck_assert_uint_eq(code, good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char payload[2] = {(char)(bad[i] >> 8), (char)bad[i]};
        uint16_t code = 0;

        ck_assert_int_eq(parse_close(payload, 2, &code), ERR_PROTOCOL);
        ck_assert_uint_eq(fault->code, WS_PROTOCOL_ERROR);
    }
}
END_TEST

START_TEST(test_put_close)
{
    char text[200];
    struct buf out = {0};

    ws_put_close(&out, WS_NO_CODE, "");
    ck_assert_uint_eq(out.len, 2);
    ck_assert_mem_eq(out.data, "\x88\x00", 2);
    buf_clear(&out);
    ws_put_close(&out, WS_PROTOCOL_ERROR, "why");
    ck_assert_uint_eq(out.len, 7);
    ck_assert_mem_eq(out.data, "\x88\x05\x03\xeawhy", 7);
    buf_clear(&out);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ws_put_close(&out, WS_NORMAL, text);
    ck_assert_uint_eq(out.len, 2 + WS_CONTROL_MAX);
    ck_assert_uint_eq(out.data[1], WS_CONTROL_MAX);
    buf_release(&out);
}
END_TEST

static void add_tests(TCase *examples, TCase *streams, TCase *refused, TCase *close)
{
    tcase_add_test(examples, test_examples_from_a_client);
    tcase_add_test(examples, test_examples_from_a_server);
    tcase_add_test(examples, test_lengths_are_written_minimally);
    tcase_add_test(streams, test_payload_of_any_length);
    tcase_add_test(streams, test_control_frames_between_fragments);
    tcase_add_test(streams, test_message_after_a_fragmented_one);
    tcase_add_test(streams, test_longest_control_frame);
    tcase_add_test(streams, test_pieces_lie_in_the_chunk);
    tcase_add_test(refused, test_first_byte);
    tcase_add_test(refused, test_message_in_a_message);
    tcase_add_test(refused, test_not_masked);
    tcase_add_test(refused, test_long_control_frames);
    tcase_add_test(refused, test_lengths);
    tcase_add_test(close, test_close);
    tcase_add_test(close, test_bad_close);
    tcase_add_test(close, test_close_codes);
    tcase_add_test(close, test_put_close);
}

int main(void)
{
    Suite *suite = suite_create("ws_frame");
    TCase *cases[] = {tcase_create("examples"), tcase_create("streams"), tcase_create("refused"),
                      tcase_create("close")};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        tcase_add_checked_fixture(cases[i], set_up, tear_down);
        suite_add_tcase(suite, cases[i]);
    }
    add_tests(cases[0], cases[1], cases[2], cases[3]);
    return run_suite(suite);
}
