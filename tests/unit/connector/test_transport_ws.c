/* Tests of connector/transport_ws.c, over a fake transport. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/auto.h"

#include "connector/connector.h"
#include "connector/transport_ws.h"
#include "connector/ws_frame.h"
#include "connector/ws_upgrade.h"

#include "fake_transport.h"
#include "tests/support/run_suite.h"

#define REQUEST                                                                                    \
    "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"               \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"                 \
    "Sec-WebSocket-Protocol: mqtt\r\n\r\n"

static const struct ws_policy policy = {.path = "/mqtt"};
static struct metrics metrics;
static struct transport transport;

static void set_up(void)
{
    fake_transport_init(&transport);
    metrics = (struct metrics){0};
    ck_assert_int_eq(transport_ws_stack(&transport, &policy, &metrics), 0);
    ck_assert_int_eq(transport.fd, FAKE_FD);
}

static void tear_down(void)
{
    if (fake.closes == 0)
        transport.ops->close(&transport);
    ck_assert_uint_eq(fake.closes, 1);
    fake_transport_fini();
}

/* --- the client's side --- */

static void put_text(const char *text)
{
    buf_put(&fake.input, text, strlen(text));
}

static void put_frame(uint8_t first, const void *payload, uint32_t len)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t header[WS_CLIENT_HEADER_MAX];
    uint32_t size = ws_write_header(header, WS_BINARY, len);

    header[0] = first;
    header[1] |= 0x80;
    buf_put(&fake.input, header, size);
    buf_put(&fake.input, key, sizeof(key));
    for (uint32_t i = 0; i < len; i++)
        buf_put_u8(&fake.input, ((const uint8_t *)payload)[i] ^ key[i % 4]);
}

static ssize_t read_some(char *buf, size_t size)
{
    return transport.ops->read(&transport, buf, size);
}

/* Reads until the transport says something other than bytes; returns that. */
static ssize_t read_all(struct buf *ret_stream)
{
    char buf[1000];
    ssize_t n;
    unsigned silent = 0;

    /* AGAIN is no end while the fake has bytes: what was read was not for the stream */
    do {
        n = read_some(buf, sizeof(buf));
        if (n > 0)
            buf_put(ret_stream, buf, (size_t)n);
        silent = n == ERR_AGAIN && fake.read_at == fake.input.len ? silent + 1 : 0;
    } while (n > 0 || (n == ERR_AGAIN && silent < 2));
    return n;
}

static void expect_stream(const char *expected, ssize_t end)
{
    struct buf stream = {0};

    ck_assert_int_eq(read_all(&stream), end);
    ck_assert_uint_eq(stream.len, strlen(expected));
    ck_assert(stream.len == 0 || memcmp(stream.data, expected, stream.len) == 0);
    buf_release(&stream);
}

static void expect_output(const void *expected, size_t len)
{
    ck_assert_uint_eq(fake.output.len, len);
    ck_assert(len == 0 || memcmp(fake.output.data, expected, len) == 0);
    buf_clear(&fake.output);
}

#define EXPECT_OUTPUT(literal) expect_output(literal, sizeof(literal) - 1)

static void upgrade(void)
{
    put_text(REQUEST);
    expect_stream("", ERR_AGAIN);
    ck_assert_uint_gt(fake.output.len, 13);
    ck_assert_mem_eq(fake.output.data, "HTTP/1.1 101 ", 13);
    ck_assert_mem_eq(fake.output.data + fake.output.len - 4, "\r\n\r\n", 4);
    buf_clear(&fake.output);
    fake.writes = 0;
}

static ssize_t write_text(const char *text)
{
    return transport.ops->write(&transport, text, strlen(text));
}

static const char *explanation(void)
{
    static char text[200];

    transport.ops->explain(&transport, text, sizeof(text));
    return text;
}

/* --- handshake --- */

START_TEST(test_upgrade)
{
    ck_assert_str_eq(explanation(), "the WebSocket request is not complete");
    upgrade();
    ck_assert_str_eq(explanation(), "");
    ck_assert_uint_eq(metrics.ws_opened, 1);
}
END_TEST

START_TEST(test_frames_right_behind_the_request)
{
    put_text(REQUEST);
    put_frame(0x82, "hello", 5);
    expect_stream("hello", ERR_AGAIN);
    ck_assert_mem_eq(fake.output.data, "HTTP/1.1 101 ", 13);
}
END_TEST

