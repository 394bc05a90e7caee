/* Tests of connector/session.c, session_announce.c and the handlers around them, as a client and a
 * broker see them. */
#include "connector/session.h"

#include <sys/socket.h>

#include "connector/bus.h"
#include "connector/conn.h"
#include "connector/ended.h"

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

/* The broker refuses: the link is made anew and everything said again, in order. */
static void break_link(void)
{
    const struct wire_refuse refuse = {
        .version = WIRE_VERSION,
        .reason = WIRE_REFUSED_NOT_READY,
        .text = bytes_of_string("test"),
    };
    uint64_t lost = connector.metrics.links_lost;

    wire_put_refuse(frame_begin(), &refuse);
    frame_send();
    await_count(&connector.metrics.links_lost, lost + 1);
}

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
        wire_put_publish(bus_frame(connector.bus), &record);
    for (uint64_t token = 1; token <= 50; token++)
        ck_assert_uint_eq(expect_record(WIRE_PUBLISH)->publish.token, token);
    ck_assert_uint_ge(largest_frame, sizeof(payload));
    ck_assert_uint_le(largest_frame, (4u << 20) + sizeof(payload) + 1000);
}
END_TEST

static void expect_ack(uint64_t acked_seq, uint16_t more)
{
    const struct wire_record *record = expect_record(WIRE_ACK);

    ck_assert_uint_eq(record->ack.acked_seq, acked_seq);
    ck_assert_uint_eq(record->ack.more.count, more);
}

static void expect_delivery(int fd, uint16_t packet_id)
{
    struct bytes packet = expect_packet(fd, MQTT_PUBLISH);
    uint32_t topic_len = (uint32_t)(packet.data[2] << 8 | packet.data[3]);

    ck_assert_int_eq(memcmp(packet.data + 4, "inbox/u/alice/", 14), 0);
    ck_assert_uint_eq(packet.data[4 + topic_len] << 8 | packet.data[5 + topic_len], packet_id);
}

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
    TCase *opening = tcase_create("opening"), *messages = tcase_create("messages"),
          *links = tcase_create("links");
    TCase *const all[] = {opening, messages, links};

    for (unsigned i = 0; i < 3; i++) {
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
    tcase_add_test(links, test_announcement);
    tcase_add_test(links, test_subscription_is_announced);
    tcase_add_test(links, test_ended_without_a_link);
    tcase_add_test(links, test_ended_and_not_committed);
    tcase_add_test(links, test_will);
    return run_suite(suite);
}
