/* Tests of broker/alert*.c, as test_alert.c: what goes wrong on the way, and what is not needed any
 * more while it is under way. */
#include "tests/unit/broker/alert_fixture.h"

#include "tests/support/run_suite.h"

START_TEST(notification_at_its_deadline)
{
    set_state(WIRE_BACKGROUND, 60000);
    send();
    advance(NOTIFY_MS - 1);
    notified(1);
    send();
    advance(NOTIFY_MS - 1);
    ck_assert_uint_eq(count_of(&apns), 0);
    advance(1);
    check_last(&apns, 2);
    ck_assert(session.doubtful);
    ck_assert_uint_eq(count_of(&apns), 1);
}
END_TEST

START_TEST(notification_too_large_for_its_client)
{
    set_state(WIRE_BACKGROUND, 60000);
    send();
    answer(DP_FAILED);
    inbox_pump(&broker, phone);
    check_last(&apns, 1);
    ck_assert_uint_eq(last()->at, 1000000);
    ck_assert_uint_eq(count_of(&local_push), 1); /* and not once more on the socket */
    ck_assert(!session.doubtful);                /* it did answer */
    answer(DP_ACCEPTED);
    send();
    check_last(&local_push, 2);
    ck_assert_uint_eq(given_count, 3);
}
END_TEST

START_TEST(what_is_behind_a_push_is_not_sent_again)
{
    set_state(WIRE_BACKGROUND, 60000);
    for (int i = 0; i < 3; i++)
        send();
    report(&local_push, given[0].id, DP_FAILED, 0, 0);
    inbox_pump(&broker, phone);
    check_last(&apns, 1);
    answer(DP_ACCEPTED);
    ck_assert_uint_eq(phone->alerted_seq, 1);
    send();
    check_last(&local_push, 4);
    ck_assert_uint_eq(count_of(&local_push), 4);
    notified(4);
    ck_assert_uint_eq(phone->alerted_seq, 4);
}
END_TEST

/* The push is read back from the database; what arrives meanwhile does not take its place. */
START_TEST(next_message_while_a_push_is_read)
{
    set_state(WIRE_BACKGROUND, 60000);
    send();
    report(&local_push, last()->id, DP_FAILED, 0, 0);
    inbox_pump(&broker, phone);
    ck_assert_uint_eq(asked_count, 1);
    send();
    ck_assert_uint_eq(given[1].seq, 1);
    ck_assert_ptr_eq(given[1].plugin, &apns);
    report(&apns, given[1].id, DP_ACCEPTED, 0, 0);
    check_last(&local_push, 2);
    ck_assert_uint_eq(given_count, 3);
}
END_TEST

START_TEST(not_needed_any_more_while_its_push_is_read)
{
    set_state(WIRE_BACKGROUND, 60000);
    send();
    now += NOTIFY_MS;
    timer_wheel_advance(&wheel, now);
    ck_assert_uint_eq(asked_count, 1);
    notified(1); /* late, and in time */
    alert_heard(&broker, phone);
    send();
    check_last(&local_push, 2);
    ck_assert_uint_eq(count_of(&apns), 0);
    ck_assert_uint_eq(phone->acked_seq, 1);
}
END_TEST

START_TEST(heard_while_its_push_is_read)
{
    set_state(WIRE_BACKGROUND, 60000);
    send();
    now += NOTIFY_MS;
    timer_wheel_advance(&wheel, now);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert(session.doubtful);
    alert_heard(&broker, phone);
    check_last(&apns, 1);
    answer(DP_ACCEPTED);
    ck_assert_uint_eq(count_of(&local_push), 1); /* it has that one */
}
END_TEST

START_TEST(connection_lost_with_a_notification_in_flight)
{
    set_state(WIRE_BACKGROUND, 60000);
    send();
    offline();
    check_last(&apns, 1);
    ck_assert_uint_eq(count_of(&apns), 1);
}
END_TEST

/* Their documents do not carry the messages, so that only "shown" is known of 2: it is not alerted
 * again, through Apple or over the next connection, and the message itself still follows. */
