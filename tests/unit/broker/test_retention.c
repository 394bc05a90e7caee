/* Tests of broker/retention.h: when a message ends. */
#include "broker/retention.h"

#include "tests/support/run_suite.h"

#include <check.h>

#define NOW 1000000000000u
#define DAY RETENTION_DAY_MS

static struct broker broker;

uint64_t loop_wall_ms(const struct loop *loop)
{
    (void)loop;
    return NOW;
}

static void setup(void)
{
    broker = (struct broker){.options = {.retention_days = 30}};
}

START_TEST(without_a_time_to_live_it_is_the_retention_time)
{
    struct message m = {.sent_at_ms = NOW - 30ull * DAY + 1};

    ck_assert(!retention_over(&broker, &m));
    m.sent_at_ms--;
    ck_assert(retention_over(&broker, &m));
    ck_assert_uint_eq(retention_end_ms(&broker, &m), NOW);
}
END_TEST

START_TEST(the_senders_time_to_live_makes_it_shorter)
{
    struct message m = {.sent_at_ms = NOW - 10, .expires_at_ms = NOW + 1};

    ck_assert(!retention_over(&broker, &m));
    m.expires_at_ms = NOW;
    ck_assert(retention_over(&broker, &m));
}
END_TEST

START_TEST(but_not_longer)
{
    struct message m = {.sent_at_ms = NOW - 30ull * DAY, .expires_at_ms = NOW + DAY};

    ck_assert(retention_over(&broker, &m));
}
END_TEST

START_TEST(a_wrong_date_does_not_count)
{
    struct message m = {.sent_at_ms = 17, .expires_at_ms = NOW + DAY, .misdated = true};

    ck_assert(!retention_over(&broker, &m));
    m.sent_at_ms = NOW + 1000ull * DAY;
    m.expires_at_ms = NOW;
    ck_assert(retention_over(&broker, &m));
}
END_TEST

START_TEST(the_clock_is_the_databases)
{
    struct message m = {.sent_at_ms = NOW, .expires_at_ms = NOW + 5000};

    broker.clock_ahead_ms = 5000;
    ck_assert(retention_over(&broker, &m));
    broker.clock_ahead_ms = -5000;
    m.expires_at_ms = NOW - 4999;
    ck_assert(!retention_over(&broker, &m));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("retention");
    TCase *tcase = tcase_create("end");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, without_a_time_to_live_it_is_the_retention_time);
    tcase_add_test(tcase, the_senders_time_to_live_makes_it_shorter);
    tcase_add_test(tcase, but_not_longer);
    tcase_add_test(tcase, a_wrong_date_does_not_count);
    tcase_add_test(tcase, the_clock_is_the_databases);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
