/* Tests of connector/brokers*.c and request.c: several brokers, whose people are whose, and what
 * moves when the members change. bob is the client; the owners by common/owner.c are
 *   with broker/0 and /1: alice 1; bob, carol, eve 0
 *   with all three:       alice 1; bob, carol 0; eve 2
 *   with /1 and /2:       alice, bob, carol 1; eve 2 */
#include "connector/brokers.h"

#include <stdio.h>
#include <string.h>

#include "common/auto.h"

#include "connector/conn.h"

#include "connector_fixture.h"
#include "tests/support/run_suite.h"

static struct buf out;
static int fd;
static uint64_t conn;

static void link_all(unsigned bits)
{
    set_members(1, bits);
    for (unsigned i = 0; i < PLAYED_BROKERS; i++) {
        if ((bits & 1u << i) == 0)
            continue;
        play(i);
        welcome(100);
        expect_record(WIRE_ANNOUNCE_END);
        ck_assert_uint_eq(frame_generation(), 1);
    }
    play(0);
    fd = client_connect();
    conn = client_open(fd, MQTT_5, "phone", 7);
    ck_assert_uint_eq(brokers_linked(connector.brokers), connector.brokers->view.count);
}

static void set_up_two(void)
{
    connector_set_up();
    link_all(3);
}

static void set_up_three(void)
{
    connector_set_up();
    link_all(7);
}

static bool broker_is_linked(unsigned i)
{
    char name[16];

    snprintf(name, sizeof(name), "broker/%u", i);
    for (unsigned slot = 0; slot < BROKER_SLOTS; slot++) {
        const struct broker *broker = connector.brokers->slots[slot];

        if (broker != NULL && strcmp(broker->name, name) == 0)
            return broker->ready;
    }
    return false;
}

/* by tells, and everybody says so from now on. */
static void change_members(unsigned by, uint64_t generation, unsigned bits)
{
    uint64_t changes = connector.metrics.view_changes;

    set_members(generation, bits);
    play(by);
    tell_members();
    await_count(&connector.metrics.view_changes, changes + 1);
    for (unsigned i = 0; i < PLAYED_BROKERS; i++) {
        if (i == by || (bits & 1u << i) == 0)
            continue;
        play(i); /* before anything else of that view */
        if (broker_is_linked(i))
            tell_members();
    }
    play(by);
}

/* Returns its token at that broker. */
static uint64_t publish(const char *topic, uint16_t packet_id, unsigned to)
{
    put_publish_qos1(&out, MQTT_5, topic, packet_id, false);
    client_send(fd, &out);
    play(to);
    return expect_record(WIRE_PUBLISH)->publish.token;
}

static void expect_puback(uint16_t packet_id)
{
    struct bytes packet = expect_packet(fd, MQTT_PUBACK);

    ck_assert_uint_eq(packet.data[2] << 8 | packet.data[3], packet_id);
    ck_assert_uint_eq(packet.len > 4 ? packet.data[4] : 0, MQTT_SUCCESS);
}

/* The sender's owner is another one: PUBACK waits for it as well, and for the PUBACKs before. */
START_TEST(test_copy_before_puback)
{
    const struct wire_record *record;
    uint64_t to_alice, to_carol, copy;
    struct mid mid;

    put_publish_qos1(&out, MQTT_5, "to/u/alice", 1, false);
    client_send(fd, &out);
    play(1);
    record = expect_record(WIRE_PUBLISH);
    to_alice = record->publish.token;
    mid = record->publish.mid;
    to_carol = publish("to/u/carol", 2, 0);
    send_published(to_carol, MQTT_SUCCESS); /* both are broker/0's: no copy */
    play(1);
    send_published(to_alice, MQTT_SUCCESS);
    play(0);
    record = expect_record(WIRE_COPY);
    copy = record->publish.token;
    ck_assert_uint_eq(copy, to_carol + 1); /* of that broker's requests */
    ck_assert(!record->publish.resend);
    ck_assert_mem_eq(&record->publish.mid, &mid, sizeof(mid));
    ck_assert(bytes_equal_string(record->publish.from, "bob"));
    ck_assert(bytes_equal_string(record->publish.to, "alice"));
    ck_assert_uint_eq(connector.metrics.copies, 1);
    ck_assert_uint_eq(brokers_unanswered(connector.brokers), 1);
    send_published(copy, MQTT_SUCCESS);
    expect_puback(1);
    expect_puback(2);
    ck_assert_uint_eq(brokers_unanswered(connector.brokers), 0);
}
END_TEST