START_TEST(test_refused_request)
{
    put_text("GET /chat HTTP/1.1\r\nHost: x\r\n");
    expect_stream("", ERR_PROTOCOL);
    ck_assert_mem_eq(fake.output.data, "HTTP/1.1 404 ", 13);
    ck_assert_str_eq(explanation(), "WebSocket request: expected the path /mqtt");
    ck_assert_uint_eq(metrics.ws_refused, 1);
    ck_assert_uint_eq(metrics.ws_opened, 0);
    buf_clear(&fake.output);
    put_text("Upgrade: websocket\r\n\r\n"); /* what still comes is thrown away */
    expect_stream("", ERR_AGAIN);
    ck_assert_int_eq(transport.ops->finish(&transport), 0);
    ck_assert_uint_eq(fake.finishes, 1);
    EXPECT_OUTPUT(""); /* no Close frame: there is no WebSocket */
    fake.ended = true;
    expect_stream("", ERR_CLOSED);
}
END_TEST

START_TEST(test_answer_waits_for_room)
{
    put_text(REQUEST);
    fake.allowed = 0;
    expect_stream("", ERR_AGAIN);
    ck_assert_uint_eq(transport.ops->want(&transport, true, false), EPOLLIN | EPOLLOUT);
    fake.allowed = 20;
    expect_stream("", ERR_AGAIN);
    ck_assert_uint_eq(fake.output.len, 20);
    fake.allowed = SIZE_MAX;
    ck_assert_uint_eq(transport.ops->ready(&transport, EPOLLOUT), EPOLLIN | EPOLLOUT);
    expect_stream("", ERR_AGAIN);
    ck_assert_mem_eq(fake.output.data + fake.output.len - 4, "\r\n\r\n", 4);
    ck_assert_uint_eq(transport.ops->want(&transport, true, false), EPOLLIN);
}
END_TEST

/* --- reading --- */

static void put_stream(void)
{
    put_text(REQUEST);
    put_frame(0x82, "one two", 7); /* several packets in a frame */
    put_frame(0x02, " th", 3);     /* a packet over several */
    put_frame(0x89, "p", 1);
    put_frame(0x00, "", 0);
    put_frame(0x8A, "", 0);
    put_frame(0x80, "ree", 3);
    put_frame(0x82, "", 0);
}

START_TEST(test_stream)
{
    put_stream();
    fake.read_limit = (size_t)_i;
    expect_stream("one two three", ERR_AGAIN);
    ck_assert_mem_eq(fake.output.data + fake.output.len - 3, "\x8A\x01p", 3);
}
END_TEST

START_TEST(test_small_buffers)
{
    struct buf stream = {0};
    char byte;

    put_stream();
    while (fake.read_at < fake.input.len) {
        if (read_some(&byte, 1) == 1)
            buf_put_u8(&stream, (uint8_t)byte);
    }
    ck_assert_uint_eq(stream.len, 13);
    ck_assert_mem_eq(stream.data, "one two three", 13);
    buf_release(&stream);
}
END_TEST

START_TEST(test_end_of_the_stream)
{
    upgrade();
    put_frame(0x82, "x", 1);
    fake.ended = true;
    expect_stream("x", ERR_CLOSED);
}
END_TEST

/* --- writing --- */

/* Packets of 5, 2, 2 and 6 bytes. */
#define ONE "\x30\x03one"
#define FOUR                                                                                       \
    "\x30\x04"                                                                                     \
    "four"
#define PACKETS ONE "\xC0\x00\xD0\x00" FOUR
#define FRAMES "\x82\x05" ONE "\x82\x02\xC0\x00\x82\x02\xD0\x00\x82\x06" FOUR

START_TEST(test_a_frame_a_packet)
{
    upgrade();
    ck_assert_int_eq(transport.ops->write(&transport, PACKETS, sizeof(PACKETS) - 1),
                     sizeof(PACKETS) - 1);
    EXPECT_OUTPUT(FRAMES);
    ck_assert_uint_eq(fake.writes, 1);
}
END_TEST

/* Room comes in small pieces, and the owner has more to say each time. */
START_TEST(test_frames_stay_whole)
{
    size_t sent = 0, waiting = 7;

    upgrade();
    while (sent < sizeof(PACKETS) - 1) {
        ssize_t n;

        if (waiting == sent)
            waiting = sizeof(PACKETS) - 1;
        fake.allowed = 0;
        ck_assert_int_eq(transport.ops->write(&transport, PACKETS + sent, waiting - sent),
                         ERR_AGAIN);
        if (waiting < sizeof(PACKETS) - 1)
            waiting += 2; /* both first packets, three, four */
        if (waiting > 9)
            waiting = sizeof(PACKETS) - 1;
        fake.allowed = (size_t)_i;
        n = transport.ops->write(&transport, PACKETS + sent, waiting - sent);
        ck_assert(n > 0 || n == ERR_AGAIN);
        if (n > 0)
            sent += (size_t)n;
    }
    EXPECT_OUTPUT(FRAMES);
}
END_TEST

