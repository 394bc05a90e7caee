/* Tests of connector/drain.c, as a client and a broker see it. Where a limit must not be what ends
 * something it is longer than the test may take. */
#include "connector/drain.h"

#include <sys/socket.h>

#include "connector/conn.h"
#include "connector/ended.h"

#include "connector_fixture.h"
#include "tests/support/run_suite.h"

enum { NEVER_MS = 600000 };

static struct drain drain;
static struct buf out;

static void set_up(void)
{
    connector_set_up();
    connector.options.drain_ms = 0;
    connector.options.drain_wait_ms = NEVER_MS;
    drain_init(&drain, &connector);
}

static void tear_down(void)
{
    loop_timer_cancel(connector.loop, &drain.timer);
    connector_tear_down();
}

static uint64_t open_client(int *ret_fd, const char *device)
{
    *ret_fd = client_connect();
    return client_open(*ret_fd, MQTT_5, device, 7);
}

static void expect_goodbye(int fd)
{
    ck_assert_uint_eq(expect_packet(fd, MQTT_DISCONNECT).data[2], MQTT_SERVER_SHUTTING_DOWN);
    shutdown(fd, SHUT_RDWR);
}

static void send_closed(uint64_t conn)
{
    wire_put_conn(frame_begin(), WIRE_CLOSED, &(struct wire_conn){.conn = conn});
    frame_send();
}

/* Here and below Check's timeout is the deadline. */
static void turn_until_leaving(void)
{
    while (connector.conns->lists.count[CONN_LEAVING] == 0)
        ck_assert_int_eq(loop_turn(connector.loop, 5), 0);
}

/* The loop ends: or the test does not. */
static void expect_stop(void)
{
    ck_assert_int_eq(loop_run(connector.loop), 0);
}

START_TEST(test_what_was_begun_is_finished)
{
    uint64_t conn, token;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    conn = open_client(&fd, "phone");
    send_deliver(conn, 1, "hi");
    expect_packet(fd, MQTT_PUBLISH);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 1, false);
    client_send(fd, &out);
    token = expect_record(WIRE_PUBLISH)->publish.token;
    drain_start(&drain);
    turn_until_leaving();
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 2, false); /* for the next connection */
    put_inbox_subscribe(&out, MQTT_5, 3);
    client_send(fd, &out);
    await_count(&connector.metrics.drain_ignored, 2);
    send_deliver(conn, 2, "hi"); /* the same */
    await_count(&connector.metrics.drain_undelivered, 1);
    send_published(token, MQTT_SUCCESS);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], 1);
    put_puback(&out, 3);
    client_send(fd, &out);
    ck_assert_uint_eq(expect_record(WIRE_ACK)->ack.acked_seq, 1);
    expect_goodbye(fd);
    ck_assert_uint_eq(expect_record(WIRE_CLOSE)->close.conn, conn);
    send_closed(conn);
    expect_stop();
    ck_assert_uint_eq(connector.metrics.publishes, 1);
    ck_assert_uint_eq(connector.metrics.drain_unanswered, 0);
}
END_TEST

START_TEST(test_stays_until_the_broker_has_it)
{
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    conn = open_client(&fd, "phone");
    drain_start(&drain);
    expect_goodbye(fd);
    ck_assert(!expect_record(WIRE_CLOSE)->close.send_will);
    while (conns_open_count(connector.conns) > 0 || drain.broker_until_ms == 0)
        ck_assert_int_eq(loop_turn(connector.loop, 5), 0);
    ck_assert_uint_eq(ended_count(connector.ended), 1);
    ck_assert(timer_armed(&drain.timer)); /* it goes on */
    send_closed(conn);
    expect_stop();
}
END_TEST

