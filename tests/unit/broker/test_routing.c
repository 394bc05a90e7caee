/* Tests of broker/routing.c: tables with what they leave out, and bad ones: what, where, what was
 * expected. The plugins that are loaded are fakes. */
#include "broker/routing.h"

#include "broker/broker.h"
#include "broker/plugin.h"
#include "broker/plugin_load.h"
#include "common/auto.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct plugin {
    const char *name;
    uint32_t flags;
    bool absent;
};
static struct plugin all[] = {{"live", DP_USES_SOCKET, false},
                              {"local-push", DP_USES_SOCKET | DP_USES_NOTIFICATION, false},
                              {"webhook", 0, false}};
static struct plugin *const live = &all[0], *const local_push = &all[1], *const webhook = &all[2];

static struct broker broker;
static config_t config;
static struct routing routing;
static struct err_text et;
static char file[64];

/* --- fakes --- */

struct plugin *plugin_find(struct broker *b, const char *name)
{
    (void)b;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strcmp(all[i].name, name) == 0)
            return all[i].absent ? NULL : &all[i];
    }
    return NULL;
}

uint32_t plugin_flags(const struct plugin *plugin)
{
    return plugin->flags;
}

bool plugin_configured(const config_t *c, const char *name)
{
    ck_assert_ptr_eq(c, &config);
    return plugin_find(&broker, name) != NULL;
}

/* --- fixture --- */

