/* Tests of broker/plugin_remote.c with real host processes: what a plugin that crashes, hangs,
 * leaks, lies or keeps silent costs. Routing is played by the test. */
#include "broker/broker.h"
#include "broker/delivery.h"
#include "broker/plugin.h"
#include "broker/plugin_load.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Longer than a busy machine takes for anything here. */
#define DEADLINE_MS 30000
#define IDS_MAX 4096

static struct broker broker;
static struct err_text et;
static struct plugin *plugin;
/* By delivery id. */
static unsigned outcomes[IDS_MAX], accepted[IDS_MAX];
static char reasons[IDS_MAX][32];
static unsigned outcome_count, ready_count;

/* --- routing, as far as plugins see it --- */

void delivery_outcome(struct broker *b, struct plugin *p, uint64_t id,
                      const struct dp_outcome *outcome)
{
    (void)b;
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_lt(id, IDS_MAX);
    outcomes[id]++;
    accepted[id] = outcome->kind == DP_ACCEPTED;
    snprintf(reasons[id], sizeof(reasons[id]), "%s", outcome->reason ? outcome->reason : "");
    outcome_count++;
}

void delivery_plugin_ready(struct broker *b, struct plugin *p)
{
    (void)b, (void)p;
    ready_count++;
}

int32_t delivery_socket_send(struct broker *b, const struct delivery_source *source, uint32_t kind)
{
    (void)b, (void)source, (void)kind;
    return -1;
}

/* --- the harness --- */

static void set_up(void)
{
    broker = (struct broker){.options = {.log_level = "info",
                                         .plugin_dir = TEST_PLUGIN_DIR,
                                         .plugin_host_program = TEST_HOST,
                                         .plugin_host_runtime_dir = "",
                                         .plugin_host_hang_ms = 1000,
                                         .plugin_host_memory_mb = 512,
                                         .plugin_host_answer_ms = 60000}};
    broker.loop = loop_create();
    ck_assert_ptr_nonnull(broker.loop);
}

static void tear_down(void)
{
    plugins_destroy(&broker);
    loop_destroy(broker.loop);
}

static int open_plugin(const char *mode, unsigned every, unsigned in_flight)
{
    char text[256];
    config_t config;
    int r;

    snprintf(text, sizeof(text),
             "plugins = ( { name = \"faulty\"; file = \"faulty.so\"; in_flight = %u;\n"
             " options = { mode = \"%s\"; every = %u; }; } );",
             in_flight, mode, every);
    config_init(&config);
    ck_assert_int_eq(config_read_string(&config, text), CONFIG_TRUE);
    ck_assert_int_eq(plugin_check_setting(config_lookup(&config, "plugins"), &et), 0);
    r = plugins_create(&broker, &config, &et);
    config_destroy(&config);
    plugin = r == 0 ? plugin_find(&broker, "faulty") : NULL;
    return r;
}

static int deliver(uint64_t id)
{
    const struct dp_message message = {.struct_size = sizeof(message),
                                       .from = "alice",
                                       .conversation = "u/alice",
                                       .payload = "hello",
                                       .payload_size = 5};
    const struct dp_device device = {.struct_size = sizeof(device),
                                     .user = "bob",
                                     .device = "phone",
                                     .push_provider = "",
                                     .push_token = "",
                                     .push_topic = "",
                                     .push_environment = ""};
    const struct dp_delivery delivery = {.struct_size = sizeof(delivery),
                                         .attempt = 1,
                                         .id = id,
                                         .message = &message,
                                         .device = &device};

    return plugin_deliver(plugin, &delivery, NULL);
}

/* Turns the loop until *counter is at least `count`. */
static void wait_for(const unsigned *counter, unsigned count)
{
    uint64_t until_ms = loop_now_ms(broker.loop) + DEADLINE_MS;

    while (*counter < count) {
        ck_assert_msg(loop_now_ms(broker.loop) < until_ms, "%u of %u", *counter, count);
        ck_assert_int_eq(loop_turn(broker.loop, 100), 0);
    }
}

static void wait_up(bool up)
{
    uint64_t until_ms = loop_now_ms(broker.loop) + DEADLINE_MS;

    while (plugins_ready(&broker) != up) {
        ck_assert_uint_lt(loop_now_ms(broker.loop), until_ms);
        ck_assert_int_eq(loop_turn(broker.loop, 100), 0);
    }
}

