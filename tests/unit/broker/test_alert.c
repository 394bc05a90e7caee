/* Tests of broker/alert*.c with inbox.c, route.c and what is below them, on a clock of our own: the
 * moments between routes to the millisecond. */
#include "tests/unit/broker/alert_fixture.h"

#include "tests/support/run_suite.h"

/* --- deadlines --- */

START_TEST(acknowledged_in_the_last_millisecond)
{
    send();
    advance(LIVE_MS - 1);
    ack(1);
    advance(LIVE_MS);
    ck_assert_uint_eq(count_of(&apns), 0);
    ck_assert(!session.doubtful);
}
END_TEST

START_TEST(acknowledged_a_millisecond_late)
{
    send();
    advance(LIVE_MS);
    check_last(&apns, 1);
    ck_assert_uint_eq(last()->at, 1000000 + LIVE_MS);
    ck_assert(session.doubtful);
    advance(1);
    ack(1);
    ck_assert_uint_eq(cancels, 1);
    ck_assert_uint_eq(phone->acked_seq, 1);
}
END_TEST

START_TEST(a_ghost_costs_one_deadline)
{
    send();
    advance(LIVE_MS);
    answer(DP_ACCEPTED);
    send();
    check_last(&apns, 2);
    ck_assert_uint_eq(last()->at, now);
    answer(DP_ACCEPTED);
    alert_heard(&broker, phone); /* it speaks: the socket takes what it has not had */
    check_last(&live, 2);
    ack(2);
    ck_assert_uint_eq(phone->acked_seq, 2);
    advance(LIVE_MS * 2);
    ck_assert_uint_eq(count_of(&apns), 2);
}
END_TEST

START_TEST(each_has_its_own_deadline)
{
    send();
    advance(LIVE_MS - 1);
    send();
    advance(1); /* the first one's */
    check_last(&apns, 1);
    answer(DP_ACCEPTED);
    ck_assert_uint_eq(count_of(&apns), 1);
    ack_beyond(2);
    advance(LIVE_MS);
    ck_assert_uint_eq(count_of(&apns), 1);
}
END_TEST

START_TEST(without_another_way_there_is_no_deadline)
{
    free(phone->push);
    phone->push = NULL;
    send();
    advance(LIVE_MS * 3);
    ck_assert(!session.doubtful);
    send();
    check_last(&live, 2);
}
END_TEST

/* --- background --- */

START_TEST(notification_that_carries_all_moves_the_cursor)
{
    set_state(WIRE_BACKGROUND, 60000);
    send();
    check_last(&local_push, 1);
    notified(1);
    ck_assert_uint_eq(phone->acked_seq, 1);
    set_state(WIRE_FOREGROUND, 0);
    ck_assert_uint_eq(count_of(&live), 0);
}
END_TEST

START_TEST(truncated_notification_is_followed_by_the_message)
{
    whole = false;
    set_state(WIRE_BACKGROUND, 60000);
    send();
    notified(1);
    ck_assert_uint_eq(phone->acked_seq, 0);
    ck_assert_uint_eq(phone->alerted_seq, 1);
    advance(NOTIFY_MS * 2);
    ck_assert_uint_eq(count_of(&apns), 0); /* it was shown */
    set_state(WIRE_FOREGROUND, 0);
    check_last(&live, 1);
}
END_TEST

START_TEST(background_time_ends_before_the_deadline)
{
    set_state(WIRE_BACKGROUND, 500);
    send();
    advance(500);
    check_last(&apns, 1);
    ck_assert_uint_eq(last()->at, 1000500);
    answer(DP_ACCEPTED);
    send();
    check_last(&apns, 2);
}
END_TEST

START_TEST(in_flight_at_the_switch_keeps_its_deadline)
{
    send();
    set_state(WIRE_BACKGROUND, 60000);
    send();
    check_last(&local_push, 2); /* 1 is on the socket already */
    notified(2);
    advance(LIVE_MS);
    check_last(&apns, 1);
    ck_assert_uint_eq(count_of(&local_push), 1);
}
END_TEST