START_TEST(shown_beyond_a_gap_and_the_connection_lost)
{
    uint8_t beyond[8] = {2};
    const struct wire_ack ack = {
        .conn = 1, .epoch = session.epoch, .more = {.count = 1, .encoded = bytes_of(beyond, 8)}};

    whole = false;
    set_state(WIRE_BACKGROUND, 60000);
    for (int i = 0; i < 3; i++)
        send();
    inbox_on_notified(&broker, &peer, &ack);
    ck_assert_uint_eq(phone->alerted_seq, 0);
    offline();
    check_last(&apns, 1);
    answer(DP_ACCEPTED);
    ck_assert_uint_eq(phone->alerted_seq, 2);
    check_last(&apns, 3);
    answer(DP_ACCEPTED);
    ck_assert_uint_eq(count_of(&apns), 2);
    ck_assert_uint_eq(phone->alerted_seq, 3);
    ck_assert_uint_eq(phone->acked_seq, 0);
    phone->session = &session;
    set_state(WIRE_FOREGROUND, 0);
    ck_assert_uint_eq(count_of(&live), 3);
}
END_TEST

/* me/shown for one whose turn has not come. */
START_TEST(shown_before_its_push)
{
    offline();
    for (int i = 0; i < 3; i++)
        send();
    check_last(&apns, 1);
    alert_shown(&broker, phone, 2);
    answer(DP_ACCEPTED);
    check_last(&apns, 3);
    ck_assert_uint_eq(count_of(&apns), 2);
}
END_TEST

START_TEST(heard_after_its_background_time)
{
    set_state(WIRE_BACKGROUND, 500);
    advance(500);
    send();
    check_last(&apns, 1);
    answer(DP_ACCEPTED);
    ck_assert(session.doubtful);
    alert_heard(&broker, phone); /* it is there all the same */
    send();
    check_last(&local_push, 2);
    notified(2);
    advance(25000 - 1);
    send();
    check_last(&local_push, 3);
    notified(3);
    advance(1);
    send();
    check_last(&apns, 4);
}
END_TEST

START_TEST(acknowledged_while_its_push_is_under_way)
{
    offline();
    send();
    check_last(&apns, 1);
    phone->session = &session;
    inbox_pump(&broker, phone);
    check_last(&live, 1);
    ck_assert_uint_eq(cancels, 0);
    ack(1);
    ck_assert_uint_eq(cancels, 1);
    ck_assert_uint_eq(broker.metrics.push_cancels, 1);
    report(&apns, given[0].id, DP_ACCEPTED, 0, 0); /* too late to matter */
    ck_assert_uint_eq(broker.metrics.late_outcomes, 1);
    ck_assert_uint_eq(broker.metrics.pushed, 0);
}
END_TEST

START_TEST(shown_while_its_push_is_under_way)
{
    offline();
    send();
    send();
    alert_shown(&broker, phone, 1);
    ck_assert_uint_eq(cancels, 1);
    ck_assert_uint_eq(broker.metrics.push_cancels, 1);
    check_last(&apns, 2);
    ck_assert_uint_eq(phone->acked_seq, 0); /* the messages themselves still follow */
}
END_TEST

START_TEST(the_pause_grows_up_to_a_minute)
{
    uint64_t pause_ms = 1000;

    offline();
    send();
    for (unsigned attempt = 1; attempt <= 9; attempt++) {
        answer(DP_RETRY);
        advance(pause_ms / 2 - 1);
        ck_assert_uint_eq(count_of(&apns), attempt);
        advance(pause_ms / 2 + 1);
        ck_assert_uint_eq(count_of(&apns), attempt + 1);
        pause_ms = pause_ms * 2 < 60000 ? pause_ms * 2 : 60000;
    }
    ck_assert_uint_eq(broker.metrics.push_retries, 9);
}
END_TEST