/* Delivers ids 0 to count - 1, at most `batch` at once, and waits for every outcome. */
static void deliver_all(unsigned count, unsigned batch)
{
    uint64_t until_ms = loop_now_ms(broker.loop) + DEADLINE_MS;

    for (unsigned id = 0; id < count;) {
        unsigned ready = ready_count;
        int r = deliver(id);

        if (r == 0 && ++id % batch == 0)
            wait_for(&outcome_count, id);
        if (r == ERR_AGAIN)
            wait_for(&ready_count, ready + 1);
        ck_assert_uint_lt(loop_now_ms(broker.loop), until_ms);
    }
    wait_for(&outcome_count, count);
    for (unsigned id = 0; id < count; id++)
        ck_assert_msg(outcomes[id] == 1, "delivery %u has %u outcomes", id, outcomes[id]);
    ck_assert_uint_eq(outcome_count, count);
}

struct found {
    const char *name;
    uint64_t value;
};

static void on_counter(void *arg, const char *name, const char *counter, uint64_t value)
{
    struct found *found = arg;

    ck_assert_str_eq(name, "faulty");
    if (strcmp(counter, found->name) == 0)
        found->value = value;
}

static uint64_t counter(const char *name)
{
    struct found found = {.name = name};

    plugins_each_counter(&broker, on_counter, &found);
    return found.value;
}

static void wait_counter(const char *name, uint64_t value)
{
    uint64_t until_ms = loop_now_ms(broker.loop) + DEADLINE_MS;

    while (counter(name) < value) {
        ck_assert_uint_lt(loop_now_ms(broker.loop), until_ms);
        ck_assert_int_eq(loop_turn(broker.loop, 100), 0);
    }
}

static unsigned count_reasons(unsigned count, const char *reason)
{
    unsigned found = 0;

    for (unsigned id = 0; id < count; id++)
        found += strcmp(reasons[id], reason) == 0;
    return found;
}

/* --- what is as it should be --- */

static void on_status(void *arg, const char *name, bool hosted, bool up, size_t in_flight,
                      uint64_t restarts)
{
    ck_assert_str_eq(name, "faulty");
    ck_assert(hosted && up);
    ck_assert_uint_eq(in_flight, 0);
    ck_assert_uint_eq(restarts, 0);
    ++*(unsigned *)arg;
}

START_TEST(good_plugin_delivers)
{
    unsigned seen = 0;

    ck_assert_msg(open_plugin("later", 1, 1000) == 0, "%s", et.text);
    ck_assert(plugins_ready(&broker));
    deliver_all(3000, 3000);
    ck_assert_uint_eq(count_reasons(3000, ""), 3000);
    plugins_each_status(&broker, on_status, &seen);
    ck_assert_uint_eq(seen, 1);
    wait_counter("delivered", 3000);
    ck_assert_uint_eq(counter("opened"), 1);
    plugins_log_counters(&broker);
}
END_TEST

START_TEST(full_host_says_when_it_has_room)
{
    ck_assert_int_eq(open_plugin("stuck", 1, 3), 0);
    for (unsigned id = 0; id < 3; id++)
        ck_assert_int_eq(deliver(id), 0);
    ck_assert_int_eq(deliver(3), ERR_AGAIN);
    ck_assert_uint_eq(ready_count, 0);
}
END_TEST

START_TEST(plugin_that_refuses_is_asked_again)
{
    ck_assert_int_eq(open_plugin("full", 1, 50), 0);
    deliver_all(200, 200);
    ck_assert_uint_eq(count_reasons(200, ""), 200);
}
END_TEST

START_TEST(end_reports_what_is_in_flight)
{
    ck_assert_int_eq(open_plugin("stuck", 1, 50), 0);
    for (unsigned id = 0; id < 10; id++)
        ck_assert_int_eq(deliver(id), 0);
    plugins_destroy(&broker);
    for (unsigned id = 0; id < 10; id++) {
        ck_assert_uint_eq(outcomes[id], 1);
        ck_assert_str_eq(reasons[id], "plugin-closed");
    }
}
END_TEST

/* The words of the plugin, not ours for what it did not report: or everything that it sent at its
 * end would be sent again after every restart. */
START_TEST(end_waits_for_the_last_outcomes)
{
    ck_assert_int_eq(open_plugin("close-accepts", 1, 2000), 0);
    for (unsigned id = 0; id < 2000; id++)
        ck_assert_int_eq(deliver(id), 0);
    plugins_destroy(&broker);
    for (unsigned id = 0; id < 2000; id++)
        ck_assert_msg(outcomes[id] == 1 && accepted[id], "delivery %u: %u outcomes, \"%s\"", id,
                      outcomes[id], reasons[id]);
}
END_TEST

