/* Tests of connector/limits.c and what handlers make of it, with buckets that hardly fill while a
 * test runs; bucket.c itself is tested on a clock of its own. */
#include "connector/limits.h"

#include <string.h>
#include <sys/socket.h>

#include "connector/conn.h"
#include "connector/drain.h"

#include "connector_fixture.h"
#include "tests/support/run_suite.h"

static const struct bucket_limit two = {.per_s = 1, .burst = 2};
static struct buf out;

static void set_up(void)
{
    connector_set_up();
    connector.options.device_publishes = two;
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
}

static void publish(int fd, uint8_t level, uint16_t first, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++)
        put_publish_qos1(&out, level, "to/u/alice", (uint16_t)(first + i), false);
    client_send(fd, &out);
}

static void answer(int fd, uint16_t packet_id)
{
    send_published(expect_record(WIRE_PUBLISH)->publish.token, MQTT_SUCCESS);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], packet_id);
}

START_TEST(test_mqtt_5_is_refused)
{
    struct bytes puback;
    int fd = client_connect();

    client_open(fd, MQTT_5, "phone", 7);
    publish(fd, MQTT_5, 1, 3);
    answer(fd, 1);
    answer(fd, 2);
    puback = expect_packet(fd, MQTT_PUBACK); /* in its turn */
    ck_assert_uint_eq(puback.data[3], 3);
    ck_assert_uint_eq(puback.data[4], MQTT_QUOTA_EXCEEDED);
    ck_assert_uint_eq(connector.metrics.limited_publishes, 1);
}
END_TEST

/* A second later it goes on where it stopped. */
START_TEST(test_mqtt_311_is_read_later)
{
    uint64_t started_ms;
    int fd = client_connect();

    client_open(fd, MQTT_311, "phone", 7);
    started_ms = loop_now_ms(connector.loop);
    publish(fd, MQTT_311, 1, 3);
    put_ping(&out);
    client_send(fd, &out);
    answer(fd, 1);
    answer(fd, 2);
    await_count(&connector.metrics.limited_publishes_delayed, 1);
    ck_assert_uint_eq(connector.conns->lists.count[CONN_SLOWED], 1);
    expect_packet(fd, MQTT_PINGRESP); /* behind the third publish */
    ck_assert_uint_ge(loop_now_ms(connector.loop), started_ms + 999);
    answer(fd, 3);
}
END_TEST

START_TEST(test_gone_while_slowed)
{
    uint64_t conn;
    int fd = client_connect();

    conn = client_open(fd, MQTT_311, "phone", 7);
    publish(fd, MQTT_311, 1, 3);
    answer(fd, 1);
    answer(fd, 2);
    await_count(&connector.metrics.limited_publishes_delayed, 1);
    shutdown(fd, SHUT_RDWR);
    ck_assert_uint_eq(expect_record(WIRE_CLOSE)->close.conn, conn);
}
END_TEST

START_TEST(test_drained_while_slowed)
{
    struct drain drain;
    int fd = client_connect();

    connector.options.drain_ms = 0;
    connector.options.drain_wait_ms = 100;
    client_open(fd, MQTT_311, "phone", 7);
    publish(fd, MQTT_311, 1, 3);
    answer(fd, 1);
    answer(fd, 2);
    await_count(&connector.metrics.limited_publishes_delayed, 1);
    drain_init(&drain, &connector);
    drain_start(&drain);
    expect_record(WIRE_CLOSE);
    expect_end(fd);
    shutdown(fd, SHUT_RDWR);
    ck_assert_int_eq(loop_run(connector.loop), 0);
    ck_assert_uint_eq(connector.metrics.publishes, 2); /* the third is for its next connection */
}
END_TEST

START_TEST(test_the_next_connection_has_what_is_left)
{
    int fd = client_connect();

    client_open(fd, MQTT_5, "phone", 7);
    publish(fd, MQTT_5, 1, 2);
    answer(fd, 1);
    answer(fd, 2);
    shutdown(fd, SHUT_RDWR);
    expect_record(WIRE_CLOSE);
    fd = client_connect();
    client_open(fd, MQTT_5, "phone", 8);
    publish(fd, MQTT_5, 1, 1);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[4], MQTT_QUOTA_EXCEEDED);
    fd = client_connect(); /* another device of the same person */
    client_open(fd, MQTT_5, "tablet", 9);
    publish(fd, MQTT_5, 1, 1);
    answer(fd, 1);
}
END_TEST

START_TEST(test_device_that_connects_too_often)
{
    int fd;

    connector.options.device_connects = two;
    for (uint64_t epoch = 7; epoch < 9; epoch++)
        client_open(client_connect(), MQTT_5, "phone", epoch);
    fd = client_connect();
    put_connect(&out, MQTT_5, "phone", NULL);
    client_send(fd, &out);
    ck_assert_uint_eq(expect_packet(fd, MQTT_CONNACK).data[3], MQTT_CONNECTION_RATE_EXCEEDED);
    expect_end(fd);
    ck_assert_uint_eq(connector.metrics.limited_device_connects, 1);
}
END_TEST

static bool connects(uint8_t family, const char *octets, size_t count)
{
    struct peer_address peer = {.family = family, .port = 1};

    memcpy(peer.octets, octets, count);
    return limits_address_connects(&connector, &peer);
}

/* 2001:db8:0:N::M is M of network N. */
START_TEST(test_addresses)
{
    connector.options.address_connects = two;
    ck_assert(connects(AF_INET, "\x0a\x00\x00\x01", 4));
    ck_assert(connects(AF_INET, "\x0a\x00\x00\x01", 4));
    ck_assert(!connects(AF_INET, "\x0a\x00\x00\x01", 4));
    ck_assert(connects(AF_INET, "\x0a\x00\x00\x02", 4));
    ck_assert(connects(AF_INET6, "\x20\x01\x0d\xb8\0\0\0\1\0\0\0\0\0\0\0\1", 16));
    ck_assert(connects(AF_INET6, "\x20\x01\x0d\xb8\0\0\0\1\0\0\0\0\0\0\0\2", 16));
    ck_assert(!connects(AF_INET6, "\x20\x01\x0d\xb8\0\0\0\1\0\0\0\0\0\0\0\3", 16));
    ck_assert(connects(AF_INET6, "\x20\x01\x0d\xb8\0\0\0\2\0\0\0\0\0\0\0\1", 16));
    ck_assert_uint_eq(connector.metrics.limited_address_connects, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *rates = tcase_create("rates");

    tcase_add_checked_fixture(rates, set_up, connector_tear_down);
    tcase_set_timeout(rates, 30);
    tcase_add_test(rates, test_mqtt_5_is_refused);
    tcase_add_test(rates, test_mqtt_311_is_read_later);
    tcase_add_test(rates, test_gone_while_slowed);
    tcase_add_test(rates, test_drained_while_slowed);
    tcase_add_test(rates, test_the_next_connection_has_what_is_left);
    tcase_add_test(rates, test_device_that_connects_too_often);
    tcase_add_test(rates, test_addresses);
    suite_add_tcase(suite, rates);
    return run_suite(suite);
}