START_TEST(a_plugin_that_does_not_say_it_has_room)
{
    offline();
    plugin_full = true;
    send();
    plugin_full = false;
    advance(4999);
    ck_assert_uint_eq(count_of(&apns), 0);
    advance(1);
    check_last(&apns, 1);
}
END_TEST

START_TEST(all_that_wait_for_a_plugin_get_their_turn)
{
    struct device *desk = device_create(&broker, user, bytes_of_string("desk"));

    desk->no = 8;
    desk->inbox = true;
    desk->push = calloc(1, sizeof(*desk->push));
    desk->push->provider = "apns";
    offline();
    plugin_full = true;
    send();
    alert_plugin_ready(&broker, &apns); /* and is full again before anybody got in */
    ck_assert_uint_eq(count_of(&apns), 0);
    plugin_full = false;
    alert_plugin_ready(&broker, &webhook); /* not theirs */
    ck_assert_uint_eq(count_of(&apns), 0);
    alert_plugin_ready(&broker, &apns);
    ck_assert_uint_eq(count_of(&apns), 2);
    ck_assert_uint_ne(given[0].id >> 32, given[1].id >> 32);
    device_destroy(&broker, desk);
}
END_TEST

START_TEST(a_step_out_of_time_gives_up_its_place_in_the_queue)
{
    broker.routing.state[ROUTE_OFFLINE] =
        (struct steps){.step = {{&webhook, 1000}, {NULL, 0}}, .count = 2};
    offline();
    plugin_full = true;
    send();
    plugin_full = false;
    advance(1000);
    check_last(&apns, 1);
    ck_assert_uint_eq(cancels, 0); /* it never had it */
    alert_plugin_ready(&broker, &webhook);
    ck_assert_uint_eq(given_count, 1);
}
END_TEST

/* After a restart of the broker: 1 and 3 were shown, 2 is on the way. */
START_TEST(adopted_from_a_connector)
{
    const uint8_t open[8] = {2};
    const struct wire_progress notified = {
        .acked_seq = 3, .sent = {.count = 1, .encoded = bytes_of(open, sizeof(open))}};

    broker.settled_ms = now + 1000;
    offline();
    for (int i = 0; i < 3; i++)
        send();
    phone->session = &session;
    session.state = WIRE_BACKGROUND;
    session.lease_until_ms = now + 60000;
    alert_adopt(&broker, phone, &notified);
    inbox_pump(&broker, phone);
    ck_assert_uint_eq(phone->alerted_seq, 1);
    ck_assert_uint_eq(count_of(&local_push), 0);
    advance(NOTIFY_MS);
    check_last(&apns, 2);
    answer(DP_ACCEPTED);
    ck_assert_uint_eq(count_of(&apns), 1);
    ck_assert_uint_eq(phone->alerted_seq, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alert_trouble");
    TCase *tcase = tcase_create("alert_trouble");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, notification_at_its_deadline);
    tcase_add_test(tcase, notification_too_large_for_its_client);
    tcase_add_test(tcase, what_is_behind_a_push_is_not_sent_again);
    tcase_add_test(tcase, next_message_while_a_push_is_read);
    tcase_add_test(tcase, not_needed_any_more_while_its_push_is_read);
    tcase_add_test(tcase, heard_while_its_push_is_read);
    tcase_add_test(tcase, connection_lost_with_a_notification_in_flight);
    tcase_add_test(tcase, shown_beyond_a_gap_and_the_connection_lost);
    tcase_add_test(tcase, shown_before_its_push);
    tcase_add_test(tcase, heard_after_its_background_time);
    tcase_add_test(tcase, acknowledged_while_its_push_is_under_way);
    tcase_add_test(tcase, shown_while_its_push_is_under_way);
    tcase_add_test(tcase, the_pause_grows_up_to_a_minute);
    tcase_add_test(tcase, a_plugin_that_does_not_say_it_has_room);
    tcase_add_test(tcase, all_that_wait_for_a_plugin_get_their_turn);
    tcase_add_test(tcase, a_step_out_of_time_gives_up_its_place_in_the_queue);
    tcase_add_test(tcase, adopted_from_a_connector);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
