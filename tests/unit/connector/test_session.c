/* Tests of connector/session.c and the handlers around it, as a client and a broker see them. */
#include "connector/session.h"

#include <sys/socket.h>

#include "connector/brokers.h"
#include "connector/conn.h"

#include "connector_fixture.h"
#include "tests/support/run_suite.h"

static struct buf out;

START_TEST(test_open)
{
    const struct wire_record *record;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    put_connect(&out, MQTT_5, "phone", NULL);
    put_ping(&out); /* before CONNACK: waits for it */
    client_send(fd, &out);
    record = expect_record(WIRE_OPEN);
    ck_assert(bytes_equal_string(record->open.user, "bob"));
    ck_assert(bytes_equal_string(record->open.device, "phone"));
    ck_assert_uint_eq(record->open.level, MQTT_5);
    ck_assert_uint_eq(record->open.state, WIRE_FOREGROUND);
    ck_assert_uint_eq(record->open.receive_max, UINT16_MAX);
    ck_assert(record->open.clean_start);
    send_opened(record->open.conn, 7);
    ck_assert_uint_eq(expect_packet(fd, MQTT_CONNACK).data[3], 0);
    expect_packet(fd, MQTT_PINGRESP);
}
END_TEST

START_TEST(test_refused_by_the_broker)
{
    struct wire_opened answer = {.reason = MQTT_SERVER_BUSY};
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    put_connect(&out, MQTT_311, "phone", NULL);
    client_send(fd, &out);
    answer.conn = expect_record(WIRE_OPEN)->open.conn;
    wire_put_opened(frame_begin(), &answer, NULL, 0);
    frame_send();
    ck_assert_uint_eq(expect_packet(fd, MQTT_CONNACK).data[3], 3); /* server unavailable */
    expect_end(fd);
}
END_TEST

START_TEST(test_no_broker_in_time)
{
    int fd = client_connect();

    connector.options.open_ms = 100;
    put_connect(&out, MQTT_5, "phone", NULL);
    client_send(fd, &out);
    ck_assert_uint_eq(expect_packet(fd, MQTT_CONNACK).data[3], MQTT_SERVER_UNAVAILABLE);
    expect_end(fd);
}
END_TEST

START_TEST(test_open_waits_for_the_link)
{
    uint64_t conn;
    int fd = client_connect();

    put_connect(&out, MQTT_5, "phone", NULL);
    client_send(fd, &out);
    welcome(100);
    conn = expect_record(WIRE_OPEN)->open.conn;
    expect_record(WIRE_ANNOUNCE_END);
    send_opened(conn, 7);
    expect_packet(fd, MQTT_CONNACK);
}
END_TEST

START_TEST(test_publish_is_answered_once)
{
    const struct wire_record *record;
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_5, "phone", 7);
    put_publish_qos1(&out, MQTT_5, "to/u/alice/key1", 9, false);
    put_publish_qos1(&out, MQTT_5, "to/u/alice/key1", 9, true); /* repeated: ignored */
    put_publish_qos1(&out, MQTT_5, "to/g/team", 10, false);
    client_send(fd, &out);
    record = expect_record(WIRE_PUBLISH);
    ck_assert_uint_eq(record->publish.conn, conn);
    ck_assert_uint_eq(record->publish.kind, WIRE_TO_USER);
    ck_assert(bytes_equal_string(record->publish.from, "bob"));
    ck_assert(bytes_equal_string(record->publish.from_device, "phone"));
    ck_assert(bytes_equal_string(record->publish.to, "alice"));
    ck_assert(bytes_equal_string(record->publish.key, "key1"));
    ck_assert(bytes_equal_string(record->publish.payload, "hello"));
    ck_assert(!record->publish.resend);
    send_published(record->publish.token, MQTT_SUCCESS);
    record = expect_record(WIRE_PUBLISH);
    ck_assert_uint_eq(record->publish.kind, WIRE_TO_GROUP);
    ck_assert(bytes_equal_string(record->publish.to, "team"));
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], 9);
    send_published(record->publish.token, MQTT_IMPLEMENTATION_SPECIFIC);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[4], MQTT_IMPLEMENTATION_SPECIFIC);
    ck_assert_uint_eq(connector.metrics.publishes_repeated, 1);
}
END_TEST

