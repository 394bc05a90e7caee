/* loop_fixture - a loop, and a trace of what ran in it, a letter each. Included by test_loop*.c
 * only. */
#ifndef BECKON_TESTS_LOOP_FIXTURE_H
#define BECKON_TESTS_LOOP_FIXTURE_H

#include "common/loop.h"

#include <check.h>
#include <time.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

/* Far longer than anything takes here, far shorter than Check's timeout is with a busy machine. */
#define LONG_MS 3000

/* The argument of a callback that notes the letter. */
#define LETTER(c) (&letters[c])

static char letters[128];
static struct loop *loop;
static char trace[64]; /* what ran, a letter each */
static size_t trace_len;

static void note(char letter)
{
    ck_assert_uint_lt(trace_len, sizeof(trace) - 1);
    trace[trace_len++] = letter;
    trace[trace_len] = '\0';
}

static void set_up(void)
{
    loop = loop_create();
    ck_assert_ptr_nonnull(loop);
    trace_len = 0;
    trace[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(letters); i++)
        letters[i] = (char)i;
}

static void tear_down(void)
{
    loop_destroy(loop);
}

static void turn(uint64_t max_wait_ms)
{
    ck_assert_int_eq(loop_turn(loop, max_wait_ms), 0);
}

static void on_note(void *arg)
{
    note(*(const char *)arg);
}

static void on_timer_note(struct timer *timer)
{
    ck_assert(!timer_armed(timer));
    note('t');
}

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 20);
    suite_add_tcase(suite, tcase);
    return tcase;
}

#endif
