/* Tests of delivery-plugins/apns/answer.c: what each answer of the service leads to. */
#include "push_fixture.h"

#include <check.h>
#include <stdio.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

#define REASON(reason) "{\"reason\":\"" reason "\"}"

static void script(const struct push_answer *answers, size_t count)
{
    server.script = answers;
    server.script_len = count;
}

static const struct push_outcome *deliver_one(const struct push_answer *answer)
{
    server.always = *answer;
    push_open(NULL);
    ck_assert_int_eq(push_host_deliver(&host, 1), 0);
    push_host_await(&host, 1);
    return push_host_outcome(&host, 1);
}

START_TEST(test_accepted)
{
    const struct push_outcome *o = deliver_one(&(struct push_answer){.status = 200});
    const struct push_request *r = &server.requests[0];

    ck_assert_uint_eq(o->kind, DP_ACCEPTED);
    ck_assert_str_eq(r->path, "/3/device/c0ffee00");
    ck_assert(!r->path_indexed);
    ck_assert_uint_eq(server.priority_frames, 0);
    ck_assert_str_eq(r->topic, "com.example.app");
    ck_assert_str_eq(r->push_type, "alert");
    ck_assert_str_eq(r->priority, "10");
    ck_assert_str_eq(r->collapse_id, "01020304-0506-7008-800a-0b0c0d0e0f01");
    ck_assert_uint_eq(strlen(r->apns_id), 36);
    ck_assert_int_eq(r->apns_id[14], '4');
    ck_assert_str_eq(r->body,
                     "{\"aps\":{\"alert\":\"hi\"},\"beckon\":{\"data\":{\"text\":\"hi\"}}}");
    ck_assert_uint_eq(push_host_counter(&host, "sent"), 1);
    ck_assert_uint_eq(push_host_counter(&host, "accepted"), 1);
}
END_TEST

START_TEST(test_gone_since_the_timestamp)
{
    const struct push_outcome *o = deliver_one(&(struct push_answer){
        .status = 410, .body = "{\"reason\":\"Unregistered\",\"timestamp\":1779000000123}"});

    ck_assert_uint_eq(o->kind, DP_DEVICE_GONE);
    ck_assert_uint_eq(o->gone_at_ms, UINT64_C(1779000000123));
    ck_assert_str_eq(o->reason, "Unregistered");
    ck_assert_uint_eq(push_host_counter(&host, "devices_gone"), 1);
}
END_TEST

/* Without a time a registration that came after the request must survive. */
START_TEST(test_gone_without_timestamp)
{
    const struct push_outcome *o =
        deliver_one(&(struct push_answer){.status = 410, .body = REASON("ExpiredToken")});

    ck_assert_uint_eq(o->kind, DP_DEVICE_GONE);
    ck_assert_uint_ge(o->gone_at_ms, PUSH_WALL_MS);
    ck_assert_uint_le(o->gone_at_ms, PUSH_WALL_MS + 5000);
}
END_TEST

START_TEST(test_bad_token_is_as_old_as_the_request)
{
    server.always = (struct push_answer){.action = PUSH_HOLD};
    push_open(NULL);
    ck_assert_int_eq(push_host_deliver(&host, 1), 0);
    push_server_await(&server, 1);
    push_host_pass(&host, 10000);
    push_server_answer(&server.requests[0], 400, REASON("BadDeviceToken"));
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_DEVICE_GONE);
    ck_assert_str_eq(host.outcomes[0].reason, "BadDeviceToken");
    ck_assert_uint_lt(host.outcomes[0].gone_at_ms, PUSH_WALL_MS + 5000);
}
END_TEST

static const struct {
    unsigned status;
    const char *reason;
    uint64_t errors; /* lines for the operator */
} refusals[] = {
    {400, "DeviceTokenNotForTopic", 0}, {400, "BadCollapseId", 1}, {400, "PayloadEmpty", 1},
    {400, "NeverSeenBefore", 1},        {403, "Forbidden", 1},     {404, "BadPath", 1},
    {405, "MethodNotAllowed", 1},
};

START_TEST(test_refused)
{
    char body[64];
    const struct push_outcome *o;

    snprintf(body, sizeof(body), "{\"reason\":\"%s\"}", refusals[_i].reason);
    o = deliver_one(&(struct push_answer){.status = refusals[_i].status, .body = body});
    ck_assert_uint_eq(o->kind, DP_FAILED);
    ck_assert_str_eq(o->reason, refusals[_i].reason);
    ck_assert_uint_eq(host.errors, refusals[_i].errors);
    ck_assert_uint_eq(server.request_count, 1);
}
END_TEST

