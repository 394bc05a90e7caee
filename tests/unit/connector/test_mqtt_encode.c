/* What a server sends, byte for byte, in both versions; and the names and 3.1.1 codes of reasons.
 */
#include "connector/mqtt_codec.h"

#include "common/auto.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct buf out;

static void clear(void)
{
    buf_release(&out);
}

/* The bytes written since the last call are these. */
static void expect(const void *bytes, size_t len)
{
    ck_assert(buf_ok(&out));
    ck_assert_uint_eq(out.len, len);
    ck_assert_mem_eq(out.data, bytes, len);
    buf_clear(&out);
}
#define EXPECT(...)                                                                                \
    do {                                                                                           \
        const uint8_t expected_[] = {__VA_ARGS__};                                                 \
        expect(expected_, sizeof(expected_));                                                      \
    } while (0)

START_TEST(connack_311)
{
    struct mqtt_connack ack = {.session_present = true, .receive_max = 10, .capabilities = true};

    mqtt_put_connack(&out, MQTT_311, &ack);
    EXPECT(0x20, 2, 1, 0);
    ack.reason = MQTT_NOT_AUTHORIZED;
    ack.reason_string = "no";
    mqtt_put_connack(&out, MQTT_311, &ack);
    EXPECT(0x20, 2, 0, 5); /* MQTT-3.2.2-4: no session present */
}
END_TEST

START_TEST(connack_5_short)
{
    struct mqtt_connack ack = {.session_present = true};

    mqtt_put_connack(&out, MQTT_5, &ack);
    EXPECT(0x20, 3, 1, 0, 0);
    ack.reason = MQTT_UNSUPPORTED_VERSION;
    mqtt_put_connack(&out, MQTT_5, &ack);
    EXPECT(0x20, 3, 0, 0x84, 0); /* MQTT-3.2.2-6 */
}
END_TEST

START_TEST(connack_5_full)
{
    struct mqtt_connack ack = {
        .send_session_expiry = true,
        .session_expiry_s = 0x01020304,
        .receive_max = 0x0506,
        .max_packet_size = 0x0708090A,
        .send_server_keep_alive = true,
        .server_keep_alive_s = 0, /* 0 is a value too */
        .capabilities = true,
        .reason_string = "ok",
    };

    mqtt_put_connack(&out, MQTT_5, &ack);
    EXPECT(0x20, 3 + 25 + 5, 0, 0, 25 + 5,                      /* */
           17, 1, 2, 3, 4, 33, 5, 6, 39, 7, 8, 9, 10, 19, 0, 0, /* session */
           36, 1, 37, 0, 42, 0, 34, 0, 0,                       /* capabilities */
           31, 0, 2, 'o', 'k');
}
END_TEST

/* The constants that clients with a small Maximum Packet Size are held against. */
START_TEST(connack_5_limits)
{
    struct mqtt_connack accept = {
        .send_session_expiry = true,
        .receive_max = 1,
        .max_packet_size = 1,
        .send_server_keep_alive = true,
        .capabilities = true,
    };
    struct mqtt_connack refuse = {.reason = MQTT_PACKET_TOO_LARGE};

    mqtt_put_connack(&out, MQTT_5, &accept);
    ck_assert_uint_eq(out.len, MQTT_CONNACK_MAX_BYTES);
    buf_clear(&out);
    mqtt_put_connack(&out, MQTT_5, &refuse);
    ck_assert_uint_eq(out.len, MQTT_CONNACK_MIN_BYTES);
}
END_TEST

START_TEST(connack_5_long_reason)
{
    struct mqtt_connack ack = {.reason = MQTT_SERVER_BUSY};
    char text[201];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ack.reason_string = text;
    mqtt_put_connack(&out, MQTT_5, &ack);
    /* 203 bytes of properties, a length of two bytes; 207 in all, likewise. */
    ck_assert_uint_eq(out.len, 3 + 2 + 2 + 203);
    ck_assert_mem_eq(out.data, "\x20\xCF\x01\x00\x89\xCB\x01\x1F\x00\xC8x", 11);
}
END_TEST