/* A packet of len bytes in all, with a length of three bytes. Owned by the caller. */
static char *large_packet(uint32_t len)
{
    char *packet = malloc(len);
    uint32_t rest = len - 4;

    ck_assert_ptr_nonnull(packet);
    for (uint32_t i = 0; i < len; i++)
        packet[i] = (char)(i * 7);
    packet[0] = 0x30;
    packet[1] = (char)(0x80 | (rest & 0x7F));
    packet[2] = (char)(0x80 | (rest >> 7 & 0x7F));
    packet[3] = (char)(rest >> 14);
    return packet;
}

START_TEST(test_large_packet)
{
    const uint32_t len = 100000;
    AUTO_FREE char *packet = large_packet(len);
    uint32_t sent = 0;

    upgrade();
    fake.allowed = (size_t)_i;
    while (sent < len) {
        ssize_t n = transport.ops->write(&transport, packet + sent, len - sent);

        ck_assert(n > 0 || n == ERR_AGAIN);
        sent += n > 0 ? (uint32_t)n : 0;
        if (n == ERR_AGAIN)
            fake.allowed = SIZE_MAX;
    }
    /* what is joined with the header, and the rest in one go; cut once more by the fake */
    ck_assert_uint_le(fake.writes, 4);
    ck_assert_uint_eq(fake.output.len, 10 + len);
    ck_assert_mem_eq(fake.output.data, "\x82\x7f\x00\x00\x00\x00\x00\x01\x86\xa0", 10);
    ck_assert(memcmp(fake.output.data + 10, packet, len) == 0);
}
END_TEST

START_TEST(test_packets_behind_a_large_one)
{
    const uint32_t len = 20000;
    AUTO_FREE char *packet = large_packet(len);
    AUTO_FREE char *data = malloc(len + sizeof(PACKETS));
    uint32_t sent = 0, all = len + (uint32_t)sizeof(PACKETS) - 1;

    ck_assert_ptr_nonnull(data);
    memcpy(data, packet, len);
    memcpy(data + len, PACKETS, sizeof(PACKETS));
    upgrade();
    while (sent < all) {
        ssize_t n = transport.ops->write(&transport, data + sent, all - sent);

        ck_assert_int_gt(n, 0);
        sent += (uint32_t)n;
    }
    ck_assert_uint_eq(fake.writes, 2);
    ck_assert_uint_eq(fake.output.len, 4 + len + sizeof(FRAMES) - 1);
    ck_assert_mem_eq(fake.output.data, "\x82\x7e\x4e\x20", 4);
    ck_assert(memcmp(fake.output.data + 4, packet, len) == 0);
    ck_assert(memcmp(fake.output.data + 4 + len, FRAMES, sizeof(FRAMES) - 1) == 0);
}
END_TEST

/* --- Ping --- */

START_TEST(test_ping)
{
    upgrade();
    put_frame(0x89, "are you there", 13);
    put_frame(0x89, "", 0);
    put_frame(0x8A, "unasked", 7); /* section 5.5.3: no answer to it */
    fake.read_limit = 6 + 13;      /* a frame a read */
    expect_stream("", ERR_AGAIN);
    EXPECT_OUTPUT("\x8A\x0D"
                  "are you there"
                  "\x8A\x00");
}
END_TEST

START_TEST(test_ping_in_parts)
{
    char payload[WS_CONTROL_MAX];

    memset(payload, 'p', sizeof(payload));
    upgrade();
    put_frame(0x89, payload, sizeof(payload));
    put_frame(0x82, "x", 1);
    fake.read_limit = 1;
    expect_stream("x", ERR_AGAIN);
    ck_assert_uint_eq(fake.output.len, 2 + sizeof(payload));
    ck_assert_mem_eq(fake.output.data + 2, payload, sizeof(payload));
}
END_TEST

