/* Tests of broker/inbox.c: what connections that come, go and are announced owe. */
#include "tests/unit/broker/inbox_fixture.h"

static void adopt(uint64_t acked_seq, struct wire_list list)
{
    const struct wire_progress messages = {.acked_seq = acked_seq, .sent = list}, notified = {0};

    inbox_adopt(&broker, device, &messages, &notified);
}

START_TEST(lost_connection_makes_it_due_again_with_dup)
{
    commit(3);
    ack_more(1, 3);
    reconnect(6);
    ck_assert_uint_eq(lost, 1); /* 2; 1 and 3 were done */
    ck_assert_uint_eq(sent.count, 4);
    ck_assert_uint_eq(sent.seq[3], 2);
    ck_assert(sent.redelivery[3]);
    commit(4);
    ck_assert_uint_eq(sent.count, 5);
    ck_assert_uint_eq(sent.seq[4], 4); /* 3 is not sent again */
    ck_assert(!sent.redelivery[4]);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 4);
}
END_TEST

START_TEST(older_connection_does_not_count)
{
    struct wire_ack stale = {.conn = 1, .epoch = 5, .acked_seq = 3};

    commit(3);
    reconnect(6);
    inbox_on_ack(&broker, &peer, &stale);
    ck_assert_uint_eq(device->acked_seq, 0);
    ck_assert_uint_eq(device->flights.outstanding, 3);
}
END_TEST

START_TEST(unsubscribed_what_was_begun_is_completed)
{
    commit(3);
    ack_more(0, 2);
    device->inbox = false;
    commit(5);
    ck_assert_uint_eq(sent.count, 3);
    reconnect(6);
    ck_assert_uint_eq(sent.count, 5);
    ck_assert_uint_eq(sent.seq[3], 1);
    ck_assert_uint_eq(sent.seq[4], 3); /* 2 is acknowledged, 4 and 5 were never begun */
    ck_assert(sent.redelivery[3] && sent.redelivery[4]);
    ack(3);
    ck_assert_uint_eq(device->acked_seq, 3);
    reconnect(7);
    ck_assert_uint_eq(sent.count, 5);
}
END_TEST

/* Retention took the unfinished ones: what comes next in the sequence was never begun. */
START_TEST(unsubscribed_and_a_hole)
{
    commit(3);
    device->inbox = false;
    inbox_connection_lost(&broker, device);
    session.epoch = 6;
    user->last_seq = 8;
    inbox_pump(&broker, device);
    fetched(5, 8);
    ck_assert_uint_eq(sent.count, 3);
}
END_TEST

START_TEST(unsubscribed_and_a_new_session)
{
    commit(3);
    device->inbox = false;
    inbox_connection_lost(&broker, device);
    cursor_moves = 0;
    inbox_restart(&broker, device);
    ck_assert_uint_eq(cursor_moves, 1); /* a broker that starts later must not owe them either */
    inbox_pump(&broker, device);
    ck_assert_uint_eq(sent.count, 3);
    ck_assert_uint_eq(fetches, 0);
}
END_TEST

START_TEST(a_new_session_has_no_dup)
{
    commit(3);
    inbox_connection_lost(&broker, device);
    inbox_restart(&broker, device);
    session.epoch = 6;
    inbox_pump(&broker, device);
    fetched(1, 3);
    ck_assert_uint_eq(sent.count, 6);
    ck_assert(!sent.redelivery[3]);
}
END_TEST

START_TEST(adopts_what_a_connector_has_sent)
{
    uint8_t encoded[16] = {4, 0, 0, 0, 0, 0, 0, 0, 6};
    struct wire_list list = {.count = 2, .encoded = bytes_of(encoded, sizeof(encoded))};

    user->last_seq = 8;
    device->acked_seq = 1;
    device->feed.next_seq = 2;
    adopt(3, list);
    ck_assert_uint_eq(device->acked_seq, 3);
    ck_assert_uint_eq(device->flights.outstanding, 2);
    inbox_pump(&broker, device);
    fetched(7, 8);
    ck_assert_uint_eq(sent.count, 2); /* 7 and 8; 4 and 6 are on the way already */
    ck_assert_uint_eq(sent.seq[0], 7);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 5); /* 5 was acknowledged beyond the gap */
    ack(8);
    ck_assert_uint_eq(device->acked_seq, 8);
}
END_TEST

/* The client has 2 and 4 beyond a gap, and its connection is gone: 3 comes again, they do not. */
START_TEST(adopts_what_a_connection_that_ended_had)
{
    uint8_t encoded[24] = {2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 99}, open[8] = {3};
    const struct wire_progress messages = {.acked_seq = 1,
                                           .more = {.count = 3,
                                                    .encoded = bytes_of(encoded, sizeof(encoded))},
                                           .sent = {.count = 1,
                                                    .encoded = bytes_of(open, sizeof(open))}},
                               notified = {0};

    user->last_seq = 5;
    device->session = NULL;
    inbox_adopt(&broker, device, &messages, &notified);
    inbox_connection_lost(&broker, device);
    ck_assert_uint_eq(device->acked_seq, 2);
    ck_assert_uint_eq(device->feed.next_seq, 3);
    ck_assert_uint_eq(device->sent_seq, 3); /* what comes again comes with DUP */
    ck_assert(!inbox_has(device, 3) && inbox_has(device, 4) && !inbox_has(device, 5));
    ck_assert(!inbox_has(device, 99)); /* there is no such message */
}
END_TEST

START_TEST(adoption_never_moves_back_or_ahead)
{
    struct wire_list none = {0};

    user->last_seq = 5;
    device->acked_seq = 3;
    adopt(2, none);
    ck_assert_uint_eq(device->acked_seq, 3);
    adopt(99, none);
    ck_assert_uint_eq(device->acked_seq, 3);
    ck_assert_uint_eq(device->feed.next_seq, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inbox_session");
    TCase *tcase = tcase_create("inbox");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, lost_connection_makes_it_due_again_with_dup);
    tcase_add_test(tcase, older_connection_does_not_count);
    tcase_add_test(tcase, unsubscribed_what_was_begun_is_completed);
    tcase_add_test(tcase, unsubscribed_and_a_hole);
    tcase_add_test(tcase, unsubscribed_and_a_new_session);
    tcase_add_test(tcase, a_new_session_has_no_dup);
    tcase_add_test(tcase, adopts_what_a_connector_has_sent);
    tcase_add_test(tcase, adopts_what_a_connection_that_ended_had);
    tcase_add_test(tcase, adoption_never_moves_back_or_ahead);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