START_TEST(cancel_reaches_the_plugin)
{
    ck_assert_int_eq(open_plugin("stuck", 1, 50), 0);
    ck_assert_int_eq(deliver(1), 0);
    plugin_cancel(plugin, 1);
    plugin_cancel(plugin, 1);
    plugin_cancel(plugin, 77);
    wait_counter("cancelled", 1);
    ck_assert_uint_eq(counter("cancelled"), 1);
}
END_TEST

/* --- what is not --- */

START_TEST(crash_costs_what_was_in_flight)
{
    ck_assert_int_eq(open_plugin("crashes", 10, 1000), 0);
    deliver_all(50, 5);
    /* every tenth of a process: five at once, so the second five of each */
    ck_assert_uint_ge(count_reasons(50, "plugin-crashed"), 3);
    ck_assert_uint_ge(count_reasons(50, ""), 25);
    ck_assert_uint_ge(counter("host_restarts"), 2);
}
END_TEST

START_TEST(hang_costs_what_was_in_flight)
{
    ck_assert_int_eq(open_plugin("hangs", 10, 1000), 0);
    deliver_all(15, 5);
    ck_assert_uint_eq(count_reasons(15, ""), 10);
    ck_assert_uint_eq(count_reasons(15, "plugin-hung"), 5);
    wait_up(true);
    ck_assert_uint_eq(counter("host_restarts"), 1);
}
END_TEST

START_TEST(leak_is_ended)
{
    broker.options.plugin_host_memory_mb = 256;
    ck_assert_int_eq(open_plugin("leaks", 1, 1000), 0);
    for (unsigned id = 0; counter("host_restarts") == 0; id++) {
        ck_assert_uint_lt(id, 200);
        if (deliver(id) == 0)
            wait_for(&outcome_count, id + 1);
        /* a heartbeat looks at the memory: every 250 ms here */
        ck_assert_int_eq(loop_turn(broker.loop, 50), 0);
        if (!plugins_ready(&broker))
            wait_up(true);
    }
}
END_TEST

START_TEST(silence_is_bounded)
{
    broker.options.plugin_host_answer_ms = 200;
    ck_assert_int_eq(open_plugin("stuck", 1, 4), 0);
    deliver_all(8, 4);
    ck_assert_uint_eq(count_reasons(8, "no-answer"), 8);
    ck_assert_uint_eq(counter("host_no_answer"), 8);
    wait_counter("cancelled", 8);
    ck_assert(plugins_ready(&broker));
}
END_TEST

START_TEST(second_and_unknown_outcomes_are_ignored)
{
    ck_assert_int_eq(open_plugin("twice", 1, 1000), 0);
    deliver_all(100, 100);
    ck_assert_uint_eq(count_reasons(100, ""), 100);
    wait_counter("host_answers_unknown", 100);
    ck_assert_uint_eq(counter("host_answers_unknown"), 100);
    ck_assert_uint_eq(outcome_count, 100);
}
END_TEST

