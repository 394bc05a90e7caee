/* Tests of connector/session_announce.c, ended.c and will.c: what a broker hears of sessions when
 * its link is new. */
#include "connector/conn.h"
#include "connector/ended.h"

#include <sys/socket.h>

#include "connector_fixture.h"
#include "tests/support/run_suite.h"

static struct buf out;

START_TEST(test_announcement)
{
    const struct wire_record *record;
    struct wire_list sent;
    uint64_t conn, token, seq;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_5, "phone", 7);
    for (seq = 1; seq <= 3; seq++) {
        send_deliver(conn, seq, "hi");
        expect_packet(fd, MQTT_PUBLISH);
    }
    put_puback(&out, 5);
    client_send(fd, &out);
    expect_ack(0, 1);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 1, false);
    put_inbox_subscribe(&out, MQTT_5, 2);
    client_send(fd, &out);
    token = expect_record(WIRE_PUBLISH)->publish.token;
    expect_record(WIRE_SUBSCRIBE);
    break_link();
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 3, false); /* while there is no broker */
    client_send(fd, &out);
    await_count(&connector.metrics.publishes, 2);

    welcome(100);
    record = expect_record(WIRE_ANNOUNCE);
    ck_assert_uint_eq(record->announce.open.conn, conn);
    ck_assert_uint_eq(record->announce.epoch, 7);
    ck_assert_uint_eq(record->announce.messages.acked_seq, 0);
    ck_assert_uint_eq(record->announce.subscriptions.count, 0); /* not granted yet */
    sent = record->announce.messages.sent;
    ck_assert_uint_eq(sent.count, 2);
    ck_assert(wire_seq_next(&sent, &seq) == 1 && seq == 1);
    ck_assert(wire_seq_next(&sent, &seq) == 1 && seq == 3);
    sent = record->announce.messages.more; /* acknowledged beyond the gap */
    ck_assert(wire_seq_next(&sent, &seq) == 1 && seq == 2);
    ck_assert_uint_eq(sent.encoded.len, 0);
    expect_record(WIRE_ANNOUNCE_END);
    record = expect_record(WIRE_PUBLISH);
    ck_assert_uint_eq(record->publish.token, token);
    ck_assert(record->publish.resend);
    ck_assert_uint_eq(expect_record(WIRE_SUBSCRIBE)->subscribe.token, token + 1);
    ck_assert_uint_eq(expect_record(WIRE_PUBLISH)->publish.token, token + 2);
    send_deliver(conn, 2, "hi"); /* the broker did not know yet: not PUBLISHed twice */
    expect_ack(0, 1);
    send_published(token, MQTT_SUCCESS);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], 1);
}
END_TEST

START_TEST(test_subscription_is_announced)
{
    const uint8_t granted[] = {1};
    struct wire_suback suback = {.codes = bytes_of(granted, 1)};
    const struct wire_record *record;
    struct wire_subscription subscription;
    struct wire_list list;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    client_open(fd, MQTT_5, "phone", 7);
    put_inbox_subscribe(&out, MQTT_5, 2);
    client_send(fd, &out);
    suback.token = expect_record(WIRE_SUBSCRIBE)->subscribe.token;
    wire_put_suback(frame_begin(), &suback);
    frame_send();
    ck_assert_uint_eq(expect_packet(fd, MQTT_SUBACK).data[5], 1);
    break_link();
    welcome(100);
    record = expect_record(WIRE_ANNOUNCE);
    list = record->announce.subscriptions;
    ck_assert_int_eq(wire_subscription_next(&list, &subscription), 1);
    ck_assert(bytes_equal_string(subscription.filter, "inbox/#"));
    ck_assert_uint_eq(subscription.qos, 1);
}
END_TEST

static void send_closed(uint64_t conn)
{
    wire_put_conn(frame_begin(), WIRE_CLOSED, &(struct wire_conn){.conn = conn});
    frame_send();
}

