/* Tests of broker/unread.c: counts that are made again when something that was counted has ended.
 */
#include "tests/unit/broker/unread_fixture.h"

/* One that ends so much from now; 0: with the retention time. */
static void came_for(uint64_t conversation, int64_t ms)
{
    uint64_t now_ms = loop_wall_ms(broker.loop);
    struct message message = {.kind = WIRE_BODY_USER,
                              .conversation_no = conversation,
                              .sent_at_ms = now_ms - 60000,
                              .expires_at_ms = ms ? now_ms + (uint64_t)ms : 0,
                              .seq = ++bob->last_seq};

    unread_count(&broker, bob, &message);
}

START_TEST(a_badge_is_counted_again_when_something_has_ended)
{
    uint64_t later_ms = loop_wall_ms(broker.loop) + 3600 * 1000;

    came_for(ALICE_NO, 0);
    came_for(CAROL_NO, 3600 * 1000);
    ck_assert(unread_fresh(&broker, bob));
    came_for(ALICE_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    ck_assert(!unread_fresh(&broker, bob));
    ck_assert_uint_eq(recounts, 1);
    unread_recount_begins(bob);
    came_for(CAROL_NO, 0);
    unread_recount_answered(bob);
    unread_recounted(bob, false, ALICE_NO, 0, 1, later_ms + 1);
    unread_recounted(bob, false, CAROL_NO, 0, 1, later_ms);
    moved = 0;
    unread_recount_done(&broker, bob, true);
    ck_assert_uint_eq(unread_badge(bob), 3); /* one of them came meanwhile */
    ck_assert_uint_eq(bob->counts_end_s, later_ms / 1000 + 1);
    ck_assert_uint_eq(moved, 2);
    ck_assert_uint_eq(alerts, 1);
    ck_assert(unread_fresh(&broker, bob));
}
END_TEST

START_TEST(conversations_of_which_nothing_is_left_are_not_counted)
{
    came_for(ALICE_NO, -2000);
    came_for(CAROL_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    unread_recount_begins(bob);
    unread_recount_answered(bob);
    unread_recount_done(&broker, bob, true);
    ck_assert_uint_eq(unread_badge(bob), 0);
    ck_assert_uint_eq(bob->counts_end_s, 0);
}
END_TEST

/* The database has heard of a reading later than this. */
START_TEST(a_reading_is_newer_than_the_recount)
{
    for (int i = 0; i < 4; i++)
        came_for(ALICE_NO, 0);
    came_for(CAROL_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    unread_recount_begins(bob);
    read_of(WIRE_TO_USER, "alice");
    found(3, 1);
    written();
    unread_recount_answered(bob);
    unread_recounted(bob, false, ALICE_NO, 0, 4, UINT64_MAX - 1);
    unread_recount_done(&broker, bob, true);
    ck_assert_uint_eq(unread_badge(bob), 1);
}
END_TEST

START_TEST(a_recount_that_fails_changes_nothing_and_waits_a_minute)
{
    came_for(ALICE_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    unread_recount_begins(bob);
    unread_recount_done(&broker, bob, false);
    ck_assert_uint_eq(unread_badge(bob), 1);
    ck_assert_uint_eq(alerts, 1);
    ck_assert(unread_fresh(&broker, bob));
    ck_assert_uint_gt(bob->counts_end_s, loop_wall_ms(broker.loop) / 1000 + 50);
}
END_TEST

START_TEST(without_a_database_nobody_waits_for_a_badge)
{
    came_for(ALICE_NO, -2000);
    no_database = true;
    ck_assert(unread_fresh(&broker, bob));
    ck_assert_uint_eq(recounts, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recount");
    TCase *tcase = tcase_create("recount");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_badge_is_counted_again_when_something_has_ended);
    tcase_add_test(tcase, conversations_of_which_nothing_is_left_are_not_counted);
    tcase_add_test(tcase, a_reading_is_newer_than_the_recount);
    tcase_add_test(tcase, a_recount_that_fails_changes_nothing_and_waits_a_minute);
    tcase_add_test(tcase, without_a_database_nobody_waits_for_a_badge);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
