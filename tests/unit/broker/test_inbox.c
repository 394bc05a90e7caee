/* Tests of broker/inbox.c: sequences, windows, cursors. */
#include "tests/unit/broker/inbox_fixture.h"

START_TEST(covered_by_a_notification_that_is_under_way)
{
    carried = 2;
    commit(3);
    ck_assert_uint_eq(sent.count, 2); /* 1 and 3 */
    ack(1);
    ack(3);
    ck_assert_uint_eq(device->acked_seq, 1);
    inbox_acknowledged(&broker, device, 2, "local-push");
    ck_assert_uint_eq(device->acked_seq, 3);
}
END_TEST

START_TEST(acknowledged_as_a_notification)
{
    device->session = NULL; /* what it gets, it gets as notifications */
    commit(4);
    inbox_acknowledged(&broker, device, 1, "local-push");
    ck_assert_uint_eq(device->acked_seq, 1);
    inbox_acknowledged(&broker, device, 3, "local-push");
    ck_assert_uint_eq(device->acked_seq, 1);
    ck_assert(inbox_has(device, 3));
    ck_assert(!inbox_has(device, 2));
    inbox_acknowledged(&broker, device, 2, "local-push");
    ck_assert_uint_eq(device->acked_seq, 3);
    device->session = &session;
    inbox_pump(&broker, device);
    if (device->feed.fetching)
        fetched(4, 4);
    ck_assert_uint_eq(sent.count, 1);
    ck_assert_uint_eq(sent.seq[0], 4);
}
END_TEST

START_TEST(delivers_in_order_within_the_window)
{
    commit(10);
    ck_assert_uint_eq(sent.count, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(sent.seq[i], i + 1);
    ack(1);
    ck_assert_uint_eq(sent.count, 5);
    ck_assert_uint_eq(device->acked_seq, 1);
    ack(5);
    ck_assert_uint_eq(sent.count, 9);
    ack(10);
    ck_assert_uint_eq(device->acked_seq, 9); /* 10 was never sent when that came */
    ack(10);
    ck_assert_uint_eq(device->acked_seq, 10);
    ck_assert_uint_eq(fetches, 0);
    ck_assert_ptr_null(device->flights.ring);
    ck_assert_uint_eq(user->tail.count, 0);
    ck_assert_uint_eq(user->max_acked, 10);
}
END_TEST

START_TEST(window_counts_bytes_too)
{
    broker.options.inbox_window_bytes = 1; /* less than any message: one at a time */
    commit(3);
    ck_assert_uint_eq(sent.count, 1);
    ack(1);
    ck_assert_uint_eq(sent.count, 2);
    ck_assert_uint_gt(device->flights.outstanding_bytes, 0);
    ack(2);
    ack(3);
    ck_assert_uint_eq(sent.count, 3);
    ck_assert_uint_eq(device->flights.outstanding_bytes, 0);
}
END_TEST

START_TEST(acknowledged_beyond_a_gap)
{
    commit(4);
    ack_more(0, 3);
    ck_assert_uint_eq(device->acked_seq, 0);
    ck_assert_uint_eq(device->flights.outstanding, 3);
    ack(1);
    ck_assert_uint_eq(device->acked_seq, 1);
    ack(2);
    ck_assert_uint_eq(device->acked_seq, 3);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 4);
}
END_TEST

START_TEST(backlog_is_read_then_the_tail_goes_on)
{
    user->last_seq = 6;
    inbox_pump(&broker, device);
    ck_assert_uint_eq(sent.count, 0);
    ck_assert_uint_eq(fetches, 1);
    commit(8); /* while the read is under way */
    ck_assert_uint_eq(sent.count, 0);
    fetched(1, 6);
    ck_assert_uint_eq(sent.count, 4);
    ack(4);
    ck_assert_uint_eq(sent.count, 8);
    ck_assert_uint_eq(sent.seq[7], 8);
    ck_assert_uint_eq(fetches, 1);
}
END_TEST

START_TEST(hole_left_by_retention_is_passed)
{
    user->last_seq = 10;
    inbox_pump(&broker, device);
    fetched(8, 10); /* 1 to 7 went with their partition */
    ck_assert_uint_eq(sent.count, 3);
    ck_assert_uint_eq(device->acked_seq, 7);
    ack(10);
    ck_assert_uint_eq(device->acked_seq, 10);
}
END_TEST

START_TEST(nothing_left_moves_the_cursor)
{
    user->last_seq = 10;
    inbox_pump(&broker, device);
    device->feed.fetching = false;
    inbox_fetched(&broker, &device->feed, NULL, 0, 10);
    ck_assert_uint_eq(device->acked_seq, 10);
    commit(11);
    ck_assert_uint_eq(sent.count, 1);
    ck_assert_uint_eq(sent.seq[0], 11);
}
END_TEST