START_TEST(publish_311)
{
    struct mqtt_publish_out publish = {
        .topic = bytes_of_string("ab"),
        .payload = bytes_of_string("hi"),
        .properties = bytes_of_string("ignored"),
        .has_expiry = true,
        .subscription_id = 5,
    };

    mqtt_put_publish(&out, MQTT_311, &publish);
    ck_assert_uint_eq(mqtt_publish_size(MQTT_311, &publish), out.len);
    EXPECT(0x30, 6, 0, 2, 'a', 'b', 'h', 'i');
    publish.qos = 1;
    publish.packet_id = 0x0102;
    publish.dup = true;
    mqtt_put_publish(&out, MQTT_311, &publish);
    ck_assert_uint_eq(mqtt_publish_size(MQTT_311, &publish), out.len);
    EXPECT(0x3A, 8, 0, 2, 'a', 'b', 1, 2, 'h', 'i');
}
END_TEST

START_TEST(publish_5)
{
    static const uint8_t forwarded[] = {1, 1, 38, 0, 1, 'n', 0, 1, 'v'};
    struct mqtt_publish_out publish = {.topic = bytes_of_string("ab")};

    mqtt_put_publish(&out, MQTT_5, &publish);
    ck_assert_uint_eq(mqtt_publish_size(MQTT_5, &publish), out.len);
    EXPECT(0x30, 5, 0, 2, 'a', 'b', 0);
    publish.qos = 1;
    publish.packet_id = 7;
    publish.payload = bytes_of_string("x");
    publish.properties = bytes_of(forwarded, sizeof(forwarded));
    publish.has_expiry = true;
    publish.expiry_s = 60;
    publish.subscription_id = 128;
    mqtt_put_publish(&out, MQTT_5, &publish);
    ck_assert_uint_eq(mqtt_publish_size(MQTT_5, &publish), out.len);
    EXPECT(0x32, 25, 0, 2, 'a', 'b', 0, 7, 17, 1, 1, 38, 0, 1, 'n', 0, 1, 'v', /* as given */
           2, 0, 0, 0, 60, 11, 0x80, 0x01, 'x');
}
END_TEST

/* Sizes around every step of the variable byte integer, once of the packet and once of the list. */
START_TEST(publish_sizes)
{
    static const uint32_t steps[] = {127, 128, 16383, 16384, 2097151, 2097152};
    uint8_t *zeros = calloc(1, 2097152 + 8);

    ck_assert_ptr_nonnull(zeros);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        for (uint32_t len = steps[i] - 6; len <= steps[i] + 1; len++) {
            struct mqtt_publish_out publish = {.topic = bytes_of_string("t"),
                                               .payload = bytes_of(zeros, len)};
            uint32_t size = 0;

            mqtt_put_publish(&out, MQTT_5, &publish);
            ck_assert_uint_eq(mqtt_publish_size(MQTT_5, &publish), out.len);
            ck_assert_int_eq(
                mqtt_packet_size(bytes_of(out.data, (uint32_t)out.len), UINT32_MAX, &size), 1);
            ck_assert_uint_eq(size, out.len);
            buf_clear(&out);

            publish.properties = publish.payload;
            mqtt_put_publish(&out, MQTT_5, &publish);
            ck_assert_uint_eq(mqtt_publish_size(MQTT_5, &publish), out.len);
            buf_clear(&out);
        }
    }
    free(zeros);
}
END_TEST

/* What MQTT has no length for is told before and never half written. The bytes are not touched. */
START_TEST(publish_impossible)
{
    struct mqtt_publish_out publish = {.topic = bytes_of_string("t"),
                                       .payload = bytes_of("", 268435455 - 3)};
    struct buf failed = {0};

    ck_assert_uint_eq(mqtt_publish_size(MQTT_311, &publish), 268435455 + 5);
    ck_assert_uint_eq(mqtt_publish_size(MQTT_5, &publish), UINT32_MAX);
    publish.payload.len = UINT32_MAX;
    ck_assert_uint_eq(mqtt_publish_size(MQTT_311, &publish), UINT32_MAX);
    mqtt_put_publish(&failed, MQTT_311, &publish);
    ck_assert(!buf_ok(&failed));
    ck_assert_uint_eq(failed.len, 0);
    publish.payload.len = 0;
    publish.properties = bytes_of("", UINT32_MAX);
    publish.has_expiry = true;
    ck_assert_uint_eq(mqtt_publish_size(MQTT_5, &publish), UINT32_MAX);
    publish.properties.len = 0;
    publish.subscription_id = 268435456;
    ck_assert_uint_eq(mqtt_publish_size(MQTT_5, &publish), UINT32_MAX);
    publish.topic = bytes_of("", 65536);
    ck_assert_uint_eq(mqtt_publish_size(MQTT_311, &publish), UINT32_MAX);
    buf_release(&failed);
}
END_TEST