START_TEST(test_only_the_newest_ping_is_owed)
{
    upgrade();
    fake.allowed = 0;
    put_frame(0x89, "first", 5);
    expect_stream("", ERR_AGAIN); /* offered, so it has to be finished */
    for (unsigned i = 0; i < 1000; i++)
        put_frame(0x89, "other", 5);
    put_frame(0x89, "newest", 6);
    expect_stream("", ERR_AGAIN);
    ck_assert_uint_eq(transport.ops->want(&transport, true, false), EPOLLIN | EPOLLOUT);
    fake.allowed = SIZE_MAX;
    expect_stream("", ERR_AGAIN);
    EXPECT_OUTPUT("\x8A\x05"
                  "first"
                  "\x8A\x06newest");
    ck_assert_uint_eq(transport.ops->want(&transport, true, false), EPOLLIN);
}
END_TEST

START_TEST(test_pong_waits_for_the_end_of_a_frame)
{
    upgrade();
    fake.allowed = 4;
    ck_assert_int_eq(write_text("hello"), 2);
    put_frame(0x89, "p", 1);
    fake.allowed = SIZE_MAX;
    expect_stream("", ERR_AGAIN);
    /* the owner still waits for room and writes; nothing to wake it for besides */
    ck_assert_uint_eq(transport.ops->want(&transport, true, false), EPOLLIN);
    ck_assert_int_eq(write_text("llo"), 3);
    EXPECT_OUTPUT("\x82\x05hello"
                  "\x8A\x01p");
}
END_TEST

START_TEST(test_pong_of_a_connection_that_is_not_read)
{
    upgrade();
    fake.allowed = 0;
    put_frame(0x89, "p", 1);
    expect_stream("", ERR_AGAIN);
    ck_assert_uint_eq(transport.ops->want(&transport, false, false), 0);
    fake.allowed = SIZE_MAX;
    ck_assert_int_eq(write_text("x"), 1);
    EXPECT_OUTPUT("\x8A\x01p\x82\x01x");
}
END_TEST

/* --- Close --- */

START_TEST(test_client_closes)
{
    char buf[10];

    upgrade();
    put_frame(0x82, "last", 4);
    put_frame(0x88, "\x03\xE9gone", 6);
    put_frame(0x82, "not read", 8);
    ck_assert_int_eq(read_some(buf, sizeof(buf)), 4);
    ck_assert_int_eq(read_some(buf, sizeof(buf)), ERR_AGAIN);
    expect_stream("", ERR_CLOSED);
    ck_assert(transport.ops->pending(&transport));
    EXPECT_OUTPUT("\x88\x02\x03\xE9");
    ck_assert_int_eq(write_text("x"), ERR_IO);
    ck_assert_int_eq(transport.ops->finish(&transport), 0);
    EXPECT_OUTPUT("");
    ck_assert_uint_eq(fake.finishes, 1);
}
END_TEST

START_TEST(test_data_and_close_in_one_read)
{
    char buf[100];

    upgrade();
    put_frame(0x82, "last", 4);
    put_frame(0x88, "", 0);
    ck_assert_int_eq(read_some(buf, sizeof(buf)), 4);
    ck_assert(transport.ops->pending(&transport)); /* epoll has nothing more to say */
    ck_assert_int_eq(read_some(buf, sizeof(buf)), ERR_CLOSED);
    EXPECT_OUTPUT("\x88\x00"); /* no code: none is echoed */
}
END_TEST

START_TEST(test_server_finishes)
{
    char buf[10];

    upgrade();
    ck_assert_int_eq(write_text("bye"), 3);
    ck_assert_int_eq(transport.ops->finish(&transport), 0);
    EXPECT_OUTPUT("\x82\x03"
                  "bye"
                  "\x88\x02\x03\xE8");
    ck_assert_uint_eq(fake.finishes, 1);
    put_frame(0x89, "p", 1); /* nothing follows a Close frame */
    expect_stream("", ERR_AGAIN);
    put_frame(0x82, "late", 4);
    ck_assert_int_eq(read_some(buf, sizeof(buf)), 4);
    put_frame(0x88, "\x03\xE8", 2);
    expect_stream("", ERR_CLOSED);
    EXPECT_OUTPUT("");
}
END_TEST

START_TEST(test_finish_waits_for_room)
{
    upgrade();
    fake.allowed = 1;
    ck_assert_int_eq(transport.ops->finish(&transport), ERR_AGAIN);
    ck_assert_uint_eq(fake.finishes, 0);
    fake.allowed = SIZE_MAX;
    ck_assert_int_eq(transport.ops->finish(&transport), 0);
    ck_assert_uint_eq(fake.finishes, 1);
    EXPECT_OUTPUT("\x88\x02\x03\xE8");
}
END_TEST

