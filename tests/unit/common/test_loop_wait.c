/* Tests of common/loop.c: how long a turn waits, clocks, signals. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#include "tests/unit/common/loop_fixture.h"

/* Waiting */

static uint64_t clock_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned turns;

static void on_turn(void *arg)
{
    ck_assert_ptr_null(arg);
    turns++;
}

static void on_timer_stop(struct timer *timer)
{
    ck_assert(!timer_armed(timer));
    loop_stop(loop);
}

START_TEST(test_idle_loop_sleeps_until_the_timer)
{
    struct timer timer, far;

    turns = 0;
    timer_init(&timer, on_timer_stop);
    timer_init(&far, on_timer_note);
    ck_assert_int_eq(loop_hook_add(loop, on_turn, NULL), 0);
    uint64_t start = loop_now_ms(loop);
    loop_timer_add(loop, &timer, 150);
    loop_timer_add(loop, &far, UINT64_MAX);
    ck_assert_int_eq(loop_run(loop), 0);
    ck_assert_uint_ge(clock_now_ms(), start + 150);
    ck_assert_uint_ge(loop_now_ms(loop), start + 150);
    ck_assert_uint_le(turns, 3); /* one, and one a cascade */
    ck_assert_str_eq(trace, "");
    loop_timer_cancel(loop, &far);
    ck_assert(!timer_armed(&far));
}
END_TEST

START_TEST(test_turn_waits_no_longer_than_asked)
{
    uint64_t start = clock_now_ms();

    turn(0);
    turn(20);
    ck_assert_uint_ge(clock_now_ms() - start, 20);
    ck_assert_uint_lt(clock_now_ms() - start, LONG_MS);
}
END_TEST

static uint64_t stalled_ms;

static void on_stall(void *arg, uint64_t late_ms)
{
    (void)arg;
    note('s');
    stalled_ms = late_ms;
}

#define STALL_MS 250

static void on_timer_block(struct timer *timer)
{
    const struct timespec pause = {.tv_nsec = (STALL_MS + 20) * 1000 * 1000};

    (void)timer;
    note('b');
    nanosleep(&pause, NULL); /* what is tested: a callback that takes long */
}

/* Told before the timers of the turn that is late; a sleep that was meant is not late. */
START_TEST(test_standing_still_is_told)
{
    struct timer slow, next;

    timer_init(&slow, on_timer_block);
    timer_init(&next, on_timer_note);
    loop_stall_watch(loop, STALL_MS, on_stall, NULL);
    turn(STALL_MS + 20);
    ck_assert_str_eq(trace, "");
    loop_timer_add(loop, &slow, 0);
    turn(0);
    ck_assert_str_eq(trace, "b");
    loop_timer_add(loop, &next, 0);
    turn(0);
    ck_assert_str_eq(trace, "bst");
    ck_assert_uint_ge(stalled_ms, STALL_MS);
    ck_assert_uint_lt(stalled_ms, LONG_MS);
    loop_stall_watch(loop, 0, NULL, NULL);
    loop_timer_add(loop, &slow, 0);
    turn(0);
    turn(0);
    ck_assert_str_eq(trace, "bstb");
}
END_TEST

static bool on_prepare(void *arg)
{
    unsigned *left = arg;

    note('q');
    if (*left == 0)
        return false;
    (*left)--;
    return true;
}

START_TEST(test_prepare_decides_about_sleep)
{
    unsigned busy = 1, idle = 0;

    ck_assert_int_eq(loop_prepare_add(loop, on_prepare, &busy), 0);
    ck_assert_int_eq(loop_prepare_add(loop, on_prepare, &idle), 0);
    uint64_t start = clock_now_ms();
    turn(LONG_MS);
    ck_assert_uint_lt(clock_now_ms() - start, LONG_MS);
    ck_assert_str_eq(trace, "qq"); /* both run */
    start = clock_now_ms();
    turn(30);
    ck_assert_uint_ge(clock_now_ms() - start, 30);

    trace_len = 0;
    loop_prepare_remove(loop, on_prepare, &busy);
    turn(0);
    ck_assert_str_eq(trace, "q");
}
END_TEST