/* The only child. */
static pid_t host_pid(void)
{
    char path[64], line[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
    fclose(file);
    return (pid_t)strtol(line, NULL, 10);
}

/* As when a container is paused: both stand, and the first look afterwards comes too late. */
START_TEST(pause_of_both_is_no_hang)
{
    uint64_t until_ms;

    ck_assert_int_eq(open_plugin("ok", 1, 1000), 0);
    ck_assert_int_eq(kill(host_pid(), SIGSTOP), 0);
    until_ms = loop_now_ms(broker.loop) + 600;
    while (loop_now_ms(broker.loop) < until_ms) /* until a PING is unanswered */
        ck_assert_int_eq(loop_turn(broker.loop, 50), 0);
    poll(NULL, 0, 1500); /* the pause itself: longer than hang_ms */
    ck_assert_int_eq(loop_turn(broker.loop, 0), 0);
    ck_assert_int_eq(kill(host_pid(), SIGCONT), 0);
    deliver_all(5, 5);
    wait_counter("delivered", 5);
    ck_assert_uint_eq(count_reasons(5, ""), 5);
    ck_assert_uint_eq(counter("host_restarts"), 0);
}
END_TEST

START_TEST(killed_host_comes_back)
{
    ck_assert_int_eq(open_plugin("stuck", 1, 1000), 0);
    ck_assert_int_eq(deliver(0), 0);
    ck_assert_int_eq(loop_turn(broker.loop, 0), 0);
    ck_assert_int_eq(kill(host_pid(), SIGKILL), 0);
    wait_up(false);
    ck_assert_int_eq(deliver(1), ERR_AGAIN);
    wait_for(&ready_count, 1);
    ck_assert_uint_eq(outcomes[0], 1);
    ck_assert_str_eq(reasons[0], "plugin-crashed");
    ck_assert_int_eq(deliver(1), 0);
}
END_TEST

/* --- starts that fail --- */

START_TEST(open_error_stops_the_start)
{
    ck_assert_int_eq(open_plugin("open-fails", 1, 1000), ERR_PLUGIN);
    ck_assert_msg(strstr(et.text, "plugin \"faulty\" could not start: ") != NULL, "%s", et.text);
    ck_assert_msg(strstr(et.text, ":2: mode is \"open-fails\"") != NULL, "%s", et.text);
}
END_TEST

START_TEST(crash_at_open_stops_the_start)
{
    ck_assert_int_eq(open_plugin("open-crashes", 1, 1000), ERR_PLUGIN);
    ck_assert_msg(strstr(et.text, "ended before it was open") != NULL, "%s", et.text);
}
END_TEST

static int open_file(const char *name, const char *file)
{
    char text[256];
    config_t config;
    int r;

    snprintf(text, sizeof(text), "plugins = ( { name = \"%s\"; file = \"%s\"; hosted = true; } );",
             name, file);
    config_init(&config);
    ck_assert_int_eq(config_read_string(&config, text), CONFIG_TRUE);
    r = plugins_create(&broker, &config, &et);
    config_destroy(&config);
    return r;
}

START_TEST(other_abi_stops_the_start)
{
    ck_assert_int_eq(open_file("test", "other-abi.so"), ERR_PLUGIN);
    ck_assert_msg(strstr(et.text, "ABI 2, expected 1") != NULL, "%s", et.text);
}
END_TEST

START_TEST(other_name_stops_the_start)
{
    ck_assert_int_eq(open_file("other", "faulty.so"), ERR_PLUGIN);
    ck_assert_msg(strstr(et.text, "calls itself \"faulty\", expected \"other\"") != NULL, "%s",
                  et.text);
}
END_TEST

START_TEST(socket_plugin_cannot_be_hosted)
{
    ck_assert_int_eq(open_file("live", LIVE_PLUGIN), ERR_PLUGIN);
    ck_assert_msg(strstr(et.text, "hosted = false") != NULL, "%s", et.text);
}
END_TEST

START_TEST(missing_program_stops_the_start)
{
    broker.options.plugin_host_program = "/nonexistent/host";
    ck_assert_int_eq(open_file("faulty", "faulty.so"), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, "plugin_host.program \"/nonexistent/host\"") != NULL, "%s",
                  et.text);
}
END_TEST

START_TEST(runtime_dir_is_removed)
{
    char base[] = "/tmp/beckon-test-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(base));
    broker.options.plugin_host_runtime_dir = base;
    ck_assert_int_eq(open_plugin("open-fails", 1, 10), ERR_PLUGIN);
    plugins_destroy(&broker);
    ck_assert_int_eq(open_plugin("ok", 1, 10), 0);
    ck_assert_int_ne(rmdir(base), 0); /* ours is in it */
    plugins_destroy(&broker);
    ck_assert_int_eq(rmdir(base), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_remote");
    TCase *good = tcase_create("good"), *bad = tcase_create("bad"), *start = tcase_create("start");

    tcase_add_checked_fixture(good, set_up, tear_down);
    tcase_add_test(good, good_plugin_delivers);
    tcase_add_test(good, full_host_says_when_it_has_room);
    tcase_add_test(good, plugin_that_refuses_is_asked_again);
    tcase_add_test(good, end_reports_what_is_in_flight);
    tcase_add_test(good, end_waits_for_the_last_outcomes);
    tcase_add_test(good, cancel_reaches_the_plugin);
    tcase_add_checked_fixture(bad, set_up, tear_down);
    tcase_add_test(bad, crash_costs_what_was_in_flight);
    tcase_add_test(bad, hang_costs_what_was_in_flight);
    tcase_add_test(bad, leak_is_ended);
    tcase_add_test(bad, silence_is_bounded);
    tcase_add_test(bad, second_and_unknown_outcomes_are_ignored);
    tcase_add_test(bad, pause_of_both_is_no_hang);
    tcase_add_test(bad, killed_host_comes_back);
    tcase_add_checked_fixture(start, set_up, tear_down);
    tcase_add_test(start, open_error_stops_the_start);
    tcase_add_test(start, crash_at_open_stops_the_start);
    tcase_add_test(start, other_abi_stops_the_start);
    tcase_add_test(start, other_name_stops_the_start);
    tcase_add_test(start, socket_plugin_cannot_be_hosted);
    tcase_add_test(start, missing_program_stops_the_start);
    tcase_add_test(start, runtime_dir_is_removed);
    suite_add_tcase(suite, good);
    suite_add_tcase(suite, bad);
    suite_add_tcase(suite, start);
    return run_suite(suite);
}