START_TEST(window_of_notifications)
{
    session.window = 2;
    set_state(WIRE_BACKGROUND, 60000);
    for (int i = 0; i < 4; i++)
        send();
    ck_assert_uint_eq(count_of(&local_push), 2);
    notified(1);
    ck_assert_uint_eq(count_of(&local_push), 3);
}
END_TEST

/* --- pushes --- */

START_TEST(one_push_at_a_time_in_order)
{
    offline();
    for (int i = 0; i < 3; i++)
        send();
    for (uint64_t seq = 1; seq <= 3; seq++) {
        ck_assert_uint_eq(count_of(&apns), (unsigned)seq);
        check_last(&apns, seq);
        answer(DP_ACCEPTED);
    }
    ck_assert_uint_eq(phone->alerted_seq, 3);
    ck_assert_uint_eq(phone->acked_seq, 0);
    ck_assert_uint_eq(user->pins, 0); /* nothing waits: it may be forgotten */
}
END_TEST

START_TEST(closed_with_a_message_in_flight)
{
    send();
    offline();
    check_last(&apns, 1);
}
END_TEST

START_TEST(retry_waits_as_long_as_it_was_told)
{
    offline();
    send();
    report(&apns, last()->id, DP_RETRY, 7000, 0);
    advance(6999);
    ck_assert_uint_eq(count_of(&apns), 1);
    advance(1);
    ck_assert_uint_eq(count_of(&apns), 2);
    ck_assert_uint_ne(given[0].id, given[1].id);
    report(&apns, given[0].id, DP_ACCEPTED, 0, 0); /* of the first attempt, late */
    ck_assert_uint_eq(phone->alerted_seq, 0);
    ck_assert_uint_eq(broker.metrics.late_outcomes, 1);
}
END_TEST

START_TEST(back_while_a_retry_waits)
{
    offline();
    send();
    report(&apns, last()->id, DP_RETRY, 7000, 0);
    phone->session = &session;
    inbox_pump(&broker, phone);
    check_last(&live, 1);
    advance(3000);
    ck_assert_uint_eq(count_of(&apns), 1); /* its socket has it, and its deadline */
}
END_TEST

START_TEST(expires_while_it_waits)
{
    offline();
    send_expiring(wall + now + 1000);
    report(&apns, last()->id, DP_RETRY, 60000, 0);
    advance(1001);
    ck_assert_uint_eq(phone->alerted_seq, 1);
    ck_assert_str_eq(last_reason, "expired");
}
END_TEST

START_TEST(full_plugin_is_asked_when_it_is_ready)
{
    offline();
    plugin_full = true;
    send();
    ck_assert_uint_eq(given_count, 0);
    plugin_full = false;
    alert_plugin_ready(&broker, &apns);
    check_last(&apns, 1);
}
END_TEST

START_TEST(failed_goes_to_the_next_step)
{
    broker.routing.state[ROUTE_OFFLINE] =
        (struct steps){.step = {{NULL, 0}, {&webhook, 1000}}, .count = 2};
    offline();
    send();
    check_last(&apns, 1);
    answer(DP_FAILED);
    check_last(&webhook, 1);
    advance(1000); /* its time is over, and there is no other */
    ck_assert_uint_eq(phone->alerted_seq, 1);
    ck_assert_uint_eq(cancels, 1);
}
END_TEST

START_TEST(dead_token_is_forgotten)
{
    offline();
    send();
    report(&apns, last()->id, DP_DEVICE_GONE, 0, wall + now);
    ck_assert_uint_eq(forgotten, 1);
    send();
    ck_assert_uint_eq(count_of(&apns), 1);
}
END_TEST

START_TEST(registered_again_since_the_token_died)
{
    offline();
    send();
    registered(wall + now + 10);
    report(&apns, last()->id, DP_DEVICE_GONE, 0, wall + now);
    ck_assert_uint_eq(forgotten, 0);
    ck_assert_uint_eq(count_of(&apns), 2);
}
END_TEST

START_TEST(above_the_limit_of_a_minute_comes_a_summary)
{
    offline();
    for (int i = 0; i < 20; i++)
        send();
    for (int i = 0; i < 5; i++)
        answer(DP_ACCEPTED);
    ck_assert_uint_eq(count_of(&apns), 5);
    advance(60000);
    check_last(&apns, 20);
    answer(DP_ACCEPTED);
    ck_assert_uint_eq(phone->alerted_seq, 20);
}
END_TEST