/* Answered when the broker knows it; said again over a new link, only to be answered. */
START_TEST(test_state)
{
    const struct wire_record *record;
    uint64_t conn, token;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_5, "phone", 7);
    put_publish_qos1(&out, MQTT_5, "me/state", 3, false);
    client_send(fd, &out); /* "hello" is no state */
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[4], MQTT_PAYLOAD_FORMAT_INVALID);
    put_publish_text(&out, MQTT_5, "me/state", "background 30", 4);
    client_send(fd, &out);
    record = expect_record(WIRE_STATE);
    ck_assert_uint_eq(record->state.conn, conn);
    ck_assert_uint_eq(record->state.epoch, 7);
    ck_assert_uint_eq(record->state.state, WIRE_BACKGROUND);
    ck_assert_uint_eq(record->state.lease_s, 30);
    ck_assert(!record->state.resend);
    token = record->state.token;
    break_link();
    welcome(100);
    record = expect_record(WIRE_ANNOUNCE);
    ck_assert_uint_eq(record->announce.open.state, WIRE_BACKGROUND);
    ck_assert_uint_ge(record->announce.open.lease_s, 25);
    expect_record(WIRE_ANNOUNCE_END);
    record = expect_record(WIRE_STATE);
    ck_assert_uint_eq(record->state.token, token);
    ck_assert(record->state.resend);
    put_ping(&out);
    client_send(fd, &out);
    expect_packet(fd, MQTT_PINGRESP); /* no PUBACK yet */
    send_published(token, MQTT_SUCCESS);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], 4);
}
END_TEST

START_TEST(test_refused_publish_ends_311)
{
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    client_open(fd, MQTT_311, "phone", 7);
    put_publish_qos1(&out, MQTT_311, "to/u/alice", 9, false);
    client_send(fd, &out);
    send_published(expect_record(WIRE_PUBLISH)->publish.token, MQTT_QUOTA_EXCEEDED);
    expect_end(fd);
}
END_TEST

/* With room for one request, the second publish stays with the client, whole. */
START_TEST(test_back_pressure)
{
    uint64_t token;
    int fd;

    welcome(1);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    client_open(fd, MQTT_5, "phone", 7);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 1, false);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 2, false);
    put_ping(&out);
    client_send(fd, &out);
    token = expect_record(WIRE_PUBLISH)->publish.token;
    await_count(&connector.metrics.stalls, 1);
    ck_assert_uint_eq(connector.conns->lists.count[CONN_STALLED], 1);
    send_published(token, MQTT_SUCCESS);
    ck_assert_uint_eq(expect_record(WIRE_PUBLISH)->publish.token, token + 1);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], 1);
    expect_packet(fd, MQTT_PINGRESP); /* in its turn: after the publish */
    send_published(token + 1, MQTT_SUCCESS);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[3], 2);
}
END_TEST

/* More than a broker takes in one message would never get there, nor anything behind it. */
START_TEST(test_full_frames)
{
    static uint8_t payload[200000];
    struct wire_publish record = {.kind = WIRE_TO_USER,
                                  .from = bytes_of_string("bob"),
                                  .from_device = bytes_of_string("phone"),
                                  .to = bytes_of_string("alice"),
                                  .payload = bytes_of(payload, sizeof(payload))};

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    for (record.token = 1; record.token <= 50; record.token++)
        wire_put_publish(broker_frame(brokers_at(connector.brokers, 0)), WIRE_PUBLISH, &record);
    for (uint64_t token = 1; token <= 50; token++)
        ck_assert_uint_eq(expect_record(WIRE_PUBLISH)->publish.token, token);
    ck_assert_uint_ge(largest_frame, sizeof(payload));
    ck_assert_uint_le(largest_frame, (4u << 20) + sizeof(payload) + 1000);
}
END_TEST

START_TEST(test_deliveries_and_acknowledgements)
{
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_311, "phone", 7);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        send_deliver(conn, seq, "hi");
        expect_delivery(fd, (uint16_t)(1 + 2 * seq));
    }
    put_puback(&out, 5);
    client_send(fd, &out);
    expect_ack(0, 1);
    put_puback(&out, 3);
    put_puback(&out, 7);
    put_puback(&out, 7); /* unknown by now: ignored */
    client_send(fd, &out);
    expect_ack(3, 0);
    ck_assert_uint_eq(connector.metrics.pubacks_unknown, 1);
}
END_TEST

