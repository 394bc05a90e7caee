/* Tests of bench/load/websocket.c. */
#include "bench/load/websocket.h"

#include <stdlib.h>

#include "tests/support/run_suite.h"

#define ANSWER "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

static struct websocket websocket;
static struct buf taken, out;

static void set_up(void)
{
    websocket = (struct websocket){0};
}

static void tear_down(void)
{
    buf_release(&taken);
    buf_release(&out);
}

/* Feeds bytes in chunks; what is data is added to taken. Returns the last result. */
static int feed(const void *bytes, uint32_t len, uint32_t chunk)
{
    uint8_t copy[512];
    int r = 0;

    for (uint32_t at = 0; at < len && r >= 0; at += chunk) {
        uint32_t part = len - at < chunk ? len - at : chunk;

        ck_assert_uint_le(part, sizeof(copy));
        memcpy(copy, (const uint8_t *)bytes + at, part);
        r = websocket_take(&websocket, copy, part);
        if (r > 0)
            buf_put(&taken, copy, (size_t)r);
    }
    return r;
}

/* Two data frames with a Ping between, whatever pieces they come in. */
START_TEST(test_frames_in_pieces)
{
    static const char stream[] = ANSWER "\x82\x03"
                                        "abc"
                                        "\x89\x01"
                                        "p"
                                        "\x02\x7E\x00\x02"
                                        "de";
    uint32_t len = sizeof(stream) - 1;

    for (uint32_t chunk = 1; chunk <= len; chunk++) {
        set_up();
        buf_clear(&taken);
        ck_assert_int_ge(feed(stream, len, chunk), 0);
        ck_assert(websocket.upgraded);
        ck_assert(bytes_equal_string(bytes_of(taken.data, (uint32_t)taken.len), "abcde"));
    }
}
END_TEST

START_TEST(test_long_length)
{
    static const uint8_t header[] = {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0};

    ck_assert_int_eq(feed(ANSWER, sizeof(ANSWER) - 1, 512), 0);
    ck_assert_int_eq(feed(header, sizeof(header), 512), 0);
    ck_assert_uint_eq(websocket.left, 65536);
}
END_TEST

START_TEST(test_refused)
{
    ck_assert_int_eq(feed("HTTP/1.1 400 Bad Request", 24, 5), ERR_PROTOCOL);
}
END_TEST

START_TEST(test_close_and_masked)
{
    ck_assert_int_eq(feed(ANSWER, sizeof(ANSWER) - 1, 512), 0);
    ck_assert_int_eq(feed("\x88\x00", 2, 2), ERR_CLOSED);
    set_up();
    ck_assert_int_eq(feed(ANSWER, sizeof(ANSWER) - 1, 512), 0);
    ck_assert_int_eq(feed("\x82\x81", 2, 2), ERR_PROTOCOL);
}
END_TEST

/* An answer without end. */
START_TEST(test_endless_answer)
{
    int r = feed("HTTP/1.1 101 ", 13, 13);

    for (unsigned i = 0; i < 5000 && r == 0; i++)
        r = feed("x", 1, 1);
    ck_assert_int_eq(r, ERR_PROTOCOL);
}
END_TEST

START_TEST(test_frame)
{
    static const struct {
        size_t len, header;
        uint8_t length;
    } cases[] = {{1, 6, 0x81}, {125, 6, 0xFD}, {126, 8, 0xFE}, {65535, 8, 0xFE}, {65536, 14, 0xFF}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&out);
        buf_put(&out, "before", 6);
        for (size_t at = 0; at < cases[i].len; at++)
            buf_put_u8(&out, (uint8_t)at);
        websocket_frame(&out, 6);
        ck_assert(buf_ok(&out));
        ck_assert_uint_eq(out.len, 6 + cases[i].header + cases[i].len);
        ck_assert_int_eq(memcmp(out.data, "before\x82", 7), 0);
        ck_assert_uint_eq(out.data[7], cases[i].length);
        for (unsigned at = 1; at <= 4; at++) /* the masking key */
            ck_assert_uint_eq(out.data[6 + cases[i].header - at], 0);
        for (size_t at = 0; at < cases[i].len; at++)
            ck_assert_uint_eq(out.data[6 + cases[i].header + at], (uint8_t)at);
    }
    ck_assert_int_eq(memcmp(out.data + 8, "\0\0\0\0\0\1\0\0", 8), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("websocket");
    TCase *taking = tcase_create("taking"), *framing = tcase_create("framing");

    tcase_add_checked_fixture(taking, set_up, tear_down);
    tcase_add_test(taking, test_frames_in_pieces);
    tcase_add_test(taking, test_long_length);
    tcase_add_test(taking, test_refused);
    tcase_add_test(taking, test_close_and_masked);
    tcase_add_test(taking, test_endless_answer);
    tcase_add_checked_fixture(framing, set_up, tear_down);
    tcase_add_test(framing, test_frame);
    suite_add_tcase(suite, taking);
    suite_add_tcase(suite, framing);
    return run_suite(suite);
}