/* Refused by the recipient's owner: there is nothing to copy. */
START_TEST(test_no_copy_of_a_refused_message)
{
    uint64_t token = publish("to/u/alice", 1, 1);

    send_published(token, MQTT_QUOTA_EXCEEDED);
    ck_assert_uint_eq(expect_packet(fd, MQTT_PUBACK).data[4], MQTT_QUOTA_EXCEEDED);
    play(0);
    expect_nothing();
    ck_assert_uint_eq(connector.metrics.copies, 0);
}
END_TEST

START_TEST(test_copy_of_a_repeated_key)
{
    static const struct mid stored = {{0x01, 0x8e, [15] = 0x55}};
    const struct wire_record *record;
    uint64_t token = publish("to/u/alice", 1, 1);

    wire_put_published(frame_begin(), &(struct wire_published){
                                          .token = token, .has_stored = true, .stored = stored});
    frame_send();
    play(0);
    record = expect_record(WIRE_COPY);
    ck_assert_mem_eq(&record->publish.mid, &stored, sizeof(stored));
    ck_assert(record->publish.resend);
    send_published(record->publish.token, MQTT_SUCCESS);
    expect_puback(1);
}
END_TEST

/* The message is stored, and that is what the client is told. */
START_TEST(test_refused_copy)
{
    uint64_t token = publish("to/u/alice", 1, 1);

    send_published(token, MQTT_SUCCESS);
    play(0);
    send_published(expect_record(WIRE_COPY)->publish.token, MQTT_QUOTA_EXCEEDED);
    expect_puback(1);
    ck_assert_uint_eq(connector.metrics.copies_refused, 1);
}
END_TEST

/* A COPY is said again over a new link, also when its client is gone. */
START_TEST(test_copy_over_a_new_link)
{
    const struct wire_record *record;
    uint64_t token = publish("to/u/alice", 1, 1), copy;

    send_published(token, MQTT_SUCCESS);
    play(0);
    copy = expect_record(WIRE_COPY)->publish.token;
    put_disconnect(&out);
    client_send(fd, &out);
    await_count(&connector.metrics.closed_by_client, 1);
    expect_record(WIRE_CLOSE);
    break_link();
    welcome(100);
    expect_record(WIRE_ENDED);
    expect_record(WIRE_ANNOUNCE_END);
    record = expect_record(WIRE_COPY);
    ck_assert_uint_eq(record->publish.token, copy);
    ck_assert(record->publish.resend);
    send_published(copy, MQTT_SUCCESS);
    expect_nothing();
    ck_assert_uint_eq(brokers_unanswered(connector.brokers), 0);
}
END_TEST

/* The client went before its PUBLISH was answered: the copy is made all the same. */
START_TEST(test_copy_without_its_client)
{
    uint64_t token = publish("to/u/alice", 1, 1);

    put_disconnect(&out);
    client_send(fd, &out);
    await_count(&connector.metrics.closed_by_client, 1);
    send_published(token, MQTT_SUCCESS);
    play(0);
    expect_record(WIRE_CLOSE);
    expect_record(WIRE_COPY);
}
END_TEST

START_TEST(test_signal_goes_to_the_recipients_owner)
{
    static const uint8_t signal[] = {0x30, 15,  0,   10,  't', 'o', '/', 'u', '/',
                                     'a',  'l', 'i', 'c', 'e', 0,   'h', 'i'};

    buf_put(&out, signal, sizeof(signal));
    client_send(fd, &out);
    play(1);
    ck_assert(bytes_equal_string(expect_record(WIRE_SIGNAL)->signal.to, "alice"));
    play(0);
    expect_nothing();
}
END_TEST

/* What another broker says about a connection is not believed. */
START_TEST(test_records_of_another_owner)
{
    uint64_t stale = connector.metrics.records_stale;

    publish("to/u/alice", 1, 1);
    wire_put_kick(frame_begin(), &(struct wire_kick){.conn = conn, .reason = 0x8e});
    frame_send();
    await_count(&connector.metrics.records_stale, stale + 1);
    send_deliver(conn, 1, "hi");
    await_count(&connector.metrics.records_stale, stale + 2);
    play(0);
    send_deliver(conn, 1, "hi");
    expect_delivery(fd, 3);
}
END_TEST