/* MQTT-3.3.4-9: whatever the broker gives, no more is PUBLISHed than the client's Receive Maximum
 * allows; what has to wait is never announced, because it was never sent. */
START_TEST(test_receive_maximum)
{
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_5, "phone", 7);
    conn_find(connector.conns, conn)->client->receive_max = 2;
    for (uint64_t seq = 1; seq <= 5; seq++)
        send_deliver(conn, seq, "hi");
    expect_delivery(fd, 3);
    expect_delivery(fd, 5);
    await_count(&connector.metrics.deliveries_held, 3);
    put_ping(&out);
    client_send(fd, &out);
    expect_packet(fd, MQTT_PINGRESP); /* nothing before it */
    put_puback(&out, 5);
    client_send(fd, &out);
    expect_delivery(fd, 7);
    expect_ack(0, 1);
    put_puback(&out, 3);
    put_puback(&out, 7);
    client_send(fd, &out);
    expect_delivery(fd, 9);
    expect_delivery(fd, 11);
    expect_ack(3, 0);
    ck_assert_ptr_null(conn_find(connector.conns, conn)->client->held);
}
END_TEST

START_TEST(test_held_and_not_acknowledged)
{
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    connector.options.queue_bytes = 300;
    fd = client_connect();
    conn = client_open(fd, MQTT_5, "phone", 7);
    conn_find(connector.conns, conn)->client->receive_max = 1;
    for (uint64_t seq = 1; seq <= 20; seq++)
        send_deliver(conn, seq, "hi");
    expect_delivery(fd, 3);
    ck_assert_uint_eq(expect_packet(fd, MQTT_DISCONNECT).data[2], MQTT_QUOTA_EXCEEDED);
}
END_TEST

/* One write with both: the cursor must not lose the acknowledgement. */
START_TEST(test_acknowledged_and_gone)
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
}
END_TEST

START_TEST(test_stale_connection)
{
    uint64_t conn;
    int fd;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    conn = client_open(fd, MQTT_5, "phone", 7);
    shutdown(fd, SHUT_RDWR);
    ck_assert_uint_eq(expect_record(WIRE_CLOSE)->close.conn, conn);
    send_deliver(conn, 1, "hi");
    await_count(&connector.metrics.records_stale, 1);
    fd = client_connect(); /* takes the slot */
    ck_assert_uint_ne(client_open(fd, MQTT_5, "phone", 8), conn);
    send_deliver(conn, 1, "hi");
    await_count(&connector.metrics.records_stale, 2);
    ck_assert_uint_eq(connector.metrics.deliveries, 0);
}
END_TEST

START_TEST(test_kick)
{
    struct wire_kick kick = {.reason = MQTT_SESSION_TAKEN_OVER};
    int fd, other;

    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    kick.conn = client_open(fd, MQTT_5, "phone", 7);
    wire_put_kick(frame_begin(), &kick);
    frame_send();
    ck_assert_uint_eq(expect_packet(fd, MQTT_DISCONNECT).data[2], MQTT_SESSION_TAKEN_OVER);
    expect_end(fd);
    other = client_connect();
    client_open(other, MQTT_5, "phone", 8); /* the next record is OPEN: no CLOSE was sent */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *opening = tcase_create("opening"), *messages = tcase_create("messages");
    TCase *const all[] = {opening, messages};

    for (unsigned i = 0; i < 2; i++) {
        tcase_add_checked_fixture(all[i], connector_set_up, connector_tear_down);
        tcase_set_timeout(all[i], 30);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_test(opening, test_open);
    tcase_add_test(opening, test_refused_by_the_broker);
    tcase_add_test(opening, test_no_broker_in_time);
    tcase_add_test(opening, test_open_waits_for_the_link);
    tcase_add_test(opening, test_kick);
    tcase_add_test(messages, test_publish_is_answered_once);
    tcase_add_test(messages, test_state);
    tcase_add_test(messages, test_refused_publish_ends_311);
    tcase_add_test(messages, test_back_pressure);
    tcase_add_test(messages, test_full_frames);
    tcase_add_test(messages, test_deliveries_and_acknowledgements);
    tcase_add_test(messages, test_receive_maximum);
    tcase_add_test(messages, test_held_and_not_acknowledged);
    tcase_add_test(messages, test_acknowledged_and_gone);
    tcase_add_test(messages, test_stale_connection);
    return run_suite(suite);
}