START_TEST(puback)
{
    mqtt_put_puback(&out, MQTT_311, 0x0102, 0, NULL);
    EXPECT(0x40, 2, 1, 2);
    mqtt_put_puback(&out, MQTT_311, 1, MQTT_QUOTA_EXCEEDED, "slower");
    EXPECT(0x40, 2, 0, 1);
    mqtt_put_puback(&out, MQTT_5, 1, MQTT_SUCCESS, "ignored");
    EXPECT(0x40, 2, 0, 1);
    mqtt_put_puback(&out, MQTT_5, 1, MQTT_NO_MATCHING_SUBSCRIBERS, "ignored");
    EXPECT(0x40, 3, 0, 1, 0x10);
    mqtt_put_puback(&out, MQTT_5, 1, MQTT_QUOTA_EXCEEDED, NULL);
    EXPECT(0x40, 3, 0, 1, 0x97);
    mqtt_put_puback(&out, MQTT_5, 1, MQTT_QUOTA_EXCEEDED, "slow");
    EXPECT(0x40, 11, 0, 1, 0x97, 7, 31, 0, 4, 's', 'l', 'o', 'w');
}
END_TEST

START_TEST(suback)
{
    static const uint8_t codes[] = {1, 0, MQTT_FILTER_INVALID, 0x80};

    mqtt_put_suback(&out, MQTT_311, 9, bytes_of(codes, 4));
    EXPECT(0x90, 6, 0, 9, 1, 0, 0x80, 0x80);
    mqtt_put_suback(&out, MQTT_5, 9, bytes_of(codes, 4));
    EXPECT(0x90, 7, 0, 9, 0, 1, 0, 0x8F, 0x80);
}
END_TEST

START_TEST(unsuback)
{
    static const uint8_t codes[] = {0, MQTT_NO_SUBSCRIPTION_EXISTED};

    mqtt_put_unsuback(&out, MQTT_311, 9, bytes_of(codes, 2));
    EXPECT(0xB0, 2, 0, 9);
    mqtt_put_unsuback(&out, MQTT_5, 9, bytes_of(codes, 2));
    EXPECT(0xB0, 5, 0, 9, 0, 0, 0x11);
}
END_TEST

START_TEST(suback_sizes)
{
    static const uint8_t codes[UINT16_MAX];
    static const uint16_t counts[] = {1, 124, 125, 16380, 16381, UINT16_MAX};

    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        buf_clear(&out);
        mqtt_put_suback(&out, MQTT_5, 9, bytes_of(codes, counts[i]));
        ck_assert_uint_eq(out.len, mqtt_suback_size(counts[i]));
        buf_clear(&out);
        mqtt_put_unsuback(&out, MQTT_5, 9, bytes_of(codes, counts[i]));
        ck_assert_uint_eq(out.len, mqtt_suback_size(counts[i]));
    }
}
END_TEST

START_TEST(pingresp_and_disconnect)
{
    mqtt_put_pingresp(&out);
    EXPECT(0xD0, 0);
    mqtt_put_disconnect(&out, MQTT_311, MQTT_SESSION_TAKEN_OVER, "gone");
    ck_assert_uint_eq(out.len, 0);
    mqtt_put_disconnect(&out, MQTT_5, MQTT_SUCCESS, NULL);
    EXPECT(0xE0, 0);
    mqtt_put_disconnect(&out, MQTT_5, MQTT_SESSION_TAKEN_OVER, NULL);
    EXPECT(0xE0, 1, 0x8E);
    mqtt_put_disconnect(&out, MQTT_5, MQTT_SESSION_TAKEN_OVER, "");
    EXPECT(0xE0, 5, 0x8E, 3, 31, 0, 0);
}
END_TEST