/* A member that can't be reached holds up its own people only. */
START_TEST(test_member_out_of_reach)
{
    uint64_t token;

    connector_set_up();
    set_members(1, 3);
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    fd = client_connect();
    client_open(fd, MQTT_5, "phone", 7);
    put_publish_qos1(&out, MQTT_5, "to/u/alice", 1, false); /* broker/1 */
    client_send(fd, &out);
    await_count(&connector.metrics.publishes, 1);
    token = publish("to/u/carol", 2, 0);
    send_published(token, MQTT_SUCCESS);
    play(1);
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    token = expect_record(WIRE_PUBLISH)->publish.token;
    send_published(token, MQTT_SUCCESS);
    play(0);
    send_published(expect_record(WIRE_COPY)->publish.token, MQTT_SUCCESS);
    expect_puback(1);
    expect_puback(2);
    connector_tear_down();
}
END_TEST

/* broker/2 comes: eve's publishes go there, marked; the late answer to one finds nothing. */
START_TEST(test_member_comes)
{
    uint64_t first = publish("to/u/eve", 1, 0), carol = publish("to/u/carol", 2, 0);
    uint64_t stale = connector.metrics.records_stale;
    const struct wire_record *record;

    publish("to/u/eve", 3, 0);
    change_members(0, 2, 7);
    ck_assert_uint_eq(connector.metrics.requests_moved, 2);
    ck_assert_uint_eq(connector.metrics.sessions_moved, 0);
    send_published(first, MQTT_SUCCESS);
    await_count(&connector.metrics.records_stale, stale + 1);
    expect_nothing(); /* broker/0 is told nothing of them */
    play(2);
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    for (uint64_t token = 1; token <= 2; token++) {
        record = expect_record(WIRE_PUBLISH);
        ck_assert_uint_eq(record->publish.token, token);
        ck_assert(record->publish.resend && bytes_equal_string(record->publish.to, "eve"));
        send_published(token, MQTT_SUCCESS);
        play(0);
        send_published(expect_record(WIRE_COPY)->publish.token, MQTT_SUCCESS);
        ck_assert_uint_eq(frame_generation(), 2);
        play(2);
    }
    expect_puback(1);
    play(0);
    send_published(carol, MQTT_SUCCESS);
    expect_puback(2);
    expect_puback(3);
}
END_TEST

/* broker/0 leaves: bob's session and all that waits goes to broker/1, in order. */
START_TEST(test_member_goes)
{
    const struct wire_record *record;
    uint64_t lost = connector.metrics.records_stale, token;
    uint64_t other;
    int second, waiting;

    second = client_connect();
    other = client_open(second, MQTT_5, "tablet", 8);
    put_disconnect(&out);
    client_send(second, &out);
    ck_assert_uint_eq(expect_record(WIRE_CLOSE)->close.conn, other);
    put_inbox_subscribe(&out, MQTT_5, 1);
    client_send(fd, &out);
    expect_record(WIRE_SUBSCRIBE);
    publish("to/u/carol", 2, 0);
    publish("to/u/carol", 3, 0);
    waiting = client_connect();
    put_connect(&out, MQTT_5, "watch", NULL);
    client_send(waiting, &out);
    expect_record(WIRE_OPEN);
    publish("to/u/eve", 4, 2);
    publish("to/u/alice", 5, 1);

    change_members(2, 2, 6);
    play(1);
    record = expect_record(WIRE_ANNOUNCE);
    ck_assert_uint_eq(frame_generation(), 2);
    ck_assert_uint_eq(record->announce.open.conn, conn);
    ck_assert_uint_eq(record->announce.epoch, 7);
    ck_assert_uint_eq(expect_record(WIRE_ENDED)->ended.conn, other);
    ck_assert(bytes_equal_string(expect_record(WIRE_OPEN)->open.device, "watch"));
    ck_assert_uint_eq(expect_record(WIRE_SUBSCRIBE)->subscribe.conn, conn);
    record = expect_record(WIRE_PUBLISH);
    ck_assert(record->publish.resend);
    ck_assert(bytes_equal_string(record->publish.to, "carol"));
    token = record->publish.token;
    ck_assert_uint_eq(expect_record(WIRE_PUBLISH)->publish.token, token + 1);
    expect_nothing();
    ck_assert_uint_eq(connector.metrics.sessions_moved, 1);
    ck_assert_uint_eq(connector.metrics.requests_moved, 3);
    ck_assert_ptr_null(brokers_at(connector.brokers, 0));

    /* broker/1 is bob's and carol's: it answers, and its records are taken. */
    send_published(token, MQTT_SUCCESS);
    expect_puback(2);
    send_deliver(conn, 1, "hi");
    expect_delivery(fd, 3);
    ck_assert_uint_eq(connector.metrics.records_stale, lost);
}
END_TEST

