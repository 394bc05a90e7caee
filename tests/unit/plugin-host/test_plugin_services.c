/* Tests of plugin-host/plugin_services.c on a real loop. */
#include "plugin-host/plugin_services.h"

#include "common/loop.h"
#include "tests/support/run_suite.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

/* Longer than a busy machine takes for anything here. */
#define DEADLINE_MS 10000

static struct loop *loop;
static struct plugin_services *services;
static const struct dp_host *host;
static int ends[2];
static unsigned timers_fired, watched, logged, counted, completed;
static struct dp_outcome last;

static void on_complete(void *arg, uint64_t id, const struct dp_outcome *outcome)
{
    ck_assert_ptr_eq(arg, &loop);
    ck_assert_uint_eq(id, 5);
    last = *outcome;
    completed++;
}

static void on_log(void *arg, uint32_t level, const char *text)
{
    (void)arg;
    ck_assert_uint_le(level, DP_LOG_DEBUG);
    ck_assert_ptr_nonnull(text);
    logged++;
}

static void on_count(void *arg, const char *name, uint64_t delta)
{
    (void)arg, (void)name;
    counted += (unsigned)delta;
}

static const struct plugin_services_hooks hooks = {
    .complete = on_complete, .log = on_log, .count = on_count};

static void set_up(void)
{
    loop = loop_create();
    services = plugin_services_create(loop, &hooks, &loop);
    ck_assert_ptr_nonnull(services);
    host = plugin_services_host(services);
    ck_assert_int_eq(pipe(ends), 0);
}

static void tear_down(void)
{
    plugin_services_destroy(services);
    loop_destroy(loop);
}

static void on_timer(void *arg)
{
    if (arg)
        host->timer_stop(host->ctx, *(uint64_t *)arg);
    timers_fired++;
}

static void on_watch(void *arg, uint32_t events)
{
    ck_assert_uint_eq(events, DP_READABLE);
    watched++;
    if (arg) /* its own end */
        host->watch(host->ctx, ends[0], 0, NULL, NULL);
}

static void turn_until(const unsigned *counter, unsigned count)
{
    uint64_t until_ms = loop_now_ms(loop) + DEADLINE_MS;

    while (*counter < count) {
        ck_assert_uint_lt(loop_now_ms(loop), until_ms);
        ck_assert_int_eq(loop_turn(loop, 100), 0);
    }
}

static void held(size_t watches, size_t timers)
{
    size_t w, t;

    plugin_services_held(services, &w, &t);
    ck_assert_uint_eq(w, watches);
    ck_assert_uint_eq(t, timers);
}

START_TEST(timers_fire_once_or_are_stopped)
{
    uint64_t other = host->timer_start(host->ctx, 2, on_timer, NULL);

    ck_assert_uint_ne(other, 0);
    ck_assert_uint_ne(host->timer_start(host->ctx, 1, on_timer, &other), 0);
    held(0, 2);
    turn_until(&timers_fired, 1);
    held(0, 0);
    host->timer_stop(host->ctx, other);
    host->timer_stop(host->ctx, 12345);
}
END_TEST

START_TEST(watch_is_changed_and_ends_itself)
{
    ck_assert_int_eq(host->watch(host->ctx, ends[0], DP_WRITABLE, on_watch, NULL), 0);
    ck_assert_int_eq(host->watch(host->ctx, ends[0], DP_READABLE, on_watch, &loop), 0);
    held(1, 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    turn_until(&watched, 1);
    held(0, 0);
    ck_assert_int_eq(host->watch(host->ctx, ends[0], 0, NULL, NULL), 0);
    ck_assert_int_eq(host->watch(host->ctx, 9999, DP_READABLE, on_watch, NULL), -1);
    held(0, 0);
}
END_TEST

START_TEST(outcomes_are_made_whole)
{
    struct dp_outcome o = {.struct_size = sizeof(o), .kind = DP_FAILED, .reason = "why"};

    host->complete(host->ctx, 5, &o);
    ck_assert_uint_eq(last.kind, DP_FAILED);
    ck_assert_str_eq(last.reason, "why");
    host->complete(host->ctx, 5, NULL);
    ck_assert_uint_eq(last.kind, DP_RETRY);
    ck_assert_str_eq(last.reason, "bad-outcome");
    o.kind = 99;
    host->complete(host->ctx, 5, &o);
    ck_assert_uint_eq(last.kind, DP_RETRY);
    o.kind = DP_ACCEPTED;
    o.struct_size = offsetof(struct dp_outcome, gone_at_ms); /* an older plugin's */
    host->complete(host->ctx, 5, &o);
    ck_assert_uint_eq(last.kind, DP_ACCEPTED);
    ck_assert_ptr_null(last.reason);
    ck_assert_uint_eq(last.struct_size, sizeof(last));
    ck_assert_uint_eq(completed, 4);
}
END_TEST

START_TEST(small_services)
{
    host->log(host->ctx, 99, "text");
    host->log(host->ctx, DP_LOG_INFO, NULL);
    ck_assert_uint_eq(logged, 2);
    host->count(host->ctx, "sent", 3);
    host->count(host->ctx, NULL, 3);
    ck_assert_uint_eq(counted, 3);
    ck_assert_uint_eq(host->now_ms(host->ctx), loop_now_ms(loop));
    ck_assert_uint_eq(host->wall_ms(host->ctx), loop_wall_ms(loop));
    ck_assert_ptr_null(host->socket_send);
}
END_TEST

START_TEST(what_is_left_is_ended)
{
    ck_assert_uint_ne(host->timer_start(host->ctx, 1, on_timer, NULL), 0);
    ck_assert_int_eq(host->watch(host->ctx, ends[1], DP_WRITABLE, on_watch, NULL), 0);
    held(1, 1);
    plugin_services_destroy(services);
    services = NULL;
    ck_assert_int_eq(loop_turn(loop, 20), 0);
    ck_assert_uint_eq(timers_fired, 0);
    ck_assert_uint_eq(watched, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_services");
    TCase *tcase = tcase_create("services");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, timers_fire_once_or_are_stopped);
    tcase_add_test(tcase, watch_is_changed_and_ends_itself);
    tcase_add_test(tcase, outcomes_are_made_whole);
    tcase_add_test(tcase, small_services);
    tcase_add_test(tcase, what_is_left_is_ended);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
