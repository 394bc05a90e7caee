/* Tests of broker/unread.c: the badge, reading, and messages that were shown. */
#include "tests/unit/broker/unread_fixture.h"

/* --- counts --- */

START_TEST(only_what_was_received_counts)
{
    came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, CAROL_NO);
    came(WIRE_BODY_GROUP, ALICE_NO); /* a group of the same number is another conversation */
    ck_assert_uint_eq(unread_badge(bob), 3);
    ck_assert_uint_eq(bob->conversations.count, 3);
    came(WIRE_BODY_SENT_USER, ALICE_NO);
    ck_assert_uint_eq(unread_badge(bob), 3);
    ck_assert_uint_eq(moved, 3);
}
END_TEST

START_TEST(rows_of_the_database_and_what_came_since)
{
    came(WIRE_BODY_USER, ALICE_NO);
    ck_assert(unread_loaded(bob, false, ALICE_NO, 40, 5));
    ck_assert(unread_loaded(bob, true, 1, 0, 2));
    ck_assert_uint_eq(unread_badge(bob), 8);
    ck_assert(was_read(WIRE_BODY_USER, ALICE_NO, 40));
    ck_assert(!was_read(WIRE_BODY_USER, ALICE_NO, 41));
    ck_assert(unread_loaded(bob, false, ALICE_NO, 30, 0)); /* reading never goes back */
    ck_assert(was_read(WIRE_BODY_USER, ALICE_NO, 40));
    ck_assert(!was_read(WIRE_BODY_USER, CAROL_NO, 1));
    ck_assert(!was_read(WIRE_BODY_GROUP, ALICE_NO, 1));
    ck_assert(!was_read(WIRE_BODY_SENT_USER, ALICE_NO, 1)); /* nobody reads those */
}
END_TEST

START_TEST(forgotten_with_what_waits_to_be_written)
{
    came(WIRE_BODY_USER, ALICE_NO);
    ck_assert(unread_loaded(bob, false, CAROL_NO, 0, 5)); /* nothing to write */
    unread_forget_user(&broker, bob);
    ck_assert_uint_eq(forgotten, 1);
    ck_assert_uint_eq(unread_badge(bob), 0);
    ck_assert_uint_eq(bob->conversations.count, 0);
}
END_TEST

/* --- me/read --- */

START_TEST(read_up_to_a_message)
{
    for (int i = 0; i < 5; i++)
        came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, CAROL_NO);
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_uint_eq(asked[0]->conversation, ALICE_NO);
    ck_assert_uint_eq(asked[0]->upto, 6);
    ck_assert_uint_eq(asked[0]->unread, 5);
    found(3, 2);
    ck_assert_uint_eq(unread_badge(bob), 3);
    ck_assert_uint_eq(seen_seq, 3);
    ck_assert(was_read(WIRE_BODY_USER, ALICE_NO, 3) && !was_read(WIRE_BODY_USER, ALICE_NO, 4));
    written();
    answered(5, SUCCESS);
}
END_TEST

START_TEST(what_comes_while_it_is_looked_up_counts)
{
    came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, ALICE_NO);
    found(1, 0); /* as of when it was asked */
    ck_assert_uint_eq(unread_badge(bob), 2);
    written();
}
END_TEST

START_TEST(reading_never_goes_back)
{
    for (int i = 0; i < 5; i++)
        came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    found(4, 1);
    written();
    answer = NO_ANSWER;
    seen_seq = 0;
    moved = 0;
    read_of(WIRE_TO_USER, "alice"); /* an older message, and again the same */
    found(2, 3);
    ck_assert_uint_eq(unread_badge(bob), 1);
    ck_assert_uint_eq(moved, 0);
    ck_assert_uint_eq(seen_seq, 0);
    written();
    answered(5, SUCCESS);
}
END_TEST

/* What the database refuses is said to whoever reads, and tried again when they repeat it. */
START_TEST(a_reading_that_is_not_written_is_not_acknowledged)
{
    came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, CAROL_NO);
    read_of(WIRE_TO_USER, "alice");
    found(1, 0);
    bob->counts_refused = true; /* as store_late_cut.c does */
    written();
    answered(5, UNSPECIFIED_ERROR);
    answer = NO_ANSWER;
    moved = 0;
    read_of(WIRE_TO_USER, "alice");
    found(1, 0);
    ck_assert_uint_eq(moved, 2); /* all that the head will say is counted */
    written();
    answered(5, SUCCESS);
}
END_TEST