/* Packets follow each other in one buf, as a turn of the loop writes them. */
START_TEST(appends)
{
    mqtt_put_pingresp(&out);
    mqtt_put_puback(&out, MQTT_5, 1, MQTT_SUCCESS, NULL);
    mqtt_put_disconnect(&out, MQTT_5, MQTT_SERVER_MOVED, NULL);
    EXPECT(0xD0, 0, 0x40, 2, 0, 1, 0xE0, 1, 0x9D);
}
END_TEST

/* MQTT 3.1.1 table 3.1, and the refusals the client contract names for both versions. */
START_TEST(codes_311)
{
    static const uint8_t pairs[][2] = {
        {MQTT_SUCCESS, 0},
        {MQTT_UNSUPPORTED_VERSION, 1},
        {MQTT_CLIENT_ID_NOT_VALID, 2},
        {MQTT_SERVER_UNAVAILABLE, 3},
        {MQTT_SERVER_BUSY, 3},
        {MQTT_SERVER_SHUTTING_DOWN, 3},
        {MQTT_BAD_CREDENTIALS, 4},
        {MQTT_NOT_AUTHORIZED, 5},
        {MQTT_TOPIC_INVALID, 5},
        {MQTT_BANNED, 5},
        {MQTT_QUOTA_EXCEEDED, 3},
        {MQTT_QOS_NOT_SUPPORTED, 5},
    };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        ck_assert_uint_eq(mqtt_connack_code_311(pairs[i][0]), pairs[i][1]);
    for (unsigned reason = 1; reason <= 0xFF; reason++) { /* a refusal never turns into a yes */
        ck_assert_uint_ge(mqtt_connack_code_311((uint8_t)reason), 1);
        ck_assert_uint_le(mqtt_connack_code_311((uint8_t)reason), 5);
    }
}
END_TEST

START_TEST(reason_texts)
{
    ck_assert_str_eq(mqtt_reason_text(MQTT_SUCCESS), "success");
    ck_assert_str_eq(mqtt_reason_text(MQTT_SESSION_TAKEN_OVER), "session taken over");
    ck_assert_str_eq(mqtt_reason_text(MQTT_WILDCARDS_NOT_SUPPORTED),
                     "wildcard subscriptions not supported");
    ck_assert_str_eq(mqtt_reason_text(0x03), "unknown reason");
    ck_assert_str_eq(mqtt_reason_text(0xFF), "unknown reason");
    for (unsigned reason = MQTT_UNSPECIFIED_ERROR; reason <= MQTT_WILDCARDS_NOT_SUPPORTED; reason++)
        ck_assert_str_ne(mqtt_reason_text((uint8_t)reason), "unknown reason");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("mqtt_encode");
    TCase *t = tcase_create("connack");

    tcase_add_checked_fixture(t, NULL, clear);
    tcase_add_test(t, connack_311);
    tcase_add_test(t, connack_5_short);
    tcase_add_test(t, connack_5_full);
    tcase_add_test(t, connack_5_limits);
    tcase_add_test(t, connack_5_long_reason);
    suite_add_tcase(s, t);

    t = tcase_create("publish");
    tcase_add_checked_fixture(t, NULL, clear);
    tcase_add_test(t, publish_311);
    tcase_add_test(t, publish_5);
    tcase_add_test(t, publish_sizes);
    tcase_add_test(t, publish_impossible);
    suite_add_tcase(s, t);

    t = tcase_create("acknowledgements");
    tcase_add_checked_fixture(t, NULL, clear);
    tcase_add_test(t, puback);
    tcase_add_test(t, suback);
    tcase_add_test(t, suback_sizes);
    tcase_add_test(t, unsuback);
    tcase_add_test(t, pingresp_and_disconnect);
    tcase_add_test(t, appends);
    suite_add_tcase(s, t);

    t = tcase_create("reasons");
    tcase_add_test(t, codes_311);
    tcase_add_test(t, reason_texts);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
