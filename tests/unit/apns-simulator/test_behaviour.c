/* What the control door is told: behaviours and rules for device tokens. */
#include "tools/apns-simulator/behaviour.h"

#include <string.h>

#include "common/auto.h"
#include "tests/support/run_suite.h"
#include "tools/apns-simulator/device_rules.h"

static struct behaviour behaviour;
static struct device_rule rule;
static struct json_problem problem;

static int read_behaviour(const char *text)
{
    return behaviour_read(text, strlen(text), &behaviour, &problem);
}

static int read_rule(const char *text)
{
    return device_rule_read(text, strlen(text), 1234, &rule, &problem);
}

START_TEST(test_everything)
{
    ck_assert_int_eq(read_behaviour("{\"delay_ms\":5,\"status\":503,\"reason\":\"Shutdown\","
                                    "\"retry_after\":7,\"goaway_after\":3,\"hang\":true,"
                                    "\"drop_connections\":true,\"max_concurrent_streams\":0}"),
                     0);
    ck_assert_uint_eq(behaviour.delay_ms, 5);
    ck_assert_uint_eq(behaviour.answer.status, 503);
    ck_assert_str_eq(behaviour.answer.reason, "Shutdown");
    ck_assert_uint_eq(behaviour.answer.retry_after_s, 7);
    ck_assert_uint_eq(behaviour.goaway_after, 3);
    ck_assert(behaviour.hang && behaviour.drop_connections && behaviour.limits_streams);
    ck_assert_uint_eq(behaviour.max_concurrent_streams, 0);
    ck_assert_int_eq(read_behaviour("{}"), 0);
    ck_assert_uint_eq(behaviour.delay_ms, 0);
    ck_assert_uint_eq(behaviour.answer.status, 0);
    ck_assert(!behaviour.hang && !behaviour.drop_connections && !behaviour.limits_streams);
}
END_TEST

START_TEST(test_status_and_reason)
{
    ck_assert_int_eq(read_behaviour("{\"reason\":\"InternalServerError\"}"), 0);
    ck_assert_uint_eq(behaviour.answer.status, 500);
    ck_assert_int_eq(read_behaviour("{\"status\":418,\"reason\":\"Invented\"}"), 0);
    ck_assert_uint_eq(behaviour.answer.status, 418);
    ck_assert_int_eq(read_behaviour("{\"status\":200}"), 0);
    ck_assert_uint_eq(behaviour.answer.status, 200);
    /* of the GOAWAY alone */
    ck_assert_int_eq(read_behaviour("{\"goaway_after\":1,\"reason\":\"Invented\"}"), 0);
    ck_assert_uint_eq(behaviour.answer.status, 0);
    ck_assert_str_eq(behaviour.goaway_reason, "Invented");
    ck_assert_int_eq(read_behaviour("{\"goaway_after\":1}"), 0);
    ck_assert_str_eq(behaviour.goaway_reason, "Shutdown");
}
END_TEST

static const struct {
    const char *text, *key;
} bad_behaviours[] = {
    {"", ""},
    {"[]", ""},
    {"{\"hang\":true", ""},
    {"{\"hang\":true,\"hang\":true}", ""},
    {"{\"hangs\":true}", "hangs"},
    {"{\"hang\":1}", "hang"},
    {"{\"delay_ms\":-1}", "delay_ms"},
    {"{\"delay_ms\":1.5}", "delay_ms"},
    {"{\"delay_ms\":\"1\"}", "delay_ms"},
    {"{\"delay_ms\":600001}", "delay_ms"},
    {"{\"status\":99,\"reason\":\"x\"}", "status"},
    {"{\"status\":500}", "status"},
    {"{\"status\":200,\"reason\":\"x\"}", "reason"},
    {"{\"reason\":\"Invented\"}", "reason"},
    {"{\"reason\":\"\"}", "reason"},
    {"{\"reason\":null}", "reason"},
    {"{\"status\":500,\"reason\":"
     "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}",
     "reason"},
    {"{\"retry_after\":5}", "retry_after"},
    {"{\"goaway_after\":0}", "goaway_after"},
    {"{\"max_concurrent_streams\":2147483648}", "max_concurrent_streams"},
};

