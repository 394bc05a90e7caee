/* Tests of bench/load/packet.c: what servers send, byte by byte, and what it encodes. */
#include "bench/load/packet.h"

#include "tests/support/run_suite.h"

#define BYTES(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct packet packet;
static struct buf out;

static void set_up(void)
{
    packet = (struct packet){0};
}

static void tear_down(void)
{
    buf_release(&out);
}

static void parse(struct bytes data, enum packet_level level)
{
    for (uint32_t len = 0; len < data.len; len++)
        ck_assert_int_eq(packet_parse(bytes_of(data.data, len), level, &packet), 0);
    ck_assert_int_eq(packet_parse(data, level, &packet), 1);
    ck_assert_uint_eq(packet.size, data.len);
}

START_TEST(test_connack)
{
    parse(BYTES(0x20, 2, 1, 0), PACKET_LEVEL_311);
    ck_assert(packet.type == PACKET_CONNACK && packet.session && packet.reason == 0);
    ck_assert_uint_eq(packet.receive_max, UINT16_MAX);
    /* Server Keep Alive, a user property, then Receive Maximum 300 */
    parse(BYTES(0x20, 16, 0, 0x87, 13, 0x13, 0, 60, 0x26, 0, 1, 'a', 0, 1, 'b', 0x21, 1, 44),
          PACKET_LEVEL_5);
    ck_assert(!packet.session && packet.reason == 0x87 && packet.receive_max == 300);
}
END_TEST

START_TEST(test_publish)
{
    parse(BYTES(0x32, 8, 0, 1, 't', 0, 7, 'a', 'b', 'c'), PACKET_LEVEL_311);
    ck_assert(packet.type == PACKET_PUBLISH && packet.qos == 1 && packet.id == 7 && !packet.dup);
    ck_assert(bytes_equal_string(packet.topic, "t") && bytes_equal_string(packet.payload, "abc"));
    parse(BYTES(0x3A, 8, 0, 1, 't', 1, 0, 2, 1, 1), PACKET_LEVEL_5);
    ck_assert(packet.dup && packet.id == 256 && packet.payload.len == 0);
    parse(BYTES(0x30, 4, 0, 1, 't', 'x'), PACKET_LEVEL_311);
    ck_assert(packet.qos == 0 && packet.id == 0 && bytes_equal_string(packet.payload, "x"));
}
END_TEST

START_TEST(test_acknowledgements)
{
    parse(BYTES(0x40, 2, 0, 9), PACKET_LEVEL_5);
    ck_assert(packet.type == PACKET_PUBACK && packet.id == 9 && packet.reason == 0);
    parse(BYTES(0x40, 3, 0, 9, 0x97), PACKET_LEVEL_5);
    ck_assert_uint_eq(packet.reason, 0x97);
    parse(BYTES(0x90, 4, 0, 1, 0, 0x8F), PACKET_LEVEL_5);
    ck_assert(packet.type == PACKET_SUBACK && packet.id == 1 && packet.reason == 0x8F);
    parse(BYTES(0x90, 3, 0, 1, 1), PACKET_LEVEL_311);
    ck_assert_uint_eq(packet.reason, 1);
}
END_TEST

START_TEST(test_small_packets)
{
    parse(BYTES(0xD0, 0), PACKET_LEVEL_311);
    ck_assert(packet.type == PACKET_PINGRESP);
    parse(BYTES(0xE0, 1, 0x8E), PACKET_LEVEL_5);
    ck_assert(packet.type == PACKET_DISCONNECT && packet.reason == 0x8E);
    parse(BYTES(0xE0, 0), PACKET_LEVEL_5);
    ck_assert_uint_eq(packet.reason, 0);
}
END_TEST