START_TEST(test_answers_that_never_come)
{
    uint64_t conn, started_ms;
    int fd;

    connector.options.drain_wait_ms = 100;
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    conn = open_client(&fd, "phone");
    send_deliver(conn, 1, "hi");
    expect_packet(fd, MQTT_PUBLISH);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 1, false);
    client_send(fd, &out);
    expect_record(WIRE_PUBLISH);
    started_ms = loop_now_ms(connector.loop);
    drain_start(&drain);
    expect_goodbye(fd); /* no PUBACK: the client knows that it has to repeat */
    ck_assert_uint_ge(loop_now_ms(connector.loop), started_ms + 100);
    expect_stop();
    ck_assert_uint_ge(loop_now_ms(connector.loop), started_ms + 200);
    ck_assert_uint_eq(connector.metrics.drain_unanswered, 1);
}
END_TEST

/* What stopped it is for the next connection; the acknowledgement behind that is not lost. */
START_TEST(test_stalled_client)
{
    uint64_t conn, token;
    int fd;

    welcome(1);
    expect_record(WIRE_ANNOUNCE_END);
    conn = open_client(&fd, "phone");
    send_deliver(conn, 1, "hi");
    expect_packet(fd, MQTT_PUBLISH);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 1, false);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 2, false);
    put_puback(&out, 3);
    client_send(fd, &out);
    token = expect_record(WIRE_PUBLISH)->publish.token;
    await_count(&connector.metrics.stalls, 1);
    drain_start(&drain);
    ck_assert_uint_eq(expect_record(WIRE_ACK)->ack.acked_seq, 1);
    send_published(token, MQTT_SUCCESS);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], 1);
    expect_goodbye(fd);
    ck_assert_uint_eq(connector.metrics.drain_ignored, 1);
    expect_record(WIRE_CLOSE);
    send_closed(conn);
    expect_stop();
}
END_TEST

/* The second half of the clients leaves in the second half of the time: the one that has not sent
 * CONNECT when it begins. */
START_TEST(test_newcomers_go_last)
{
    uint64_t first, second;
    int first_fd, second_fd;

    connector.options.drain_ms = 1000;
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    first = open_client(&first_fd, "phone");
    second_fd = client_connect();
    drain_start(&drain);
    expect_goodbye(first_fd);
    ck_assert_uint_eq(expect_record(WIRE_CLOSE)->close.conn, first);
    second = client_open(second_fd, MQTT_5, "tablet", 8);
    expect_goodbye(second_fd);
    ck_assert_uint_ge(loop_now_ms(connector.loop), drain.started_ms + 500);
    ck_assert_uint_eq(expect_record(WIRE_CLOSE)->close.conn, second);
    send_closed(first);
    send_closed(second);
    expect_stop();
}
END_TEST

START_TEST(test_opening_is_refused)
{
    int plain, five;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    plain = client_connect();
    put_connect(&out, MQTT_311, "phone", NULL);
    client_send(plain, &out);
    expect_record(WIRE_OPEN);
    five = client_connect();
    put_connect(&out, MQTT_5, "tablet", NULL);
    client_send(five, &out);
    expect_record(WIRE_OPEN);
    drain_start(&drain);
    ck_assert_uint_eq(expect_packet(plain, MQTT_CONNACK).data[3], 3); /* server unavailable */
    ck_assert_uint_eq(expect_packet(five, MQTT_CONNACK).data[3], MQTT_USE_ANOTHER_SERVER);
    shutdown(plain, SHUT_RDWR);
    shutdown(five, SHUT_RDWR);
    expect_stop();
}
END_TEST

START_TEST(test_second_call_ends_at_once)
{
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    connector.options.drain_ms = NEVER_MS;
    open_client(&fd, "phone");
    drain_start(&drain);
    drain_start(&drain);
    expect_stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("drain");
    TCase *clients = tcase_create("clients");

    tcase_add_checked_fixture(clients, set_up, tear_down);
    tcase_set_timeout(clients, 30);
    tcase_add_test(clients, test_what_was_begun_is_finished);
    tcase_add_test(clients, test_stays_until_the_broker_has_it);
    tcase_add_test(clients, test_answers_that_never_come);
    tcase_add_test(clients, test_stalled_client);
    tcase_add_test(clients, test_newcomers_go_last);
    tcase_add_test(clients, test_opening_is_refused);
    tcase_add_test(clients, test_second_call_ends_at_once);
    suite_add_tcase(suite, clients);
    return run_suite(suite);
}