START_TEST(nothing_is_pushed_before_connectors_had_their_say)
{
    broker.settled_ms = now + 3000;
    offline();
    send();
    advance(2999);
    ck_assert_uint_eq(given_count, 0);
    advance(1);
    check_last(&apns, 1);
}
END_TEST

START_TEST(read_elsewhere_is_not_pushed)
{
    offline();
    send();
    report(&apns, last()->id, DP_RETRY, 60000, 0);
    read_up_to = 1;
    alert_seen(&broker, phone, 1);
    ck_assert_uint_eq(phone->alerted_seq, 1);
    ck_assert_str_eq(last_reason, "read");
}
END_TEST

START_TEST(held_while_the_person_is_elsewhere)
{
    static struct session other;
    struct device *desk = device_create(&broker, user, bytes_of_string("desk"));

    broker.options.hold_ms = 2000;
    desk->no = 8;
    desk->inbox = true;
    other = (struct session){.conn = 2,
                             .window = 8,
                             .opened = true,
                             .device = desk,
                             .peer = &peer,
                             .state = WIRE_FOREGROUND};
    desk->session = &other;
    offline();
    send();
    advance(1999);
    ck_assert_uint_eq(count_of(&apns), 0);
    advance(1);
    check_last(&apns, 1);
    desk->session = NULL;
    device_destroy(&broker, desk);
}
END_TEST

START_TEST(a_client_that_just_connected_may_subscribe)
{
    phone->inbox = false;
    session.opened_ms = now;
    send();
    advance(1999);
    ck_assert_uint_eq(given_count, 0);
    advance(1);
    check_last(&apns, 1);
}
END_TEST

/* What was sent last may be lost with the old link: a later message would come before it. */
START_TEST(on_a_new_link_nothing_is_sent_before_the_announcement)
{
    send();
    check_last(&live, 1);
    session.unlinked = true; /* HELLO of the same connector */
    send();
    advance(LIVE_MS - 1);
    ck_assert_uint_eq(given_count, 1);
    session.unlinked = false;
    inbox_pump(&broker, phone);
    check_last(&live, 2);
    ck_assert_uint_eq(given_count, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alert");
    TCase *tcase = tcase_create("alert");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, acknowledged_in_the_last_millisecond);
    tcase_add_test(tcase, on_a_new_link_nothing_is_sent_before_the_announcement);
    tcase_add_test(tcase, acknowledged_a_millisecond_late);
    tcase_add_test(tcase, a_ghost_costs_one_deadline);
    tcase_add_test(tcase, each_has_its_own_deadline);
    tcase_add_test(tcase, without_another_way_there_is_no_deadline);
    tcase_add_test(tcase, notification_that_carries_all_moves_the_cursor);
    tcase_add_test(tcase, truncated_notification_is_followed_by_the_message);
    tcase_add_test(tcase, background_time_ends_before_the_deadline);
    tcase_add_test(tcase, in_flight_at_the_switch_keeps_its_deadline);
    tcase_add_test(tcase, window_of_notifications);
    tcase_add_test(tcase, one_push_at_a_time_in_order);
    tcase_add_test(tcase, closed_with_a_message_in_flight);
    tcase_add_test(tcase, retry_waits_as_long_as_it_was_told);
    tcase_add_test(tcase, back_while_a_retry_waits);
    tcase_add_test(tcase, expires_while_it_waits);
    tcase_add_test(tcase, full_plugin_is_asked_when_it_is_ready);
    tcase_add_test(tcase, failed_goes_to_the_next_step);
    tcase_add_test(tcase, dead_token_is_forgotten);
    tcase_add_test(tcase, registered_again_since_the_token_died);
    tcase_add_test(tcase, above_the_limit_of_a_minute_comes_a_summary);
    tcase_add_test(tcase, nothing_is_pushed_before_connectors_had_their_say);
    tcase_add_test(tcase, read_elsewhere_is_not_pushed);
    tcase_add_test(tcase, held_while_the_person_is_elsewhere);
    tcase_add_test(tcase, a_client_that_just_connected_may_subscribe);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
