/* Tests of connector/ws_out.c: a frame for each packet, however little of it is written at once. */
#include "connector/ws_out.h"

#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/buf.h"

#include "tests/support/run_suite.h"

/* Packets of 5, 2, 131 and 2 bytes. */
#define SMALL "\x30\x03one\xC0\x00"
#define PADDING                                                                                    \
    "0123456789012345678901234567890123456789012345678901234567890123"                             \
    "0123456789012345678901234567890123456789012345678901234567890123"
#define LARGE "\x30\x80\x01" PADDING
#define LAST "\xD0\x00"

static const uint8_t packets[] = SMALL LARGE LAST;
static const uint8_t frames[] = "\x82\x05\x30\x03one\x82\x02\xC0\x00"
                                "\x82\x7E\x00\x83" LARGE "\x82\x02" LAST;
#define PACKETS_SIZE (sizeof(packets) - 1)
#define FRAMES_SIZE (sizeof(frames) - 1)

/* Puts into a buffer of exactly that room, so that a sanitizer sees a byte too many. */
static size_t put(struct ws_out out, size_t used, size_t size, size_t room, struct buf *buf)
{
    uint8_t *exact = malloc(room);
    size_t len;

    ck_assert_ptr_nonnull(exact);
    len = ws_out_put(out, packets + used, size - used, exact, room);
    ck_assert_uint_le(len, room);
    buf_clear(buf);
    buf_put(buf, exact, len);
    free(exact);
    return len;
}

/* Of each room at most `taken` bytes are written, as a socket does that is nearly full. */
static void write_all(size_t room, size_t taken)
{
    struct buf written = {0}, offered = {0};
    struct ws_out out = {0};
    size_t used = 0;

    while (used < PACKETS_SIZE) {
        size_t len = put(out, used, PACKETS_SIZE, room, &offered);

        if (len > taken)
            len = taken;
        buf_put(&written, offered.data, len);
        used += ws_out_pass(&out, packets + used, PACKETS_SIZE - used, len);
    }
    ck_assert_uint_eq(out.left, 0);
    ck_assert_uint_eq(written.len, FRAMES_SIZE);
    ck_assert(memcmp(written.data, frames, FRAMES_SIZE) == 0);
    buf_release(&written);
    buf_release(&offered);
}

START_TEST(test_in_one_go)
{
    write_all(1000, 1000);
}
END_TEST

START_TEST(test_in_pieces)
{
    for (size_t room = 1; room <= FRAMES_SIZE; room++) {
        write_all(room, 1);
        write_all(room, 2);
        write_all(room, room);
        write_all(1000, room);
    }
}
END_TEST

/* What was refused has to be offered again, with what is new behind it: from any place. */
START_TEST(test_the_same_again)
{
    struct buf less = {0}, more = {0};

    for (size_t done = 0; done < FRAMES_SIZE; done++) {
        struct ws_out out = {0};
        size_t used = ws_out_pass(&out, packets, PACKETS_SIZE, done);
        size_t small = put(out, used, used < 7 ? 7 : PACKETS_SIZE, 1000, &less);
        size_t large = put(out, used, PACKETS_SIZE, 1000, &more);

        ck_assert_uint_eq(large, FRAMES_SIZE - done);
        ck_assert_uint_le(small, large);
        ck_assert(memcmp(less.data, more.data, small) == 0);
        ck_assert(memcmp(more.data, frames + done, large) == 0);
    }
    buf_release(&less);
    buf_release(&more);
}
END_TEST

/* Cannot come from us; it still goes out. */
START_TEST(test_no_packet)
{
    static const uint8_t cut[] = "\x30\x09x";
    uint8_t buf[16];
    struct ws_out out = ws_out_begin(cut, 3);

    ck_assert_uint_eq(out.left, 3);
    ck_assert_uint_eq(ws_out_put(out, cut, 3, buf, sizeof(buf)), 5);
    ck_assert_mem_eq(buf, "\x82\x03\x30\x09x", 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ws_out");
    TCase *frames_case = tcase_create("frames");

    tcase_add_test(frames_case, test_in_one_go);
    tcase_add_test(frames_case, test_in_pieces);
    tcase_add_test(frames_case, test_the_same_again);
    tcase_add_test(frames_case, test_no_packet);
    suite_add_tcase(suite, frames_case);
    return run_suite(suite);
}
