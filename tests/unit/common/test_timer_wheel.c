/* Tests of common/timer_wheel.c: single behaviours, then random operations against a plain array.
 */
#include "common/timer_wheel.h"

#include <check.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

#define FAR_MS ((UINT64_C(1) << 36) + 12345) /* beyond what the wheel's digits reach */

static struct timer_wheel wheel;
static struct timer *fired[64];
static unsigned fired_count;

static void on_timer(struct timer *timer)
{
    ck_assert(!timer_armed(timer));
    ck_assert_uint_le(timer->due_ms, wheel.now_ms);
    ck_assert_uint_lt(fired_count, ARRAY_LEN(fired));
    fired[fired_count++] = timer;
}

static void set_up(void)
{
    timer_wheel_init(&wheel, 1000);
    fired_count = 0;
}

START_TEST(test_fires_at_its_millisecond)
{
    static const uint64_t delays[] = {
        1,           2,      63,     64,       65,       4095,           4096,
        4097,        262143, 262144, 1u << 24, 1u << 30, FAR_MS - 12345, FAR_MS,
        FAR_MS * 100};

    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        uint64_t start = wheel.now_ms;
        struct timer timer;
        timer_init(&timer, on_timer);
        ck_assert(!timer_armed(&timer));
        timer_wheel_add(&wheel, &timer, start + delays[i]);
        ck_assert(timer_armed(&timer));
        ck_assert(timer_wheel_validate(&wheel));
        ck_assert_uint_eq(timer_wheel_advance(&wheel, start + delays[i] - 1), 0);
        ck_assert(timer_wheel_validate(&wheel));
        ck_assert_uint_eq(timer_wheel_advance(&wheel, start + delays[i]), 1);
        ck_assert(!timer_armed(&timer));
        ck_assert_uint_eq(wheel.now_ms, start + delays[i]);
        ck_assert(timer_wheel_validate(&wheel));
    }
    ck_assert_uint_eq(fired_count, ARRAY_LEN(delays));
}
END_TEST

START_TEST(test_overdue_fires_at_the_next_advance)
{
    struct timer past, now, next;

    timer_init(&past, on_timer);
    timer_init(&now, on_timer);
    timer_init(&next, on_timer);
    timer_wheel_add(&wheel, &next, 1001);
    timer_wheel_add(&wheel, &past, 5);
    timer_wheel_add(&wheel, &now, 1000);
    ck_assert_uint_eq(past.due_ms, 1000); /* overdue is due now */
    ck_assert(timer_wheel_validate(&wheel));
    ck_assert_uint_eq(timer_wheel_wait(&wheel, 1000, 50), 0);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 1000), 2); /* the clock did not move */
    ck_assert_ptr_eq(fired[0], &past);
    ck_assert_ptr_eq(fired[1], &now);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 1001), 1);
}
END_TEST

START_TEST(test_fires_in_order)
{
    static const uint64_t dues[] = {900, 1001, 1063, 1064, 1064, 1100, 5000, 5001, 300000};
    struct timer timers[ARRAY_LEN(dues)];

    for (size_t i = ARRAY_LEN(dues); i-- > 0;) { /* latest first */
        timer_init(&timers[i], on_timer);
        timer_wheel_add(&wheel, &timers[i], dues[i]);
    }
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 400000), ARRAY_LEN(dues));
    for (size_t i = 1; i < ARRAY_LEN(dues); i++)
        ck_assert_uint_le(fired[i - 1]->due_ms, fired[i]->due_ms);
}
END_TEST

START_TEST(test_cancel_and_move)
{
    struct timer a, b;

    timer_init(&a, on_timer);
    timer_init(&b, on_timer);
    timer_wheel_cancel(&wheel, &a); /* not armed */
    timer_wheel_add(&wheel, &a, 1500);
    timer_wheel_add(&wheel, &b, 1500);
    timer_wheel_cancel(&wheel, &a);
    ck_assert(!timer_armed(&a));
    ck_assert(timer_wheel_validate(&wheel));
    timer_wheel_add(&wheel, &b, 1200); /* moves */
    ck_assert(timer_wheel_validate(&wheel));
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 1200), 1);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 9999), 0);
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++)
        ck_assert_uint_eq(wheel.busy[level], 0);
}
END_TEST

START_TEST(test_clock_that_goes_back)
{
    struct timer timer, overdue;

    timer_init(&timer, on_timer);
    timer_init(&overdue, on_timer);
    timer_wheel_add(&wheel, &timer, 1010);
    timer_wheel_add(&wheel, &overdue, 1000);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 500), 1);
    ck_assert_uint_eq(wheel.now_ms, 1000);
    ck_assert_ptr_eq(fired[0], &overdue);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 1010), 1);
}
END_TEST

