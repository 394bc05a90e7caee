/* Tests of connector/conn_state.c: the table of steps, and that a state is a list. */
#include "connector/conn_state.h"

#include <signal.h>

#include "connector/conn.h"

#include "tests/support/run_suite.h"

enum { SLOTS = 3 };
static struct conn slots[SLOTS];
static struct conn_lists lists;

static void set_up(void)
{
    conn_lists_init(&lists);
    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i] = (struct conn){.slot = i};
        conn_enter_free(&lists, &slots[i]);
    }
}

START_TEST(test_table)
{
    /* rows: from; columns: to, in the order of the enum */
    static const char *const allowed[CONN_STATE_COUNT] = {
        [CONN_FREE] = ".1.......",    [CONN_AWAIT_CONNECT] = "..1....11",
        [CONN_OPENING] = "...1...11", [CONN_ACTIVE] = "....11111",
        [CONN_STALLED] = "...1..111", [CONN_SLOWED] = "...1..111",
        [CONN_LEAVING] = ".......11", [CONN_DRAINING] = "........1",
        [CONN_CLOSED] = "1........",
    };

    for (unsigned from = 0; from < CONN_STATE_COUNT; from++)
        for (unsigned to = 0; to < CONN_STATE_COUNT; to++)
            ck_assert_msg(conn_step_allowed(from, to) == (allowed[from][to] == '1'), "%s -> %s",
                          conn_state_name(from), conn_state_name(to));
}
END_TEST

START_TEST(test_state_is_a_list)
{
    ck_assert_uint_eq(lists.count[CONN_FREE], SLOTS);
    conn_set_state(&lists, &slots[1], CONN_AWAIT_CONNECT);
    ck_assert_int_eq(slots[1].state, CONN_AWAIT_CONNECT);
    ck_assert_ptr_eq(TAILQ_FIRST(&lists.in[CONN_AWAIT_CONNECT]), &slots[1]);
    ck_assert_uint_eq(lists.count[CONN_FREE], SLOTS - 1);
    ck_assert_uint_eq(lists.count[CONN_AWAIT_CONNECT], 1);
    conn_set_state(&lists, &slots[0], CONN_AWAIT_CONNECT);
    ck_assert_ptr_eq(TAILQ_FIRST(&lists.in[CONN_AWAIT_CONNECT]), &slots[1]); /* oldest first */
    conn_set_state(&lists, &slots[1], CONN_CLOSED);
    ck_assert_ptr_eq(TAILQ_FIRST(&lists.in[CONN_AWAIT_CONNECT]), &slots[0]);
    conn_set_state(&lists, &slots[1], CONN_FREE);
    ck_assert_ptr_eq(TAILQ_FIRST(&lists.in[CONN_FREE]), &slots[1]); /* the warm slot is next */
}
END_TEST

START_TEST(test_unlisted_step_is_our_mistake)
{
    conn_set_state(&lists, &slots[0], CONN_ACTIVE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn_state");
    TCase *steps = tcase_create("steps");

    tcase_add_checked_fixture(steps, set_up, NULL);
    tcase_add_test(steps, test_table);
    tcase_add_test(steps, test_state_is_a_list);
    tcase_add_test_raise_signal(steps, test_unlisted_step_is_our_mistake, SIGABRT);
    suite_add_tcase(suite, steps);
    return run_suite(suite);
}
