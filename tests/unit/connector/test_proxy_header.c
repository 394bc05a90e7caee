/* Tests of connector/proxy_header.c and transport_proxy.c: what a header says, what is none, and
 * that not one byte of the client's own is taken. */
#include "connector/proxy_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/buf.h"

#include "connector/transport_proxy.h"

#include "tests/support/run_suite.h"

#define LOCAL 0x20
#define PROXY 0x21
#define IPV4 "\xC0\x00\x02\x01\xC6\x33\x64\x02\x9C\x40\x22\xB3"

static struct buf stream;
static size_t taken;     /* of stream */
static size_t read_most; /* bytes of one read */
static int end;          /* what a read returns when nothing is there any more */
static bool closed;

static ssize_t below_read(struct transport *t, void *out, size_t size)
{
    size_t n = stream.len - taken;

    (void)t;
    if (n == 0)
        return end;
    n = n < size ? n : size;
    n = n < read_most ? n : read_most;
    memcpy(out, stream.data + taken, n);
    taken += n;
    return (ssize_t)n;
}

static void below_close(struct transport *t)
{
    (void)t;
    closed = true;
}

static const struct transport_ops below_ops = {.read = below_read, .close = below_close};
static struct transport transport;
static struct peer_address peer;

static void set_up(void)
{
    stream = (struct buf){0};
    taken = 0;
    read_most = SIZE_MAX;
    end = ERR_AGAIN;
    closed = false;
    peer = (struct peer_address){.family = AF_INET, .octets = {127, 0, 0, 1}, .port = 7};
    transport = (struct transport){.ops = &below_ops, .fd = 5};
    ck_assert_int_eq(transport_proxy_stack(&transport, &peer), 0);
}

static void tear_down(void)
{
    transport.ops->close(&transport);
    ck_assert(closed && transport.ops == &below_ops);
    buf_release(&stream);
}

/* A header with its length as given, and so many bytes of rest. */
static void put(uint8_t command, uint8_t family, const void *rest, uint16_t rest_len, uint16_t len)
{
    buf_put(&stream, "\r\n\r\n\0\r\nQUIT\n", 12);
    buf_put_u8(&stream, command);
    buf_put_u8(&stream, family);
    buf_put_be16(&stream, len);
    buf_put(&stream, rest, rest_len);
}

static void put_ipv4(void)
{
    put(PROXY, 0x11, IPV4, 12, 12);
}

static int parse(struct proxy_header *header, const char **why)
{
    return proxy_header_parse(bytes_of(stream.data, (uint32_t)stream.len), header, why);
}

static void expect_refused(const char *words)
{
    struct proxy_header header;
    const char *why = NULL;

    ck_assert_int_eq(parse(&header, &why), ERR_PROTOCOL);
    ck_assert_msg(strstr(why, words) != NULL, "%s", why);
    buf_clear(&stream);
}

/* A header of that size, without an address. */
static void expect_none(uint32_t size)
{
    struct proxy_header header;
    const char *why = NULL;

    ck_assert_msg(parse(&header, &why) == 1, "%s", why);
    ck_assert_uint_eq(header.size, size);
    ck_assert_uint_eq(header.peer.family, 0);
    buf_clear(&stream);
}

START_TEST(test_addresses)
{
    static const uint8_t v6[36] = {0x20, 0x01, 0x0D, 0xB8, [15] = 9, [32] = 0x12, 0x34};
    struct proxy_header header;
    const char *why;

    put_ipv4();
    buf_put(&stream, "MQTT", 4);
    ck_assert_int_eq(parse(&header, &why), 1);
    ck_assert_uint_eq(header.size, 28);
    ck_assert_uint_eq(header.peer.family, AF_INET);
    ck_assert_int_eq(memcmp(header.peer.octets, "\xC0\x00\x02\x01", 4), 0);
    ck_assert_uint_eq(header.peer.port, 40000);
    buf_clear(&stream);
    put(PROXY, 0x21, v6, 36, 100);
    ck_assert_int_eq(parse(&header, &why), 1);
    ck_assert_uint_eq(header.size, 116);
    ck_assert_uint_eq(header.peer.family, AF_INET6);
    ck_assert_int_eq(memcmp(header.peer.octets, v6, 16), 0);
    ck_assert_uint_eq(header.peer.port, 0x1234);
}
END_TEST

START_TEST(test_no_address)
{
    static const uint8_t paths[216] = {0};

    put(LOCAL, 0, NULL, 0, 0);
    expect_none(16);
    put(LOCAL, 0x11, IPV4, 12, 12);
    expect_none(28);
    put(LOCAL, 0x11, NULL, 0, 3); /* its addresses are not looked at */
    expect_none(19);
    put(PROXY, 0, "abc", 3, 3);
    expect_none(19);
    put(PROXY, 0x12, IPV4, 12, 12);
    expect_none(28);
    put(PROXY, 0x31, paths, 216, 216);
    expect_none(232);
}
END_TEST