START_TEST(test_topic_is_stopped_for_a_while)
{
    const struct push_outcome *o =
        deliver_one(&(struct push_answer){.status = 400, .body = REASON("TopicDisallowed")});

    ck_assert_uint_eq(o->kind, DP_FAILED);
    ck_assert_uint_eq(host.errors, 1);
    push_host_deliver(&host, 2);
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "TopicDisallowed");
    ck_assert_uint_eq(server.request_count, 1);
    push_host_skip(&host, 301000);
    server.always = (struct push_answer){.status = 200};
    push_host_deliver(&host, 3);
    push_host_await(&host, 3);
    ck_assert_uint_eq(push_host_outcome(&host, 3)->kind, DP_ACCEPTED);
}
END_TEST

START_TEST(test_too_many_requests_for_one_device)
{
    static const struct push_answer answers[] = {
        {.status = 429, .body = REASON("TooManyRequests"), .retry_after = "17"}};

    script(answers, 1);
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_RETRY);
    ck_assert_uint_eq(host.outcomes[0].retry_after_ms, 17000);
    /* others go on */
    push_host_deliver_as(&host, 2, &(struct push_changes){.token = "c0ffee01"});
    push_host_await(&host, 2);
    ck_assert_uint_eq(host.outcomes[1].kind, DP_ACCEPTED);
}
END_TEST

START_TEST(test_server_errors_open_the_breaker)
{
    server.always = (struct push_answer){.status = 500, .body = REASON("InternalServerError")};
    push_open("breaker_failures", "3", NULL);
    for (uint64_t id = 1; id <= 3; id++) {
        push_host_deliver(&host, id);
        push_host_await(&host, id);
        ck_assert_uint_eq(push_host_outcome(&host, id)->kind, DP_RETRY);
        ck_assert_str_eq(push_host_outcome(&host, id)->reason, "InternalServerError");
    }
    ck_assert_uint_eq(push_host_counter(&host, "breaker_opened"), 1);
    /* answered at once, without asking */
    push_host_deliver(&host, 4);
    ck_assert_str_eq(push_host_outcome(&host, 4)->reason, "breaker-open");
    ck_assert_uint_gt(push_host_outcome(&host, 4)->retry_after_ms, 1000);
    ck_assert_uint_eq(server.request_count, 3);
    /* one tries it out, the next does not */
    push_host_pass(&host, 6000);
    server.always = (struct push_answer){.action = PUSH_HOLD};
    push_host_deliver(&host, 5);
    push_host_deliver(&host, 6);
    ck_assert_str_eq(push_host_outcome(&host, 6)->reason, "breaker-open");
    push_server_await(&server, 4);
    push_server_answer(&server.requests[3], 200, NULL);
    push_host_await(&host, 6);
    ck_assert_uint_eq(push_host_outcome(&host, 5)->kind, DP_ACCEPTED);
    /* and all is well again */
    server.always = (struct push_answer){.status = 200};
    push_host_deliver(&host, 7);
    push_host_deliver(&host, 8);
    push_host_await(&host, 8);
    ck_assert_uint_eq(push_host_outcome(&host, 8)->kind, DP_ACCEPTED);
}
END_TEST

START_TEST(test_failed_trial_opens_it_for_longer)
{
    server.always = (struct push_answer){.status = 503, .body = REASON("ServiceUnavailable")};
    push_open("breaker_failures", "1", "breaker_ms", "1000", NULL);
    for (uint64_t id = 1; id <= 8; id++) {
        push_host_deliver(&host, id);
        push_host_await(&host, id);
        push_host_skip(&host, 61000);
    }
    ck_assert_uint_eq(push_host_counter(&host, "breaker_opened"), 8);
    push_host_deliver(&host, 9);
    push_host_await(&host, 9);
    push_host_deliver(&host, 10);
    /* doubled to a minute, half of it jitter */
    ck_assert_uint_ge(push_host_outcome(&host, 10)->retry_after_ms, 29000);
    ck_assert_uint_le(push_host_outcome(&host, 10)->retry_after_ms, 61000);
}
END_TEST

START_TEST(test_retry_after_holds_for_the_breaker)
{
    server.always = (struct push_answer){
        .status = 503, .body = REASON("ServiceUnavailable"), .retry_after = "90"};
    push_open("breaker_failures", "1", NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].retry_after_ms, 90000);
    push_host_deliver(&host, 2);
    ck_assert_uint_ge(push_host_outcome(&host, 2)->retry_after_ms, 89000);
}
END_TEST

