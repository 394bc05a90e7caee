/* Tests of connector/keepalive.c: when a connection has to be looked at, and what is found then. */
#include "connector/keepalive.h"

#include "tests/support/run_suite.h"

/* A clock that the tests advance; the token is good for a long time. */
static struct keepalive_view view;

static void set_up(void)
{
    view = (struct keepalive_view){
        .now_ms = 1000000,
        .wall_ms = 1780000000000,
        .last_seen_ms = 1000000,
        .token_ends_ms = 1780000000000 + 86400000,
        .keep_alive_s = 10,
    };
}

static uint64_t delay(void)
{
    uint64_t delay_ms = 0;

    ck_assert_int_eq(keepalive_next(&view, &delay_ms), KEEPALIVE_WAIT);
    return delay_ms;
}

static enum keepalive_verdict verdict(void)
{
    uint64_t delay_ms;

    return keepalive_next(&view, &delay_ms);
}

static void advance(uint64_t ms)
{
    view.now_ms += ms;
    view.wall_ms += ms;
}

START_TEST(test_one_and_a_half_intervals)
{
    ck_assert_uint_eq(delay(), 15000);
    advance(14999);
    ck_assert_uint_eq(delay(), 1);
    advance(1);
    ck_assert_int_eq(verdict(), KEEPALIVE_SILENT);
}
END_TEST

START_TEST(test_a_packet_prolongs)
{
    advance(12000);
    view.last_seen_ms = view.now_ms;
    advance(3000); /* when the timer was armed for at first */
    ck_assert_uint_eq(delay(), 12000);
    advance(12000);
    ck_assert_int_eq(verdict(), KEEPALIVE_SILENT);
}
END_TEST

START_TEST(test_suspended_while_not_read)
{
    view.suspended = true;
    advance(100000);
    ck_assert_uint_eq(delay(), 15000);
}
END_TEST

START_TEST(test_none)
{
    view.keep_alive_s = 0;
    advance(3000000);
    ck_assert_uint_eq(delay(), 3600000); /* only to look at the clock again */
}
END_TEST

START_TEST(test_token)
{
    view.token_ends_ms = view.wall_ms + 5000;
    ck_assert_uint_eq(delay(), 5000);
    advance(5000);
    view.last_seen_ms = view.now_ms;
    ck_assert_int_eq(verdict(), KEEPALIVE_TOKEN_EXPIRED);
    view.token_ends_ms = view.wall_ms + 5000; /* a new token */
    ck_assert_uint_eq(delay(), 5000);
}
END_TEST

START_TEST(test_largest_interval)
{
    view.keep_alive_s = 65535;
    ck_assert_uint_eq(delay(), 3600000);
    advance(98302499);
    view.token_ends_ms = view.wall_ms + 86400000;
    ck_assert_uint_eq(delay(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keepalive");
    TCase *next = tcase_create("next");

    tcase_add_checked_fixture(next, set_up, NULL);
    tcase_add_test(next, test_one_and_a_half_intervals);
    tcase_add_test(next, test_a_packet_prolongs);
    tcase_add_test(next, test_suspended_while_not_read);
    tcase_add_test(next, test_none);
    tcase_add_test(next, test_token);
    tcase_add_test(next, test_largest_interval);
    suite_add_tcase(suite, next);
    return run_suite(suite);
}