/* A request that ends with its session is found after it has moved. */
START_TEST(test_moved_requests_end_with_their_session)
{
    put_inbox_subscribe(&out, MQTT_5, 1);
    client_send(fd, &out);
    expect_record(WIRE_SUBSCRIBE);
    change_members(2, 2, 6);
    play(1);
    expect_record(WIRE_ANNOUNCE);
    expect_record(WIRE_SUBSCRIBE);
    ck_assert_uint_eq(brokers_unanswered(connector.brokers), 1);
    put_disconnect(&out);
    client_send(fd, &out);
    expect_record(WIRE_CLOSE);
    ck_assert_uint_eq(brokers_unanswered(connector.brokers), 0);
}
END_TEST

/* The COPY on its way to the sender's owner moves with the sender. */
START_TEST(test_copy_moves_with_its_sender)
{
    const struct wire_record *record;
    uint64_t token = publish("to/u/eve", 1, 2);

    send_published(token, MQTT_SUCCESS);
    play(0);
    expect_record(WIRE_COPY);
    change_members(2, 2, 6);
    play(1);
    expect_record(WIRE_ANNOUNCE);
    record = expect_record(WIRE_COPY);
    ck_assert(record->publish.resend);
    send_published(record->publish.token, MQTT_SUCCESS);
    expect_puback(1);
}
END_TEST

/* More people than credit: the client is not read until there is room. */
START_TEST(test_above_the_credit_of_the_new_owner)
{
    uint64_t token;

    play(1);
    break_link();
    welcome(2);
    expect_record(WIRE_ANNOUNCE_END);
    for (uint16_t id = 1; id <= 4; id++)
        publish("to/u/carol", id, 0);
    change_members(2, 2, 6);
    play(1);
    expect_record(WIRE_ANNOUNCE);
    token = expect_record(WIRE_PUBLISH)->publish.token;
    for (unsigned i = 0; i < 3; i++)
        expect_record(WIRE_PUBLISH);
    put_publish_qos1(&out, MQTT_5, "to/u/carol", 5, false);
    client_send(fd, &out);
    await_count(&connector.metrics.stalls, 1);
    expect_nothing();
    for (uint16_t id = 1; id <= 4; id++) {
        send_published(token++, MQTT_SUCCESS);
        expect_puback(id);
    }
    ck_assert_uint_eq(expect_record(WIRE_PUBLISH)->publish.token, token);
}
END_TEST

/* Generations were missed: anybody may have owned anybody, so everything is said anew. */
START_TEST(test_jump)
{
    uint64_t lost = connector.metrics.links_lost;

    publish("to/u/alice", 1, 1);
    change_members(2, 3, 7);
    await_count(&connector.metrics.links_lost, lost + 3);
    for (unsigned i = 0; i < 3; i++) {
        play(i);
        welcome(100);
        if (i == 0)
            ck_assert_uint_eq(expect_record(WIRE_ANNOUNCE)->announce.open.conn, conn);
        expect_record(WIRE_ANNOUNCE_END);
        ck_assert_uint_eq(frame_generation(), 3);
        if (i == 1)
            ck_assert(expect_record(WIRE_PUBLISH)->publish.resend);
    }
}
END_TEST

/* The same, told by a broker that is linked anew: it alone keeps its link. */
START_TEST(test_jump_in_welcome)
{
    uint64_t lost = connector.metrics.links_lost;

    play(1);
    break_link();
    set_members(4, 7);
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    await_count(&connector.metrics.links_lost, lost + 3);
    play(0);
    welcome(100);
    ck_assert_uint_eq(expect_record(WIRE_ANNOUNCE)->announce.open.conn, conn);
    expect_record(WIRE_ANNOUNCE_END);
    play(2);
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    ck_assert_uint_eq(brokers_linked(connector.brokers), 3);
}
END_TEST