START_TEST(test_refused)
{
    buf_put(&stream, "\r\n\rX", 4); /* at the first wrong byte */
    expect_refused("there is none");
    buf_put(&stream, "\x16\x03\x01", 3);
    expect_refused("there is none");
    buf_put(&stream, "PROXY TCP4 ", 11);
    expect_refused("version 1");
    put(0x11, 0x11, IPV4, 12, 12);
    expect_refused("version is unknown");
    put(0x22, 0x11, IPV4, 12, 12);
    expect_refused("command is unknown");
    put(PROXY, 0x41, IPV4, 12, 12);
    expect_refused("family is unknown");
    put(PROXY, 0x13, IPV4, 12, 12);
    expect_refused("family is unknown");
    put(PROXY, 0x11, IPV4, 11, 11);
    expect_refused("too short");
    put(PROXY, 0x31, IPV4, 12, 215);
    expect_refused("too short");
    put(PROXY, 0x11, IPV4, 12, PROXY_HEADER_MAX - PROXY_PREFIX_BYTES + 1);
    expect_refused("too long");
}
END_TEST

START_TEST(test_incomplete)
{
    struct proxy_header header;
    const char *why = NULL;

    put_ipv4();
    for (uint32_t len = 0; len < 28; len++) {
        struct bytes part = bytes_of(stream.data, len);

        ck_assert_int_eq(proxy_header_parse(part, &header, &why), 0);
        ck_assert_uint_eq(proxy_header_needs(part), len < 16 ? 16 : 28);
    }
}
END_TEST

static uint8_t out[64];

static ssize_t read_out(void)
{
    return transport.ops->read(&transport, out, sizeof(out));
}

START_TEST(test_layer_steps_aside)
{
    read_most = _i == 0 ? SIZE_MAX : 1;
    put(PROXY, 0x11, IPV4 "\x04\x00\x02zz", 17, 17);
    buf_put(&stream, "MQTT", 4);
    ck_assert_int_eq(transport.fd, 5);
    ck_assert_int_eq(read_out(), _i == 0 ? 4 : 1);
    ck_assert_uint_eq(out[0], 'M');
    ck_assert_ptr_eq(transport.ops, &below_ops);
    ck_assert_uint_eq(peer.port, 40000);
    ck_assert_uint_eq(peer.octets[0], 0xC0);
}
END_TEST

/* Whatever the stream is cut into, and how often there is nothing. */
START_TEST(test_layer_with_pauses)
{
    struct buf whole = {0};
    ssize_t n = 0;

    put(PROXY, 0x11, IPV4, 12, 1000);
    for (unsigned i = 0; i < 1000 - 12; i++)
        buf_put_u8(&stream, 'x');
    buf_put(&stream, "MQTT", 4);
    whole = stream;
    for (stream.len = 0; n <= 0; stream.len++) {
        ck_assert_uint_le(stream.len, whole.len);
        n = read_out();
        ck_assert(n == ERR_AGAIN || n > 0);
    }
    ck_assert_uint_eq(taken, 16 + 1000 + 1);
    ck_assert_uint_eq(out[0], 'M');
    stream.len = whole.len;
}
END_TEST

START_TEST(test_layer_local)
{
    put(LOCAL, 0, NULL, 0, 0);
    buf_put(&stream, "MQTT", 4);
    ck_assert_int_eq(read_out(), 4);
    ck_assert_uint_eq(peer.port, 7);
}
END_TEST

START_TEST(test_layer_refuses)
{
    char text[96];

    transport.ops->explain(&transport, text, sizeof(text));
    ck_assert_str_eq(text, "PROXY header: it is not complete");
    buf_put(&stream, "\x10\x0E\x00\x04MQTT", 8);
    ck_assert_int_eq(read_out(), ERR_PROTOCOL);
    transport.ops->explain(&transport, text, sizeof(text));
    ck_assert_str_eq(text, "PROXY header: there is none");
    buf_put(&stream, "more", 4);
    ck_assert_int_eq(read_out(), ERR_AGAIN); /* thrown away */
    ck_assert_uint_eq(taken, stream.len);
    end = ERR_CLOSED;
    ck_assert_int_eq(read_out(), ERR_CLOSED);
    ck_assert_uint_eq(peer.port, 7);
}
END_TEST

START_TEST(test_layer_ends)
{
    put(PROXY, 0x11, IPV4, 7, 12);
    ck_assert_int_eq(read_out(), ERR_AGAIN);
    end = ERR_CLOSED;
    ck_assert_int_eq(read_out(), ERR_CLOSED);
    ck_assert_uint_eq(peer.port, 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy_header");
    TCase *parser = tcase_create("parser"), *layer = tcase_create("layer");

    tcase_add_checked_fixture(parser, set_up, tear_down);
    tcase_add_checked_fixture(layer, set_up, tear_down);
    tcase_add_test(parser, test_addresses);
    tcase_add_test(parser, test_no_address);
    tcase_add_test(parser, test_refused);
    tcase_add_test(parser, test_incomplete);
    tcase_add_loop_test(layer, test_layer_steps_aside, 0, 2);
    tcase_add_test(layer, test_layer_with_pauses);
    tcase_add_test(layer, test_layer_local);
    tcase_add_test(layer, test_layer_refuses);
    tcase_add_test(layer, test_layer_ends);
    suite_add_tcase(suite, parser);
    suite_add_tcase(suite, layer);
    return run_suite(suite);
}