START_TEST(test_end_of_time)
{
    struct timer timer;

    timer_init(&timer, on_timer);
    timer_wheel_add(&wheel, &timer, UINT64_MAX);
    ck_assert(timer_wheel_validate(&wheel));
    ck_assert_uint_eq(timer_wheel_advance(&wheel, UINT64_C(1) << 40), 0);
    timer_wheel_cancel(&wheel, &timer);
    timer_wheel_init(&wheel, UINT64_MAX - 100);
    timer_wheel_add(&wheel, &timer, UINT64_MAX);
    ck_assert_uint_eq(timer_wheel_wait(&wheel, UINT64_MAX - 100, 1000) > 100, 0);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, UINT64_MAX), 1);
}
END_TEST

START_TEST(test_wait)
{
    struct timer timer;

    timer_init(&timer, on_timer);
    ck_assert_uint_eq(timer_wheel_wait(&wheel, 1000, 777), 777);
    timer_wheel_add(&wheel, &timer, 1003);
    ck_assert_uint_eq(timer_wheel_wait(&wheel, 1000, 777), 3);
    ck_assert_uint_eq(timer_wheel_wait(&wheel, 1000, 2), 2);
    ck_assert_uint_eq(timer_wheel_wait(&wheel, 1002, 777), 1);
    ck_assert_uint_eq(timer_wheel_wait(&wheel, 5000, 777), 0);

    /* A far timer is reached in at most one wake-up a level, never late. */
    uint64_t due = 1003 + FAR_MS;
    unsigned wakes = 0;
    timer_wheel_add(&wheel, &timer, due);
    while (fired_count == 0) {
        uint64_t wait = timer_wheel_wait(&wheel, wheel.now_ms, UINT64_MAX);
        ck_assert_uint_gt(wait, 0);
        ck_assert_uint_le(wheel.now_ms + wait, due);
        timer_wheel_advance(&wheel, wheel.now_ms + wait);
        wakes++;
    }
    ck_assert_uint_eq(wheel.now_ms, due);
    ck_assert_uint_le(wakes, TIMER_WHEEL_LEVELS + 1);
}
END_TEST

START_TEST(test_validate_finds_damage)
{
    struct timer timer, other;

    timer_init(&timer, on_timer);
    timer_init(&other, on_timer);
    timer_wheel_add(&wheel, &timer, 1005);
    timer_wheel_add(&wheel, &other, 1005);
    ck_assert(timer_wheel_validate(&wheel));
    timer.due_ms = 1006; /* wrong slot */
    ck_assert(!timer_wheel_validate(&wheel));
    timer.due_ms = 1005;
    wheel.busy[0] ^= 2; /* a bit without timers */
    ck_assert(!timer_wheel_validate(&wheel));
    wheel.busy[0] ^= 2;
    uint64_t busy = wheel.busy[0];
    wheel.busy[0] = 0; /* timers without a bit */
    ck_assert(!timer_wheel_validate(&wheel));
    wheel.busy[0] = busy;
    struct timer *prev = other.prev;
    other.prev = &other;
    ck_assert(!timer_wheel_validate(&wheel));
    other.prev = prev;
    ck_assert(timer_wheel_validate(&wheel));
}
END_TEST

/* Callbacks that change the wheel. */

static struct timer first, second, third;

static void on_first(struct timer *timer)
{
    on_timer(timer);
    timer_wheel_cancel(&wheel, &second);
    timer_wheel_add(&wheel, &third, wheel.now_ms + 5);
    timer_wheel_add(&wheel, timer, wheel.now_ms); /* due already: next call */
    ck_assert(timer_wheel_validate(&wheel));
}

START_TEST(test_callback_changes_the_wheel)
{
    timer_init(&first, on_first);
    timer_init(&second, on_timer);
    timer_init(&third, on_timer);
    timer_wheel_add(&wheel, &first, 1010);
    timer_wheel_add(&wheel, &second, 1010); /* the same list, cancelled by first */
    timer_wheel_add(&wheel, &third, 1000000);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 1020), 2);
    ck_assert_ptr_eq(fired[0], &first);
    ck_assert_ptr_eq(fired[1], &third); /* moved to 1015, which this call covers */
    ck_assert(timer_armed(&first));
    ck_assert(!timer_armed(&second));
    ck_assert(timer_wheel_validate(&wheel));
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 1020), 1);
    ck_assert_ptr_eq(fired[2], &first);
}
END_TEST

static void on_periodic(struct timer *timer)
{
    on_timer(timer);
    timer_wheel_add(&wheel, timer, timer->due_ms + 10);
}

START_TEST(test_periodic_catches_up)
{
    struct timer timer;

    timer_init(&timer, on_periodic);
    timer_wheel_add(&wheel, &timer, 1010);
    ck_assert_uint_eq(timer_wheel_advance(&wheel, 1100), 10);
    ck_assert_uint_eq(timer.due_ms, 1110);
    timer_wheel_cancel(&wheel, &timer);
}
END_TEST

/* Random operations against a plain array. */

#define MODEL_TIMERS 150

struct model_timer {
    struct timer timer;
    uint64_t due_ms;
    bool armed;
    bool held; /* added as already due by a callback: waits for the next call */
};

static struct model_timer model[MODEL_TIMERS];
static uint64_t random_state, last_due_ms, target_ms;
static bool advancing;
static unsigned model_fired;