START_TEST(expired_and_own_copies_are_passed)
{
    struct message *m;

    for (uint64_t seq = 1; seq <= 4; seq++) {
        m = make(seq);
        m->expires_at_ms = seq == 2 ? 1 : 0;
        m->origin_device = seq == 3 ? device->no : 0;
        inbox_append(&broker, user, m);
        message_unref(m);
    }
    inbox_pump_touched(&broker);
    ck_assert_uint_eq(sent.count, 2);
    ck_assert_uint_eq(sent.seq[1], 4);
    ck_assert_uint_eq(broker.metrics.expired, 1);
    ack(1);
    ck_assert_uint_eq(device->acked_seq, 3);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 4);
}
END_TEST

START_TEST(older_than_the_retention_time_is_passed)
{
    struct message *m = make(1);

    m->sent_at_ms -= retention_ms(&broker);
    inbox_append(&broker, user, m);
    message_unref(m);
    inbox_pump_touched(&broker);
    ck_assert_uint_eq(sent.count, 0);
    ck_assert_uint_eq(broker.metrics.expired, 1);
    ck_assert_uint_eq(traced, 1);
    ck_assert_uint_eq(device->acked_seq, 1);
}
END_TEST

START_TEST(too_large_is_passed_and_counted)
{
    struct wire_skip skip = {.conn = 1, .epoch = 5, .seq = 1, .size = 9, .limit = 5};

    commit(2);
    inbox_on_skip(&broker, &peer, &skip);
    ck_assert_uint_eq(device->acked_seq, 1);
    ck_assert_uint_eq(broker.metrics.too_large, 1);
    ack(2);
    ck_assert_uint_eq(device->acked_seq, 2);
}
END_TEST

START_TEST(full_route_is_asked_again)
{
    route_full = true;
    commit(2);
    ck_assert_uint_eq(sent.count, 0);
    ck_assert_uint_eq(device->flights.outstanding, 0);
    route_full = false;
    inbox_pump(&broker, device);
    ck_assert_uint_eq(sent.count, 2);
    ck_assert_uint_eq(sent.seq[0], 1);
    ack(2);
    ck_assert_uint_eq(device->acked_seq, 2);
}
END_TEST

START_TEST(late_outcome_is_counted_only)
{
    commit(1);
    ack(1);
    report(sent.id[0], DP_ACKNOWLEDGED, NULL);
    report(~sent.id[0], DP_ACKNOWLEDGED, NULL);
    ck_assert_uint_eq(broker.metrics.late_outcomes, 2);
    ck_assert_uint_eq(broker.metrics.acknowledged, 1);
}
END_TEST

/* Any order of commits, acknowledgements (also out of order) and lost connections: each message is
 * delivered at least once, in order on each connection, the window is kept, the cursor never passes
 * one that was not acknowledged. */
START_TEST(random_histories)
{
    bool acked[201] = {false};
    unsigned from = 0; /* first of `sent` on this connection */
    unsigned checked_sent = 0;
    uint64_t checked_seq = 0;

    srandom((unsigned)_i);
    while (device->acked_seq < 200) {
        long what = random() % 10;

        if (what < 4 && user->last_seq < 200) {
            commit(user->last_seq + 1 + (uint64_t)(random() % 3) < 200 ? user->last_seq + 1 : 200);
        } else if (what < 9 && sent.count > from) {
            uint64_t seq = sent.seq[from + (unsigned)random() % (sent.count - from)];
            uint64_t contiguous = device->acked_seq;

            acked[seq] = true;
            while (contiguous < 200 && acked[contiguous + 1])
                contiguous++;
            ack_more(contiguous, seq);
        } else if (what == 9 && sent.count < MAX_SENT - 250) {
            from = sent.count;
            reconnect(session.epoch + 1);
        }
        if (device->feed.fetching)
            fetched(device->feed.next_seq, user->last_seq);
        ck_assert_uint_le(device->flights.outstanding, session.window);
        while (checked_seq < device->acked_seq)
            ck_assert(acked[++checked_seq]);
        for (; checked_sent < sent.count; checked_sent++)
            ck_assert(checked_sent == from || sent.seq[checked_sent] > sent.seq[checked_sent - 1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inbox");
    TCase *tcase = tcase_create("inbox");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, covered_by_a_notification_that_is_under_way);
    tcase_add_test(tcase, acknowledged_as_a_notification);
    tcase_add_test(tcase, delivers_in_order_within_the_window);
    tcase_add_test(tcase, window_counts_bytes_too);
    tcase_add_test(tcase, acknowledged_beyond_a_gap);
    tcase_add_test(tcase, backlog_is_read_then_the_tail_goes_on);
    tcase_add_test(tcase, hole_left_by_retention_is_passed);
    tcase_add_test(tcase, nothing_left_moves_the_cursor);
    tcase_add_test(tcase, expired_and_own_copies_are_passed);
    tcase_add_test(tcase, older_than_the_retention_time_is_passed);
    tcase_add_test(tcase, too_large_is_passed_and_counted);
    tcase_add_test(tcase, full_route_is_asked_again);
    tcase_add_test(tcase, late_outcome_is_counted_only);
    tcase_add_test(tcase, random_histories);
    tcase_add_loop_test(tcase, random_histories, 0, 50);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
