/* Tests of delivery-plugins/apns/apns.c and request.c: what is refused unasked, and the headers. */
#include "push_fixture.h"

#include <check.h>
#include <stdio.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static char long_token[1200];

static const struct {
    struct push_changes changes;
    const char *reason;
} refusals[] = {
    {{.token = ""}, "no-token"},
    {{.token = "c0ffee/../x"}, "malformed-token"},
    {{.token = "c0ffee\r\n"}, "malformed-token"},
    {{.token = long_token}, "malformed-token"},
    {{.topic = "com.example.unknown"}, "topic-not-configured"},
    {{.topic = ""}, "topic-not-configured"},
    {{.environment = ""}, "unknown-environment"},
    {{.environment = "staging"}, "unknown-environment"},
};

START_TEST(test_refused_unasked)
{
    memset(long_token, 'a', sizeof(long_token) - 1);
    push_open(NULL);
    ck_assert_int_eq(push_host_deliver_as(&host, 1, &refusals[_i].changes), 0);
    ck_assert_uint_eq(host.outcome_count, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_FAILED);
    ck_assert_str_eq(host.outcomes[0].reason, refusals[_i].reason);
    push_host_pass(&host, 1000);
    ck_assert_uint_eq(server.peer_count, 0);
}
END_TEST

START_TEST(test_any_topic)
{
    push_open("keys[0].topics[1]", "*", NULL);
    push_host_deliver_as(&host, 1, &(struct push_changes){.topic = "com.example.unknown"});
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_ACCEPTED);
    ck_assert_str_eq(server.requests[0].topic, "com.example.unknown");
    /* what no bundle id is, is none of them */
    push_host_deliver_as(&host, 2, &(struct push_changes){.topic = "*"});
    push_host_deliver_as(&host, 3, &(struct push_changes){.topic = "com\r\nevil: 1"});
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "topic-not-configured");
    ck_assert_str_eq(push_host_outcome(&host, 3)->reason, "topic-not-configured");
}
END_TEST

/* A topic that is refused stays allowed for the others that "*" stands for. */
START_TEST(test_any_topic_is_not_stopped)
{
    static const struct push_answer answers[] = {
        {.status = 400, .body = "{\"reason\":\"TopicDisallowed\"}"}};

    server.script = answers;
    server.script_len = 1;
    push_open("keys[0].topics[1]", "*", NULL);
    push_host_deliver_as(&host, 1, &(struct push_changes){.topic = "com.example.unknown"});
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_FAILED);
    push_host_deliver_as(&host, 2, &(struct push_changes){.topic = "com.example.another"});
    push_host_await(&host, 2);
    ck_assert_uint_eq(host.outcomes[1].kind, DP_ACCEPTED);
}
END_TEST

START_TEST(test_environments)
{
    struct push_server other;
    char port[8];

    push_server_init(&other, &host, &keys);
    snprintf(port, sizeof(port), "%u", other.port);
    push_open("development.port", port, NULL);
    push_host_deliver_as(&host, 1, &(struct push_changes){.environment = "development"});
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_ACCEPTED);
    ck_assert_uint_eq(server.request_count, 0);
    ck_assert_uint_eq(other.request_count, 1);
    push_host_close(&host);
    push_server_fini(&other);
}
END_TEST

START_TEST(test_expiration_and_priority)
{
    push_open(NULL);
    push_host_deliver_as(
        &host, 1, &(struct push_changes){.expires_at_ms = PUSH_WALL_MS + 60001, .priority = 5});
    push_host_deliver(&host, 2);
    push_host_await(&host, 2);
    ck_assert_uint_eq(strtoull(server.requests[0].expiration, NULL, 10), PUSH_WALL_MS / 1000 + 61);
    ck_assert_str_eq(server.requests[0].priority, "5");
    ck_assert_uint_eq(strtoull(server.requests[1].expiration, NULL, 10),
                      PUSH_WALL_MS / 1000 + 2592000);
    ck_assert_str_eq(server.requests[1].priority, "10");
    ck_assert_str_ne(server.requests[0].apns_id, server.requests[1].apns_id);
}
END_TEST

START_TEST(test_expiration_by_option)
{
    push_open("expiration_s", _i == 0 ? "0" : "600", NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(strtoull(server.requests[0].expiration, NULL, 10),
                      _i == 0 ? 0 : PUSH_WALL_MS / 1000 + 600);
}
END_TEST

START_TEST(test_the_largest_document)
{
    static char document[4097];

    memset(document, ' ', sizeof(document) - 1);
    memcpy(document, "{\"aps\":{}", 9);
    document[4095] = '}';
    push_open(NULL);
    for (uint64_t id = 1; id <= 60; id++)
        push_host_deliver_as(&host, id, &(struct push_changes){.document = document});
    push_host_await(&host, 60);
    for (uint64_t id = 1; id <= 60; id++)
        ck_assert_uint_eq(push_host_outcome(&host, id)->kind, DP_ACCEPTED);
    for (size_t i = 0; i < server.request_count; i++) {
        ck_assert_uint_eq(server.requests[i].body_len, 4096);
        ck_assert_mem_eq(server.requests[i].body, document, 4096);
    }
}
END_TEST

START_TEST(test_descriptor)
{
    const struct dp_plugin *plugin = dp_plugin_query(DP_ABI);

    ck_assert_str_eq(plugin->name, "apns");
    ck_assert_uint_eq(plugin->flags, DP_USES_NOTIFICATION);
    ck_assert_uint_eq(plugin->struct_size, sizeof(*plugin));
    ck_assert_ptr_null(plugin->socket_result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apns");
    TCase *tcase = tcase_create("apns");

    tcase_add_checked_fixture(tcase, push_set_up, push_tear_down);
    tcase_add_loop_test(tcase, test_refused_unasked, 0, ARRAY_LEN(refusals));
    tcase_add_test(tcase, test_any_topic);
    tcase_add_test(tcase, test_any_topic_is_not_stopped);
    tcase_add_test(tcase, test_environments);
    tcase_add_test(tcase, test_expiration_and_priority);
    tcase_add_loop_test(tcase, test_expiration_by_option, 0, 2);
    tcase_add_test(tcase, test_the_largest_document);
    tcase_add_test(tcase, test_descriptor);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