/* broker/1 has restarted at another endpoint: its requests wait for it, and go there. */
START_TEST(test_member_moves_house)
{
    uint64_t token = publish("to/u/alice", 1, 1);
    const struct wire_record *record;

    put_elsewhere(1, 2); /* where broker/2 was */
    change_members(0, 2, 3);
    play(2);
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    record = expect_record(WIRE_PUBLISH);
    ck_assert_uint_eq(record->publish.token, token);
    ck_assert(record->publish.resend);
}
END_TEST

/* A broker that does not know yet is asked again, and people stay where they are. */
START_TEST(test_older_views)
{
    uint64_t lost;

    change_members(2, 2, 6);
    play(1);
    expect_record(WIRE_ANNOUNCE);
    set_members(1, 7); /* in MEMBERS: nothing to learn */
    tell_members();
    send_deliver(conn, 1, "hi");
    expect_delivery(fd, 3);
    ck_assert_uint_eq(connector.metrics.view_changes, 1);
    lost = connector.metrics.links_lost;
    play(2);
    break_link();
    welcome(100); /* in WELCOME: it must be brought to know */
    await_count(&connector.metrics.links_lost, lost + 2);
    set_members(2, 6);
    welcome(100);
    expect_record(WIRE_ANNOUNCE_END);
    ck_assert_uint_eq(connector.metrics.view_changes, 1);
    ck_assert_uint_eq(brokers_linked(connector.brokers), 2);
}
END_TEST

/* Records of a view that was not told end the link; so does another list for the same one. */
START_TEST(test_views_that_can_not_be)
{
    uint64_t lost = connector.metrics.links_lost;

    play(1);
    set_members(2, 7);
    send_published(1, MQTT_SUCCESS);
    await_count(&connector.metrics.links_lost, lost + 1);
    set_members(1, 7);
    welcome(100);
    set_members(1, 6);
    tell_members();
    await_count(&connector.metrics.links_lost, lost + 2);
    ck_assert_uint_eq(connector.metrics.view_changes, 0);
}
END_TEST

/* All members are gone for good: the configuration's broker is asked who is there now. */
START_TEST(test_seeds_are_asked_again)
{
    change_members(2, 2, 6); /* broker/0, the configuration's, leaves */
    for (unsigned i = 1; i < 3; i++) {
        play(i);
        break_link();
    }
    set_members(3, 1);
    play(0);
    welcome(100);
    ck_assert_uint_eq(expect_record(WIRE_ANNOUNCE)->announce.open.conn, conn);
    expect_record(WIRE_ANNOUNCE_END);
    ck_assert_uint_eq(connector.brokers->view.count, 1);
    ck_assert_uint_eq(brokers_linked(connector.brokers), 1);
}
END_TEST

static void add_case(Suite *suite, const char *name, void (*set_up)(void),
                     const TTest *const *tests, size_t count)
{
    TCase *tcase = tcase_create(name);

    if (set_up != NULL)
        tcase_add_checked_fixture(tcase, set_up, connector_tear_down);
    tcase_set_timeout(tcase, 30);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    const TTest *const two[] = {test_copy_before_puback,
                                test_no_copy_of_a_refused_message,
                                test_copy_of_a_repeated_key,
                                test_refused_copy,
                                test_copy_over_a_new_link,
                                test_copy_without_its_client,
                                test_signal_goes_to_the_recipients_owner,
                                test_records_of_another_owner,
                                test_member_comes};
    const TTest *const three[] = {test_member_goes,
                                  test_moved_requests_end_with_their_session,
                                  test_copy_moves_with_its_sender,
                                  test_above_the_credit_of_the_new_owner,
                                  test_jump,
                                  test_jump_in_welcome,
                                  test_member_moves_house,
                                  test_older_views,
                                  test_views_that_can_not_be,
                                  test_seeds_are_asked_again};
    const TTest *const reach[] = {test_member_out_of_reach};
    Suite *suite = suite_create("brokers");

    add_case(suite, "two brokers", set_up_two, two, ARRAY_LEN(two));
    add_case(suite, "three brokers", set_up_three, three, ARRAY_LEN(three));
    add_case(suite, "out of reach", NULL, reach, ARRAY_LEN(reach));
    return run_suite(suite);
}
