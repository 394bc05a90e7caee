/* The order of the rules, and what the control door adds to them. */
#include "tools/apns-simulator/judge.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "tests/support/run_suite.h"
#include "tools/apns-simulator/pem_file.h"

#include "request_fixture.h"
#include "token_signer.h"

#define TEAM "TEAMTEAM01"
#define KID "KEYKEYKEY1"
#define NOW 1780000000ULL

static struct provider_keys keys;
static struct provider_session session;
static struct behaviour behaviour;
static struct device_rules *rules;
static struct judge judge;
static struct request request;
static struct verdict verdict;
static char *bearer;

static void set_up(void)
{
    struct provider_key *key = calloc(1, sizeof(*key));

    ck_assert_ptr_nonnull(key);
    *key = (struct provider_key){.kid = KID, .team = TEAM, .key = pem_make_key()};
    ck_assert_ptr_nonnull(key->key);
    bearer = sign_bearer(key->key, KID, TEAM, NOW);
    keys = (struct provider_keys){.keys = key, .count = 1};
    rules = device_rules_create();
    ck_assert_ptr_nonnull(rules);
    session = (struct provider_session){0};
    behaviour = (struct behaviour){0};
    judge = (struct judge){.auth = provider_auth_create(&keys, 0),
                           .environment = "development",
                           .rules = rules,
                           .behaviour = &behaviour};
    ck_assert_ptr_nonnull(judge.auth);
    ck_assert_int_eq(request_init(&request), 0);
    verdict = (struct verdict){0};
}

static void tear_down(void)
{
    verdict_fini(&verdict);
    request_fini(&request);
    provider_auth_destroy(judge.auth);
    device_rules_destroy(rules);
    free(bearer);
}

static void expect(unsigned status, const char *reason)
{
    verdict_fini(&verdict);
    verdict = judge_request(&judge, &session, &request, NOW);
    ck_assert_str_eq(verdict.answer.reason, reason);
    ck_assert_uint_eq(verdict.answer.status, status);
}

static void put_rule(const char *text)
{
    struct json_problem problem;
    struct device_rule rule;

    ck_assert_int_eq(device_rule_read(text, strlen(text), 1, &rule, &problem), 0);
    ck_assert_int_eq(device_rules_put(rules, GOOD_DEVICE, &rule), 0);
}

static void put_good_request(void)
{
    put_header(&request, ":method", "POST");
    put_header(&request, ":path", "/3/device/" GOOD_DEVICE);
    put_header(&request, "authorization", bearer);
    put_header(&request, "apns-topic", GOOD_TOPIC);
    put_body(&request, GOOD_ALERT);
}

/* Everything is wrong; one thing after the other is put right. */
START_TEST(test_order)
{
    put_header(&request, ":method", "PUT");
    expect(405, "MethodNotAllowed");
    ck_assert_str_eq(verdict.device, "");
    request_fini(&request);
    ck_assert_int_eq(request_init(&request), 0);
    put_header(&request, ":method", "POST");
    put_header(&request, ":path", "/3/device/xyz");
    expect(403, "MissingProviderToken");
    ck_assert_str_eq(verdict.device, "xyz");
    put_header(&request, "authorization", bearer);
    expect(400, "BadDeviceToken");
    free(request.path);
    request.path = NULL;
    put_header(&request, ":path", "/3/device/" GOOD_DEVICE);
    expect(400, "MissingTopic");
    put_header(&request, "apns-topic", GOOD_TOPIC);
    expect(400, "PayloadEmpty");
    put_body(&request, GOOD_ALERT);
    expect(200, "");
    ck_assert_ptr_nonnull(verdict.payload);
}
END_TEST

START_TEST(test_behaviour_after_rules)
{
    struct json_problem problem;
    static const char text[] = "{\"status\":503,\"reason\":\"ServiceUnavailable\"}";

    ck_assert_int_eq(behaviour_read(text, sizeof(text) - 1, &behaviour, &problem), 0);
    expect(405, "MethodNotAllowed");
    put_good_request();
    expect(503, "ServiceUnavailable");
    put_rule("{\"status\":410,\"reason\":\"Unregistered\"}");
    expect(503, "ServiceUnavailable");
    behaviour.hang = true;
    expect(0, "");
    behaviour = (struct behaviour){0};
    expect(410, "Unregistered");
    ck_assert_uint_eq(verdict.answer.timestamp_ms, 1);
}
END_TEST

START_TEST(test_bound_tokens)
{
    put_good_request();
    put_rule("{\"topic\":\"com.other\"}");
    expect(400, "DeviceTokenNotForTopic");
    put_rule("{\"topic\":\"" GOOD_TOPIC "\"}");
    expect(200, "");
    put_rule("{\"environment\":\"production\"}");
    expect(400, "BadDeviceToken");
    judge.environment = "production";
    expect(200, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("judge");
    TCase *tcase = tcase_create("judge");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_order);
    tcase_add_test(tcase, test_behaviour_after_rules);
    tcase_add_test(tcase, test_bound_tokens);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