static void set_up(void)
{
    int fd;

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        all[i].absent = false;
    memset(&routing, 0x55, sizeof(routing));
    config_init(&config);
    snprintf(file, sizeof(file), "/tmp/beckon-routing-XXXXXX");
    fd = mkstemp(file);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void tear_down(void)
{
    config_destroy(&config);
    unlink(file);
}

static void load(const char *text)
{
    FILE *out = fopen(file, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_msg(config_read_file(&config, file) == CONFIG_TRUE, "%s:%d %s", file,
                  config_error_line(&config), config_error_text(&config));
}

static int check_shape(void)
{
    return routing_check_setting(config_lookup(&config, "routing"), &et);
}

static void taken(const char *text)
{
    load(text);
    ck_assert_msg(!config_lookup(&config, "routing") || check_shape() == 0, "%s", et.text);
    ck_assert_msg(routing_check_names(&config, &et) == 0, "%s", et.text);
    ck_assert_msg(routing_read(&broker, &config, &routing, &et) == 0, "%s", et.text);
}

static void says(const char *expected)
{
    char whole[512];

    snprintf(whole, sizeof(whole), "%s:%s", file, expected);
    ck_assert_str_eq(et.text, whole);
}

static void bad_shape(const char *text, const char *expected)
{
    load(text);
    ck_assert_int_eq(check_shape(), ERR_CONFIG);
    says(expected);
}

static void not_read(void)
{
    static struct routing untouched;

    memset(&untouched, 0x55, sizeof(untouched));
    ck_assert_int_eq(routing_read(&broker, &config, &routing, &et), ERR_CONFIG);
    ck_assert_mem_eq(&routing, &untouched, sizeof(routing)); /* the one in force stays */
}

static void step(enum route_state state, uint32_t i, const struct plugin *plugin, uint32_t ack_ms)
{
    ck_assert_uint_gt(routing.state[state].count, i);
    ck_assert_ptr_eq(routing.state[state].step[i].plugin, plugin);
    ck_assert_uint_eq(routing.state[state].step[i].ack_ms, ack_ms);
}

static void steps(enum route_state state, uint32_t count)
{
    ck_assert_uint_eq(routing.state[state].count, count);
}

/* --- tables --- */

START_TEST(the_default_table)
{
    taken("");
    steps(ROUTE_FOREGROUND, 2);
    step(ROUTE_FOREGROUND, 0, live, 4000);
    step(ROUTE_FOREGROUND, 1, NULL, 0);
    steps(ROUTE_BACKGROUND, 2);
    step(ROUTE_BACKGROUND, 0, local_push, 2000);
    step(ROUTE_BACKGROUND, 1, NULL, 0);
    steps(ROUTE_OFFLINE, 1);
    step(ROUTE_OFFLINE, 0, NULL, 0);
}
END_TEST

START_TEST(what_is_left_out_is_the_default)
{
    taken("routing = { offline = ( { plugin = \"webhook\"; ack_ms = 3600000; },"
          " { plugin = \"push\"; ack_ms = 0; } ); };");
    steps(ROUTE_OFFLINE, 2);
    step(ROUTE_OFFLINE, 0, webhook, 3600000);
    step(ROUTE_OFFLINE, 1, NULL, 0);
    steps(ROUTE_FOREGROUND, 2);
    step(ROUTE_FOREGROUND, 0, live, 4000);
}
END_TEST

START_TEST(an_empty_list_is_a_list)
{
    taken("routing = { background = ( ); };");
    steps(ROUTE_BACKGROUND, 0);
    steps(ROUTE_FOREGROUND, 2);
}
END_TEST

START_TEST(eight_steps_and_not_nine)
{
#define FOUR                                                                                       \
    "{ plugin = \"push\"; }, { plugin = \"push\"; }, { plugin = \"push\"; }, { plugin = "          \
    "\"push\"; }"
    taken("routing = { offline = ( " FOUR ", " FOUR " ); };");
    steps(ROUTE_OFFLINE, ROUTING_STEPS_MAX);
    bad_shape("routing = {\noffline = ( " FOUR ", " FOUR ", { plugin = \"push\"; } ); };",
              "2: routing: more than 8 steps");
#undef FOUR
}
END_TEST

START_TEST(bad_shapes)
{
    bad_shape("\nrouting = ( );",
              "2: routing: expected a group { foreground; background; offline; }");
    bad_shape("routing = {\nasleep = ( ); };",
              "2: routing: unknown state, expected foreground, background or offline");
    bad_shape("routing = {\noffline = { plugin = \"push\"; }; };",
              "2: routing: expected a list ( { plugin; ack_ms; }, ... )");
    bad_shape("routing = {\noffline = \"push\"; };",
              "2: routing: expected a list ( { plugin; ack_ms; }, ... )");
}
END_TEST

START_TEST(bad_steps)
{
    static const char ack_ms[] =
        "3: routing: ack_ms: expected a number of milliseconds from 0 to 3600000";

    bad_shape("routing = { offline = (\n\"push\" ); };",
              "2: routing: expected a list of { plugin; ack_ms; }");
    bad_shape("routing = { offline = (\n{ ack_ms = 5; } ); };",
              "2: routing: a step needs a plugin");
    bad_shape("routing = { offline = (\n{ plugin = \"\"; } ); };",
              "2: routing: a step needs a plugin");
    bad_shape("routing = { offline = (\n{ plugin = 5; } ); };",
              "2: routing: a step needs a plugin");
    bad_shape("routing = { offline = ( {\nplugin = \"push\";\nack = 5; } ); };",
              "3: routing: unknown key, expected plugin or ack_ms");
    bad_shape("routing = { offline = ( {\nplugin = \"push\";\nack_ms = -1; } ); };", ack_ms);
    bad_shape("routing = { offline = ( {\nplugin = \"push\";\nack_ms = 3600001; } ); };", ack_ms);
    bad_shape("routing = { offline = ( {\nplugin = \"push\";\nack_ms = 5L; } ); };", ack_ms);
    bad_shape("routing = { offline = ( {\nplugin = \"push\";\nack_ms = \"5\"; } ); };", ack_ms);
}
END_TEST

START_TEST(unknown_plugins)
{
    static const char expected[] = "2: routing.offline: no plugin \"weebhook\" is configured, "
                                   "expected \"push\" or one of the names under plugins";

    load("routing = { offline = (\n{ plugin = \"weebhook\"; } ); };");
    ck_assert_int_eq(check_shape(), 0);
    ck_assert_int_eq(routing_check_names(&config, &et), ERR_CONFIG);
    says(expected);
    et.text[0] = '\0';
    not_read();
    says(expected);
}
END_TEST

START_TEST(defaults_need_their_plugins)
{
    static const char expected[] =
        "plugins: no plugin \"local-push\" is configured, and the default routing table needs it "
        "for the state background";

    local_push->absent = true;
    load("");
    ck_assert_int_eq(routing_check_names(&config, &et), ERR_CONFIG);
    ck_assert_str_eq(et.text, expected);
    et.text[0] = '\0';
    not_read();
    ck_assert_str_eq(et.text, expected);
    taken("routing = { background = ( { plugin = \"live\"; ack_ms = 1; } ); };");
    step(ROUTE_BACKGROUND, 0, live, 1);
}
END_TEST

START_TEST(a_socket_only_comes_first_and_where_there_is_one)
{
    static const char expected[] = "2: routing: a plugin that uses the socket can only be the "
                                   "first step of foreground or background";

    load("routing = { offline = (\n{ plugin = \"live\"; } ); };");
    not_read();
    says(expected);
    load("routing = { foreground = ( { plugin = \"push\"; },\n{ plugin = \"live\"; } ); };");
    not_read();
    says(expected);
    load("routing = { background = ( { plugin = \"live\"; },\n{ plugin = \"local-push\"; } ); };");
    not_read();
    says(expected);
}
END_TEST

START_TEST(without_a_file)
{
    ck_assert_int_eq(config_read_string(&config, "routing = { offline = ( 5 ); };"), CONFIG_TRUE);
    ck_assert_int_eq(check_shape(), ERR_CONFIG);
    ck_assert_str_eq(et.text, "--set:1: routing: expected a list of { plugin; ack_ms; }");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("routing");
    TCase *tcase = tcase_create("routing");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_default_table);
    tcase_add_test(tcase, what_is_left_out_is_the_default);
    tcase_add_test(tcase, an_empty_list_is_a_list);
    tcase_add_test(tcase, eight_steps_and_not_nine);
    tcase_add_test(tcase, bad_shapes);
    tcase_add_test(tcase, bad_steps);
    tcase_add_test(tcase, unknown_plugins);
    tcase_add_test(tcase, defaults_need_their_plugins);
    tcase_add_test(tcase, a_socket_only_comes_first_and_where_there_is_one);
    tcase_add_test(tcase, without_a_file);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