static void expect_ended(uint64_t conn, uint64_t acked_seq, uint16_t more, uint16_t sent)
{
    const struct wire_ended *ended = &expect_record(WIRE_ENDED)->ended;

    ck_assert_uint_eq(ended->conn, conn);
    ck_assert_uint_eq(ended->epoch, 7);
    ck_assert(bytes_equal_string(ended->user, "bob"));
    ck_assert(bytes_equal_string(ended->device, "phone"));
    ck_assert_uint_eq(ended->messages.acked_seq, acked_seq);
    ck_assert_uint_eq(ended->messages.more.count, more);
    ck_assert_uint_eq(ended->messages.sent.count, sent);
}

/* Acknowledged and gone while there is no broker: the next one hears of it, and so does the one
 * after it, until one says that it is committed. */
START_TEST(test_ended_without_a_link)
{
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_311, "phone", 7);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        send_deliver(conn, seq, "hi");
        expect_delivery(fd, (uint16_t)(1 + 2 * seq));
    }
    break_link();
    put_puback(&out, 3);
    put_puback(&out, 7);
    put_disconnect(&out);
    client_send(fd, &out);
    await_count(&connector.metrics.closed_by_client, 1);
    welcome(100);
    expect_ended(conn, 1, 1, 2);
    expect_record(WIRE_ANNOUNCE_END);
    break_link();
    welcome(100);
    expect_ended(conn, 1, 1, 2);
    expect_record(WIRE_ANNOUNCE_END);
    send_closed(conn);
    break_link();
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    ck_assert_uint_eq(ended_count(connector.ended), 0);
}
END_TEST

/* ACK and CLOSE went out, and the broker that had them is gone before it committed. */
START_TEST(test_ended_and_not_committed)
{
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_311, "phone", 7);
    send_deliver(conn, 1, "hi");
    expect_delivery(fd, 3);
    put_puback(&out, 3);
    put_disconnect(&out);
    client_send(fd, &out);
    expect_ack(1, 0);
    ck_assert_uint_eq(expect_record(WIRE_CLOSE)->close.conn, conn);
    break_link();
    welcome(100);
    expect_ended(conn, 1, 0, 0);
    expect_record(WIRE_ANNOUNCE_END);
}
END_TEST

START_TEST(test_will)
{
    const struct wire_record *record;
    struct wire_conn done;
    struct mid mid;
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    put_connect(&out, MQTT_5, "phone", "to/u/alice");
    client_send(fd, &out);
    record = expect_record(WIRE_OPEN);
    ck_assert(record->open.will.present);
    ck_assert(bytes_equal_string(record->open.will.payload, "bye"));
    conn = record->open.conn;
    send_opened(conn, 7);
    expect_packet(fd, MQTT_CONNACK);
    shutdown(fd, SHUT_RDWR); /* lost */
    record = expect_record(WIRE_CLOSE);
    ck_assert(record->close.send_will);
    mid = record->close.will_mid;
    send_closed(conn);
    break_link();
    welcome(100);
    record = expect_record(WIRE_WILL); /* nobody said that it was dealt with */
    ck_assert_uint_eq(record->pending_will.conn, conn);
    ck_assert_mem_eq(&record->pending_will.mid, &mid, sizeof(mid));
    expect_record(WIRE_ANNOUNCE_END);
    done.conn = conn;
    wire_put_conn(frame_begin(), WIRE_WILL_DONE, &done);
    frame_send();
    break_link();
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END); /* now it was */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("links");
    TCase *tcase = tcase_create("links");

    tcase_add_checked_fixture(tcase, connector_set_up, connector_tear_down);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, test_announcement);
    tcase_add_test(tcase, test_subscription_is_announced);
    tcase_add_test(tcase, test_ended_without_a_link);
    tcase_add_test(tcase, test_ended_and_not_committed);
    tcase_add_test(tcase, test_will);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