START_TEST(test_expired_token_is_signed_anew_once)
{
    static const struct push_answer answers[] = {
        {.status = 200}, {.status = 403, .body = REASON("ExpiredProviderToken")}};

    script(answers, 2);
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    push_host_deliver(&host, 2);
    push_host_await(&host, 2);
    ck_assert_uint_eq(push_host_outcome(&host, 2)->kind, DP_ACCEPTED);
    ck_assert_uint_eq(server.request_count, 3);
    ck_assert_str_eq(server.requests[0].authorization, server.requests[1].authorization);
    ck_assert_str_ne(server.requests[1].authorization, server.requests[2].authorization);
    ck_assert_str_eq(server.requests[1].apns_id, server.requests[2].apns_id);
    ck_assert_uint_ne(server.requests[1].peer_index, server.requests[2].peer_index);
    ck_assert_int_eq(server.requests[1].peer->fd, -1);
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 2);
}
END_TEST

/* A hundred answers for one old token, however late they come, make one new token. */
START_TEST(test_one_token_for_all_that_were_out)
{
    server.always = (struct push_answer){.status = 200};
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    server.always = (struct push_answer){.action = PUSH_HOLD};
    for (uint64_t id = 2; id <= 21; id++)
        push_host_deliver(&host, id);
    push_server_await(&server, 21);
    server.always = (struct push_answer){.status = 200};
    for (size_t i = 1; i <= 20; i++) {
        push_server_answer(&server.requests[i], 403, REASON("ExpiredProviderToken"));
        push_host_pass(&host, 400);
    }
    push_host_await(&host, 21);
    for (uint64_t id = 1; id <= 21; id++)
        ck_assert_uint_eq(push_host_outcome(&host, id)->kind, DP_ACCEPTED);
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 2);
}
END_TEST

START_TEST(test_expired_again_opens_the_breaker)
{
    const struct push_outcome *o =
        deliver_one(&(struct push_answer){.status = 403, .body = REASON("ExpiredProviderToken")});

    ck_assert_uint_eq(o->kind, DP_RETRY);
    ck_assert_uint_eq(server.request_count, 2);
    ck_assert_uint_eq(push_host_counter(&host, "breaker_opened"), 1);
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 2);
}
END_TEST

START_TEST(test_configuration_opens_the_breaker_at_once)
{
    server.always = (struct push_answer){.status = 200};
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    server.always = (struct push_answer){.status = 403, .body = REASON("InvalidProviderToken")};
    for (uint64_t id = 2; id <= 11; id++)
        push_host_deliver(&host, id);
    push_host_await(&host, 11);
    for (uint64_t id = 2; id <= 11; id++)
        ck_assert_uint_eq(push_host_outcome(&host, id)->kind, DP_RETRY);
    ck_assert_uint_eq(push_host_counter(&host, "breaker_opened"), 1);
    ck_assert_uint_eq(host.errors, 1);
    ck_assert_ptr_nonnull(strstr(host.last_error, "InvalidProviderToken"));
}
END_TEST

static const struct push_answer elsewhere[] = {
    {.status = 403, .body = REASON("UnrelatedKeyIdInToken")},
    {.status = 400, .body = REASON("IdleTimeout")},
    {.status = 503, .body = REASON("Shutdown")},
};

START_TEST(test_again_on_another_connection)
{
    script(&elsewhere[_i], 1);
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_ACCEPTED);
    ck_assert_uint_eq(server.request_count, 2);
    ck_assert_uint_ne(server.requests[0].peer_index, server.requests[1].peer_index);
    ck_assert_str_eq(server.requests[0].apns_id, server.requests[1].apns_id);
    ck_assert_str_eq(server.requests[0].authorization, server.requests[1].authorization);
    ck_assert_int_eq(server.requests[0].peer->fd, -1);
}
END_TEST

/* A service that sends everything elsewhere is not asked in a tight circle. */
START_TEST(test_again_is_paced)
{
    server.always = elsewhere[_i];
    push_open(NULL);
    for (uint64_t id = 1; id <= 50; id++)
        push_host_deliver(&host, id);
    push_host_await(&host, 50);
    ck_assert_uint_le(server.peer_count, 6);
    for (size_t i = 1; i < server.peer_count; i++)
        ck_assert_uint_ge(server.peers[i].accepted_ms - server.peers[i - 1].accepted_ms, 1000);
    ck_assert_uint_eq(host.outcomes[49].kind, DP_RETRY);
}
END_TEST