/* xorshift64*: the same operations in every run of a seed. */
static uint64_t random_u64(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

/* All magnitudes up to 2^bits are equally likely. */
static uint64_t random_delay(unsigned bits)
{
    return random_u64() & ((UINT64_C(1) << (random_u64() % (bits + 1))) - 1);
}

static void model_add(struct model_timer *entry)
{
    uint64_t back = random_u64() % 8 == 0 ? random_delay(10) : 0;
    uint64_t due = wheel.now_ms + random_delay(40) - (back < wheel.now_ms ? back : 0);

    timer_wheel_add(&wheel, &entry->timer, due);
    entry->armed = true;
    entry->due_ms = due < wheel.now_ms ? wheel.now_ms : due;
    entry->held = advancing && due <= wheel.now_ms;
}

static void model_operation(void)
{
    struct model_timer *entry = &model[random_u64() % MODEL_TIMERS];

    if (random_u64() % 3 == 0) {
        timer_wheel_cancel(&wheel, &entry->timer);
        entry->armed = false;
    } else {
        model_add(entry);
    }
}

static void on_model_timer(struct timer *timer)
{
    struct model_timer *entry = CONTAINER_OF(timer, struct model_timer, timer);

    ck_assert(entry->armed && !entry->held);
    ck_assert_uint_le(entry->due_ms, target_ms);
    ck_assert_uint_le(entry->due_ms, wheel.now_ms);
    ck_assert_uint_ge(entry->due_ms, last_due_ms);
    last_due_ms = entry->due_ms;
    for (size_t i = 0; i < MODEL_TIMERS; i++) { /* nothing is passed over */
        if (model[i].armed && !model[i].held && model[i].due_ms < entry->due_ms)
            ck_abort_msg("%zu should have fired before", i);
    }
    entry->armed = false;
    model_fired++;
    if (random_u64() % 2 == 0)
        model_operation();
}

static void model_advance(void)
{
    uint64_t wait = timer_wheel_wait(&wheel, wheel.now_ms, UINT64_MAX);
    uint64_t earliest = UINT64_MAX;
    unsigned before = model_fired;

    for (size_t i = 0; i < MODEL_TIMERS; i++) {
        model[i].held = false;
        if (model[i].armed && model[i].due_ms < earliest)
            earliest = model[i].due_ms;
    }
    if (earliest != UINT64_MAX)
        ck_assert_uint_le(wait, earliest - wheel.now_ms); /* never late */
    else
        ck_assert_uint_eq(wait, UINT64_MAX);

    target_ms = wheel.now_ms + random_delay(38);
    last_due_ms = 0;
    advancing = true;
    unsigned count = timer_wheel_advance(&wheel, target_ms);
    advancing = false;
    ck_assert_uint_eq(wheel.now_ms, target_ms);
    ck_assert_uint_eq(count, model_fired - before);
}

START_TEST(test_random_operations)
{
    random_state = UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(_i + 1);
    /* Half of the runs cross the limit of the highest digit early. */
    timer_wheel_init(&wheel, _i % 2 == 0 ? random_delay(50) : (UINT64_C(3) << 36) - 1000);
    for (size_t i = 0; i < MODEL_TIMERS; i++) {
        timer_init(&model[i].timer, on_model_timer);
        model[i].armed = false;
    }
    for (unsigned step = 0; step < 3000; step++) {
        if (random_u64() % 4 == 0)
            model_advance();
        else
            model_operation();
        if (step % 16 == 0)
            ck_assert(timer_wheel_validate(&wheel));
        for (size_t i = 0; i < MODEL_TIMERS; i++) {
            if (timer_armed(&model[i].timer) != model[i].armed)
                ck_abort_msg("timer %zu is %sarmed", i, model[i].armed ? "not " : "");
        }
    }
    ck_assert_uint_gt(model_fired, 100);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("timer_wheel");
    TCase *single = tcase_create("single");
    TCase *callbacks = tcase_create("callbacks");
    TCase *random = tcase_create("random");

    tcase_add_checked_fixture(single, set_up, NULL);
    tcase_add_test(single, test_fires_at_its_millisecond);
    tcase_add_test(single, test_overdue_fires_at_the_next_advance);
    tcase_add_test(single, test_fires_in_order);
    tcase_add_test(single, test_cancel_and_move);
    tcase_add_test(single, test_clock_that_goes_back);
    tcase_add_test(single, test_end_of_time);
    tcase_add_test(single, test_wait);
    tcase_add_test(single, test_validate_finds_damage);
    tcase_add_checked_fixture(callbacks, set_up, NULL);
    tcase_add_test(callbacks, test_callback_changes_the_wheel);
    tcase_add_test(callbacks, test_periodic_catches_up);
    tcase_add_loop_test(random, test_random_operations, 0, 20);
    tcase_set_timeout(random, 30);
    suite_add_tcase(suite, single);
    suite_add_tcase(suite, callbacks);
    suite_add_tcase(suite, random);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