START_TEST(test_malformed)
{
    static const struct {
        struct bytes data;
    } cases[] = {
        {{(const uint8_t *)"\x10\x00", 2}},                         /* CONNECT */
        {{(const uint8_t *)"\xD0\xFF\xFF\xFF\xFF", 5}},             /* length of five bytes */
        {{(const uint8_t *)"\x40\x01\x00", 3}},                     /* PUBACK without identifier */
        {{(const uint8_t *)"\x34\x05\x00\x01t\x00\x01", 7}},        /* QoS 2 */
        {{(const uint8_t *)"\x32\x06\x00\x01t\x00\x00\x00", 8}},    /* identifier 0 */
        {{(const uint8_t *)"\x30\x03\x00\x02t", 5}},                /* topic over the end */
        {{(const uint8_t *)"\x20\x04\x00\x00\x01\x77", 6}},         /* no such property */
        {{(const uint8_t *)"\x20\x04\x00\x00\x02\x21", 6}},         /* properties over the end */
        {{(const uint8_t *)"\x20\x06\x00\x00\x03\x21\x00\x00", 8}}, /* Receive Maximum 0 */
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_int_eq(packet_parse(cases[i].data, PACKET_LEVEL_5, &packet), ERR_MALFORMED);
}
END_TEST

static void check_out(struct bytes expected)
{
    ck_assert(buf_ok(&out));
    ck_assert(bytes_equal(bytes_of(out.data, (uint32_t)out.len), expected));
    buf_clear(&out);
}

START_TEST(test_connect)
{
    struct packet_connect connect = {.client_id = bytes_of_string("d"), .keep_alive_s = 60};

    packet_put_connect(&out, PACKET_LEVEL_311, &connect);
    check_out(BYTES(0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'd'));
    connect.session_expiry_s = 258;
    connect.user = bytes_of_string("u");
    connect.password = bytes_of_string("p");
    packet_put_connect(&out, PACKET_LEVEL_5, &connect);
    check_out(BYTES(0x10, 25, 0, 4, 'M', 'Q', 'T', 'T', 5, 0xC0, 0, 60, 5, 0x11, 0, 0, 1, 2, 0, 1,
                    'd', 0, 1, 'u', 0, 1, 'p'));
}
END_TEST

START_TEST(test_encoders)
{
    packet_put_subscribe(&out, PACKET_LEVEL_5, 1, bytes_of_string("a/#"));
    check_out(BYTES(0x82, 9, 0, 1, 0, 0, 3, 'a', '/', '#', 1));
    packet_put_publish(&out, PACKET_LEVEL_311, 300, bytes_of_string("t"), bytes_of_string("xy"));
    check_out(BYTES(0x32, 7, 0, 1, 't', 1, 44, 'x', 'y'));
    packet_put_publish(&out, PACKET_LEVEL_5, 1, bytes_of_string("t"), bytes_of_string(""));
    check_out(BYTES(0x32, 6, 0, 1, 't', 0, 1, 0));
    packet_put_puback(&out, 7);
    packet_put_pingreq(&out);
    packet_put_disconnect(&out);
    check_out(BYTES(0x40, 2, 0, 7, 0xC0, 0, 0xE0, 0));
}
END_TEST

/* A remaining length of two bytes, both ways. */
START_TEST(test_long_publish)
{
    static const char text[200];

    packet_put_publish(&out, PACKET_LEVEL_5, 1, bytes_of_string("t"), bytes_of(text, 200));
    ck_assert_uint_eq(out.data[1], 0xCE);
    ck_assert_uint_eq(out.data[2], 1);
    parse(bytes_of(out.data, (uint32_t)out.len), PACKET_LEVEL_5);
    ck_assert_uint_eq(packet.payload.len, 200);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packet");
    TCase *parsing = tcase_create("parsing"), *encoding = tcase_create("encoding");

    tcase_add_checked_fixture(parsing, set_up, NULL);
    tcase_add_test(parsing, test_connack);
    tcase_add_test(parsing, test_publish);
    tcase_add_test(parsing, test_acknowledgements);
    tcase_add_test(parsing, test_small_packets);
    tcase_add_test(parsing, test_malformed);
    tcase_add_checked_fixture(encoding, set_up, tear_down);
    tcase_add_test(encoding, test_connect);
    tcase_add_test(encoding, test_encoders);
    tcase_add_test(encoding, test_long_publish);
    suite_add_tcase(suite, parsing);
    suite_add_tcase(suite, encoding);
    return run_suite(suite);
}