START_TEST(test_too_many_token_updates)
{
    static const struct push_answer answers[] = {
        {.status = 429, .body = REASON("TooManyProviderTokenUpdates")}};

    script(answers, 1);
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_RETRY);
    ck_assert_uint_ge(host.outcomes[0].retry_after_ms, 60000);
    push_host_deliver(&host, 2);
    push_host_await(&host, 2);
    ck_assert_uint_eq(host.outcomes[1].kind, DP_ACCEPTED);
    ck_assert_uint_ne(server.requests[0].peer_index, server.requests[1].peer_index);
    ck_assert_str_eq(server.requests[0].authorization, server.requests[1].authorization);
    ck_assert_uint_eq(push_host_counter(&host, "tokens_signed"), 1);
}
END_TEST

START_TEST(test_too_large_is_shrunk_once)
{
    static const struct push_answer answers[] = {
        {.status = 413, .body = REASON("PayloadTooLarge")}};

    script(answers, 1);
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_ACCEPTED);
    ck_assert_uint_eq(server.request_count, 2);
    ck_assert_str_eq(server.requests[0].apns_id, server.requests[1].apns_id);
    ck_assert_str_eq(server.requests[1].body,
                     "{\"aps\":{\"alert\":\"hi\"},\"beckon\":{\"truncated\":true}}");
}
END_TEST

START_TEST(test_too_large_still_fails)
{
    const struct push_outcome *o =
        deliver_one(&(struct push_answer){.status = 413, .body = REASON("PayloadTooLarge")});

    ck_assert_uint_eq(o->kind, DP_FAILED);
    ck_assert_str_eq(o->reason, "PayloadTooLarge");
    ck_assert_uint_eq(server.request_count, 2);
    push_host_deliver_as(&host, 2,
                         &(struct push_changes){.document = "{\"aps\":{},\"beckon\":{}}"});
    push_host_await(&host, 2);
    ck_assert_uint_eq(push_host_outcome(&host, 2)->kind, DP_FAILED);
    ck_assert_uint_eq(server.request_count, 3);
}
END_TEST

START_TEST(test_hostile_bodies)
{
    static char huge[200000];
    const struct {
        const char *body, *reason;
    } bodies[] = {
        {"<html>502</html>", "status-502"},
        {"", "status-502"},
        {"{\"reason\":\"line\\nfeed\"}", "line"},
        {"{\"reason\":17,\"timestamp\":-1}", "status-502"},
        {"[[[[[[[[[[[[[[[[[[[[[[", "status-502"},
        {"{\"timestamp\":99999999999999999999999}", "status-502"},
        {huge, "status-502"},
    };

    memset(huge, 'x', sizeof(huge) - 1);
    push_open("breaker_failures", "1000", NULL);
    for (uint64_t i = 0; i < ARRAY_LEN(bodies); i++) {
        server.always = (struct push_answer){.status = 502, .body = bodies[i].body};
        push_host_deliver(&host, i);
        push_host_await(&host, i + 1);
        ck_assert_uint_eq(push_host_outcome(&host, i)->kind, DP_RETRY);
        ck_assert_str_eq(push_host_outcome(&host, i)->reason, bodies[i].reason);
    }
}
END_TEST

static Suite *answer_suite(void)
{
    Suite *suite = suite_create("apns_answer");
    TCase *tcase = tcase_create("answers");

    tcase_add_checked_fixture(tcase, push_set_up, push_tear_down);
    tcase_add_test(tcase, test_accepted);
    tcase_add_test(tcase, test_gone_since_the_timestamp);
    tcase_add_test(tcase, test_gone_without_timestamp);
    tcase_add_test(tcase, test_bad_token_is_as_old_as_the_request);
    tcase_add_loop_test(tcase, test_refused, 0, ARRAY_LEN(refusals));
    tcase_add_test(tcase, test_topic_is_stopped_for_a_while);
    tcase_add_test(tcase, test_too_many_requests_for_one_device);
    tcase_add_test(tcase, test_server_errors_open_the_breaker);
    tcase_add_test(tcase, test_failed_trial_opens_it_for_longer);
    tcase_add_test(tcase, test_retry_after_holds_for_the_breaker);
    tcase_add_test(tcase, test_expired_token_is_signed_anew_once);
    tcase_add_test(tcase, test_one_token_for_all_that_were_out);
    tcase_add_test(tcase, test_expired_again_opens_the_breaker);
    tcase_add_test(tcase, test_configuration_opens_the_breaker_at_once);
    tcase_add_loop_test(tcase, test_again_on_another_connection, 0, ARRAY_LEN(elsewhere));
    tcase_add_loop_test(tcase, test_again_is_paced, 0, ARRAY_LEN(elsewhere));
    tcase_add_test(tcase, test_too_many_token_updates);
    tcase_add_test(tcase, test_too_large_is_shrunk_once);
    tcase_add_test(tcase, test_too_large_still_fails);
    tcase_add_test(tcase, test_hostile_bodies);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(answer_suite());
}