/* Refused with the key to blame, and nothing changes. */
START_TEST(test_bad_behaviours)
{
    ck_assert_int_eq(read_behaviour("{\"delay_ms\":77}"), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad_behaviours); i++) {
        const char *key = bad_behaviours[i].key;

        ck_assert_msg(read_behaviour(bad_behaviours[i].text) == ERR_INVALID, "row %zu", i);
        ck_assert_str_eq(problem.key, key);
        ck_assert_ptr_nonnull(strstr(problem.text.text, key));
        ck_assert_uint_gt(strlen(problem.text.text), 0);
        ck_assert_uint_eq(behaviour.delay_ms, 77);
    }
}
END_TEST

START_TEST(test_rules)
{
    ck_assert_int_eq(
        read_rule("{\"status\":410,\"reason\":\"Unregistered\",\"timestamp\":1780000000000}"), 0);
    ck_assert_uint_eq(rule.answer.status, 410);
    ck_assert_uint_eq(rule.answer.timestamp_ms, 1780000000000);
    ck_assert_int_eq(read_rule("{\"reason\":\"ExpiredToken\"}"), 0);
    ck_assert_uint_eq(rule.answer.status, 410);
    ck_assert_uint_eq(rule.answer.timestamp_ms, 1234);
    ck_assert_int_eq(read_rule("{\"status\":400,\"reason\":\"BadDeviceToken\"}"), 0);
    ck_assert_uint_eq(rule.answer.timestamp_ms, 0);
    ck_assert_int_eq(read_rule("{\"topic\":\"com.example\",\"environment\":\"production\"}"), 0);
    ck_assert_uint_eq(rule.answer.status, 0);
    ck_assert_str_eq(rule.topic, "com.example");
}
END_TEST

static const struct {
    const char *text, *key;
} bad_rules[] = {
    {"{}", ""},
    {"{\"delay_ms\":1}", "delay_ms"},
    {"{\"status\":410}", "status"},
    {"{\"status\":410,\"reason\":\"Unregistered\",\"timestamp\":-5}", "timestamp"},
    {"{\"status\":400,\"reason\":\"BadDeviceToken\",\"timestamp\":5}", "timestamp"},
    {"{\"topic\":\"no topic\"}", "topic"},
    {"{\"environment\":\"sandbox\"}", "environment"},
};

START_TEST(test_bad_rules)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_rules); i++) {
        ck_assert_msg(read_rule(bad_rules[i].text) == ERR_INVALID, "row %zu", i);
        ck_assert_str_eq(problem.key, bad_rules[i].key);
    }
}
END_TEST

START_TEST(test_rule_table)
{
    struct device_rules *rules = device_rules_create();

    ck_assert_ptr_nonnull(rules);
    ck_assert_int_eq(read_rule("{\"topic\":\"com.example\"}"), 0);
    ck_assert_int_eq(device_rules_put(rules, "ABCDEF01", &rule), 0);
    ck_assert_ptr_nonnull(device_rules_find(rules, "abcdef01"));
    ck_assert_ptr_null(device_rules_find(rules, "abcdef02"));
    ck_assert_int_eq(read_rule("{\"topic\":\"com.second\"}"), 0);
    ck_assert_int_eq(device_rules_put(rules, "abcdef01", &rule), 0);
    ck_assert_str_eq(device_rules_find(rules, "ABCDEF01")->topic, "com.second");
    ck_assert_int_eq(device_rules_put(rules, "abcdef02", &rule), 0);
    ck_assert_int_eq(device_rules_remove(rules, "ABCDEF01"), 0);
    ck_assert_int_eq(device_rules_remove(rules, "abcdef01"), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(device_rules_find(rules, "abcdef02"));
    device_rules_destroy(rules);
    device_rules_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("behaviour");
    TCase *tcase = tcase_create("behaviour");

    tcase_add_test(tcase, test_everything);
    tcase_add_test(tcase, test_status_and_reason);
    tcase_add_test(tcase, test_bad_behaviours);
    tcase_add_test(tcase, test_rules);
    tcase_add_test(tcase, test_bad_rules);
    tcase_add_test(tcase, test_rule_table);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