START_TEST(test_hooks_have_a_limit)
{
    unsigned idle = 0;

    for (unsigned i = 0; i < 8; i++) {
        ck_assert_int_eq(loop_hook_add(loop, on_turn, NULL), 0);
        ck_assert_int_eq(loop_prepare_add(loop, on_prepare, &idle), 0);
    }
    ck_assert_int_eq(loop_hook_add(loop, on_turn, NULL), ERR_FULL);
    ck_assert_int_eq(loop_prepare_add(loop, on_prepare, &idle), ERR_FULL);
    loop_prepare_remove(loop, on_prepare, &idle);
    ck_assert_int_eq(loop_prepare_add(loop, on_prepare, &idle), 0);
}
END_TEST

static void on_stop(void *arg)
{
    loop_stop(arg);
}

START_TEST(test_stop_finishes_the_turn)
{
    struct loop_task stop = {.fn = on_stop, .arg = loop};

    ck_assert_int_eq(loop_hook_add(loop, on_note, LETTER('h')), 0);
    loop_post(loop, &stop);
    ck_assert_int_eq(loop_run(loop), 0);
    ck_assert_str_eq(trace, "h");
    loop_stop(loop);
    ck_assert_int_eq(loop_run(loop), 0); /* stopped before it began: no turn */
    ck_assert_str_eq(trace, "h");
    loop_post(loop, &stop);
    ck_assert_int_eq(loop_run(loop), 0); /* runs again */
    ck_assert_str_eq(trace, "hh");
}
END_TEST

START_TEST(test_clocks)
{
    uint64_t before = clock_now_ms();

    turn(0);
    ck_assert_uint_ge(loop_now_ms(loop), before);
    ck_assert_uint_le(loop_now_ms(loop), clock_now_ms());
    ck_assert_uint_ge(loop_wall_ms(loop), UINT64_C(1700000000000)); /* 2023 */
    uint64_t now = loop_now_ms(loop);
    while (clock_now_ms() < now + 2)
        ;
    ck_assert_uint_eq(loop_now_ms(loop), now); /* read once a turn */
    /* unless somebody asks for it */
    ck_assert_uint_gt(loop_wall_clock_ms(), loop_wall_ms(loop));
}
END_TEST

/* Signals */

static void on_signal(void *arg, int signo)
{
    note(signo == SIGUSR1 ? '1' : signo == SIGUSR2 ? '2' : '?');
    note(*(const char *)arg);
}

START_TEST(test_signals_become_callbacks)
{
    ck_assert_int_eq(loop_signal_add(loop, SIGUSR1, on_signal, LETTER('a')), 0);
    ck_assert_int_eq(loop_signal_add(loop, SIGUSR2, on_signal, LETTER('b')), 0);
    turn(0);
    ck_assert_str_eq(trace, "");
    ck_assert_int_eq(raise(SIGUSR1), 0);
    turn(LONG_MS);
    ck_assert_str_eq(trace, "1a");
    ck_assert_int_eq(raise(SIGUSR2), 0);
    turn(LONG_MS);
    turn(0);
    ck_assert_str_eq(trace, "1a2b");
}
END_TEST

START_TEST(test_signals_that_are_none)
{
    ck_assert_int_eq(loop_signal_add(loop, 0, on_signal, LETTER('x')), ERR_INVALID);
    ck_assert_int_eq(loop_signal_add(loop, -1, on_signal, LETTER('x')), ERR_INVALID);
    ck_assert_int_eq(loop_signal_add(loop, 65, on_signal, LETTER('x')), ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop_wait");
    TCase *waiting = make_case(suite, "waiting");
    TCase *signals = make_case(suite, "signals");

    tcase_add_test(waiting, test_idle_loop_sleeps_until_the_timer);
    tcase_add_test(waiting, test_turn_waits_no_longer_than_asked);
    tcase_add_test(waiting, test_standing_still_is_told);
    tcase_add_test(waiting, test_prepare_decides_about_sleep);
    tcase_add_test(waiting, test_hooks_have_a_limit);
    tcase_add_test(waiting, test_stop_finishes_the_turn);
    tcase_add_test(waiting, test_clocks);
    tcase_add_test(signals, test_signals_become_callbacks);
    tcase_add_test(signals, test_signals_that_are_none);
    return run_suite(suite);
}