START_TEST(test_close_without_finish)
{
    upgrade();
    fake.allowed = 0;
    put_frame(0x89, "", 0);
    expect_stream("", ERR_AGAIN);
    if (_i == 1)
        transport.ops->going_away(&transport); /* the Pong does not take the Close along */
    fake.allowed = SIZE_MAX;
    ck_assert_int_eq(write_text("hi"), 2);
    transport.ops->close(&transport);
    expect_output(_i == 1 ? "\x8A\0\x82\2hi\x88\2\3\xE9" : "\x8A\0\x82\2hi\x88\2\3\xE8", 10);
}
END_TEST

static void expect_fault(uint16_t code, const char *why)
{
    expect_stream("good", ERR_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(explanation(), why));
    EXPECT_OUTPUT("");
    put_frame(0x82, "thrown away", 11);
    expect_stream("", ERR_AGAIN);
    ck_assert_int_eq(transport.ops->finish(&transport), 0);
    ck_assert_uint_gt(fake.output.len, 4);
    ck_assert_uint_eq(fake.output.data[0], 0x88);
    ck_assert_uint_eq((unsigned)fake.output.data[2] << 8 | fake.output.data[3], code);
    ck_assert_ptr_nonnull(memmem(fake.output.data, fake.output.len, why, strlen(why)));
    fake.ended = true;
    expect_stream("", ERR_CLOSED);
}

START_TEST(test_broken_rules)
{
    static const struct {
        uint8_t first;
        const char *payload;
        uint32_t len;
        uint16_t code;
        const char *why;
    } cases[] = {
        {0x81, "text", 4, WS_UNSUPPORTED_DATA, "MQTT is binary"},
        {0xC2, "compressed", 10, WS_PROTOCOL_ERROR, "reserved bit"},
        {0x09, "fragment", 8, WS_PROTOCOL_ERROR, "control frame is fragmented"},
        {0x88, "\x03", 1, WS_PROTOCOL_ERROR, "half a code"},
        {0x88, "\x03\xED", 2, WS_PROTOCOL_ERROR, "code"},
        {0x88, "\x03\xE8\xFF", 3, WS_INVALID_DATA, "UTF-8"},
    };

    upgrade();
    put_frame(0x82, "good", 4);
    put_frame(cases[_i].first, cases[_i].payload, cases[_i].len);
    put_frame(0x82, "not read", 8);
    expect_fault(cases[_i].code, cases[_i].why);
}
END_TEST

START_TEST(test_unmasked_frame)
{
    upgrade();
    put_frame(0x82, "good", 4);
    put_text("\x82\x03"
             "bad");
    fake.read_limit = 1;
    expect_fault(WS_PROTOCOL_ERROR, "not masked");
}
END_TEST

static void add_tests(TCase *handshake, TCase *streams, TCase *pings, TCase *ends)
{
    tcase_add_test(handshake, test_upgrade);
    tcase_add_test(handshake, test_frames_right_behind_the_request);
    tcase_add_test(handshake, test_refused_request);
    tcase_add_test(handshake, test_answer_waits_for_room);
    tcase_add_loop_test(streams, test_stream, 1, 40);
    tcase_add_test(streams, test_small_buffers);
    tcase_add_test(streams, test_end_of_the_stream);
    tcase_add_test(streams, test_a_frame_a_packet);
    tcase_add_loop_test(streams, test_frames_stay_whole, 1, 24);
    tcase_add_loop_test(streams, test_large_packet, 1, 24);
    tcase_add_test(streams, test_packets_behind_a_large_one);
    tcase_add_test(pings, test_ping);
    tcase_add_test(pings, test_ping_in_parts);
    tcase_add_test(pings, test_only_the_newest_ping_is_owed);
    tcase_add_test(pings, test_pong_waits_for_the_end_of_a_frame);
    tcase_add_test(pings, test_pong_of_a_connection_that_is_not_read);
    tcase_add_test(ends, test_client_closes);
    tcase_add_test(ends, test_data_and_close_in_one_read);
    tcase_add_test(ends, test_server_finishes);
    tcase_add_test(ends, test_finish_waits_for_room);
    tcase_add_loop_test(ends, test_close_without_finish, 0, 2);
    tcase_add_loop_test(ends, test_broken_rules, 0, 6);
    tcase_add_test(ends, test_unmasked_frame);
}

int main(void)
{
    Suite *suite = suite_create("transport_ws");
    TCase *cases[] = {tcase_create("handshake"), tcase_create("streams"), tcase_create("pings"),
                      tcase_create("ends")};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        tcase_add_checked_fixture(cases[i], set_up, tear_down);
        suite_add_tcase(suite, cases[i]);
    }
    add_tests(cases[0], cases[1], cases[2], cases[3]);
    return run_suite(suite);
}