START_TEST(a_message_that_is_not_there_reads_nothing)
{
    came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    found(0, 0);
    ck_assert_uint_eq(unread_badge(bob), 1);
    written();
    answered(5, SUCCESS);
}
END_TEST

START_TEST(two_readings_at_once)
{
    for (int i = 0; i < 4; i++)
        came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(asked_count, 2);
    found(4, 0);
    written();
    ck_assert_uint_eq(unread_badge(bob), 0);
    answer = NO_ANSWER;
    found(2, 2); /* the older one's answer comes last */
    written();
    ck_assert_uint_eq(unread_badge(bob), 0);
}
END_TEST

START_TEST(groups_and_bad_names_are_refused)
{
    read_of(WIRE_TO_GROUP, "friends");
    answered(5, NOT_AUTHORIZED);
    answer = NO_ANSWER;
    read_of(WIRE_TO_USER, "a b");
    answered(5, NOT_AUTHORIZED);
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

START_TEST(parked_until_both_people_are_there)
{
    bob->state = USER_LOADING;
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(parked, 1);
    bob->state = USER_READY;
    alice->state = USER_LOADING;
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(parked, 2);
    ck_assert_uint_eq(answer, NO_ANSWER);
    ck_assert_uint_eq(asked_count, 0);
    no_memory = true;
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_ne(answer, NO_ANSWER);
}
END_TEST

START_TEST(no_memory_to_answer_when_written)
{
    came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    no_memory = true;
    found(1, 0);
    answered(5, QUOTA_EXCEEDED); /* it is read here, and the client says it again */
    ck_assert_uint_eq(unread_badge(bob), 0);
    ck_assert_ptr_null(op);
}
END_TEST

/* --- me/shown --- */

START_TEST(shown_on_that_device)
{
    came(WIRE_BODY_USER, ALICE_NO);
    shown_of("phone", 1);
    found(1, 0);
    ck_assert_uint_eq(shown_seq, 1);
    ck_assert_uint_eq(traced, 1);
    ck_assert_uint_eq(unread_badge(bob), 1); /* seen, not read */
    written();
    answered(6, SUCCESS);
}
END_TEST

START_TEST(one_answer_for_many)
{
    shown_of("phone", 3);
    ck_assert_uint_eq(asked_count, 3);
    found(1, 0);
    found(0, 0); /* one that there is not */
    ck_assert_ptr_null(op);
    found(3, 0);
    ck_assert_uint_eq(traced, 2);
    written();
    answered(6, SUCCESS);
}
END_TEST

START_TEST(an_empty_list_is_answered)
{
    shown_of("phone", 0);
    answered(6, SUCCESS);
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

START_TEST(on_a_device_that_is_not_stored)
{
    shown_of("desk", 1);
    found(1, 0);
    written();
    answered(6, SUCCESS);
    answer = NO_ANSWER;
    phone->no = 0;
    shown_of("phone", 1);
    found(1, 0);
    ck_assert_uint_eq(traced, 0);
    ck_assert_uint_eq(shown_seq, 0);
    written();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unread");
    TCase *tcase = tcase_create("unread");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, only_what_was_received_counts);
    tcase_add_test(tcase, rows_of_the_database_and_what_came_since);
    tcase_add_test(tcase, forgotten_with_what_waits_to_be_written);
    tcase_add_test(tcase, read_up_to_a_message);
    tcase_add_test(tcase, what_comes_while_it_is_looked_up_counts);
    tcase_add_test(tcase, reading_never_goes_back);
    tcase_add_test(tcase, a_reading_that_is_not_written_is_not_acknowledged);
    tcase_add_test(tcase, a_message_that_is_not_there_reads_nothing);
    tcase_add_test(tcase, two_readings_at_once);
    tcase_add_test(tcase, groups_and_bad_names_are_refused);
    tcase_add_test(tcase, parked_until_both_people_are_there);
    tcase_add_test(tcase, no_memory_to_answer_when_written);
    tcase_add_test(tcase, shown_on_that_device);
    tcase_add_test(tcase, one_answer_for_many);
    tcase_add_test(tcase, an_empty_list_is_answered);
    tcase_add_test(tcase, on_a_device_that_is_not_stored);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
