/* Apple's rules for a request: which reason each mistake gets. */
#include "tools/apns-simulator/rules.h"

#include <stdlib.h>

#include "common/auto.h"
#include "tests/support/run_suite.h"

#include "request_fixture.h"

static struct request request;
static config_t config;

static void set_up(void)
{
    config_init(&config);
    start_request(&request);
}

static void tear_down(void)
{
    request_fini(&request);
    config_destroy(&config);
}

static enum reason target(const char *method, const char *path)
{
    struct request other;
    const char *device;

    ck_assert_int_eq(request_init(&other), 0);
    put_header(&other, ":method", method);
    put_header(&other, ":path", path);
    enum reason reason = rules_check_target(&other, &device);
    request_fini(&other);
    return reason;
}

START_TEST(test_target)
{
    const char *device = NULL;

    ck_assert_int_eq(rules_check_target(&request, &device), REASON_NONE);
    ck_assert_str_eq(device, GOOD_DEVICE);
    ck_assert_int_eq(target("GET", "/3/device/ab"), REASON_METHOD_NOT_ALLOWED);
    ck_assert_int_eq(target("POST", "/2/device/ab"), REASON_BAD_PATH);
    ck_assert_int_eq(target("POST", "/3/devices/ab"), REASON_BAD_PATH);
    ck_assert_int_eq(target("POST", "/"), REASON_BAD_PATH);
    /* the token is looked at later */
    ck_assert_int_eq(target("POST", "/3/device"), REASON_NONE);
    ck_assert_int_eq(target("POST", "/3/device/"), REASON_NONE);
}
END_TEST

START_TEST(test_duplicates)
{
    const char *device;

    put_header(&request, "apns-topic", "a");
    put_header(&request, "accept", "a");
    put_header(&request, "accept", "a");
    ck_assert_int_eq(rules_check_target(&request, &device), REASON_NONE);
    put_header(&request, "apns-topic", "a");
    ck_assert_int_eq(rules_check_target(&request, &device), REASON_DUPLICATE_HEADERS);
}
END_TEST

START_TEST(test_duplicate_authorization)
{
    const char *device;

    put_header(&request, "authorization", "bearer a");
    put_header(&request, "authorization", "bearer a");
    ck_assert_int_eq(rules_check_target(&request, &device), REASON_DUPLICATE_HEADERS);
}
END_TEST

START_TEST(test_device)
{
    ck_assert_int_eq(rules_check_device(GOOD_DEVICE), REASON_NONE);
    ck_assert_int_eq(rules_check_device("AbCd"), REASON_NONE);
    ck_assert_int_eq(rules_check_device(""), REASON_MISSING_DEVICE_TOKEN);
    ck_assert_int_eq(rules_check_device("abc"), REASON_BAD_DEVICE_TOKEN);
    ck_assert_int_eq(rules_check_device("abcg"), REASON_BAD_DEVICE_TOKEN);
    ck_assert_int_eq(rules_check_device("ab/d"), REASON_BAD_DEVICE_TOKEN);
}
END_TEST

static const struct {
    const char *topic, *type, *name, *value; /* NULL: the header is not there */
    enum reason reason;
} headers[] = {
    {GOOD_TOPIC, NULL, NULL, NULL, REASON_NONE},
    {NULL, NULL, NULL, NULL, REASON_MISSING_TOPIC},
    {"", NULL, NULL, NULL, REASON_MISSING_TOPIC},
    {"com example", NULL, NULL, NULL, REASON_BAD_TOPIC},
    {"com/example", NULL, NULL, NULL, REASON_BAD_TOPIC},
    {"com.\xc3\xa4", NULL, NULL, NULL, REASON_BAD_TOPIC},
    {"com.other.app", NULL, NULL, NULL, REASON_TOPIC_DISALLOWED},
    {"com.example.app.other", NULL, NULL, NULL, REASON_TOPIC_DISALLOWED},
    {"com.example.ap", NULL, NULL, NULL, REASON_TOPIC_DISALLOWED},
    {GOOD_TOPIC, "alert", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC, "Alert", NULL, NULL, REASON_INVALID_PUSH_TYPE},
    {GOOD_TOPIC, "", NULL, NULL, REASON_INVALID_PUSH_TYPE},
    {GOOD_TOPIC, "mdm", NULL, NULL, REASON_NONE},
    /* type and topic belong together */
    {GOOD_TOPIC, "voip", NULL, NULL, REASON_INVALID_PUSH_TYPE},
    {GOOD_TOPIC ".voip", "voip", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC ".voip", "alert", NULL, NULL, REASON_INVALID_PUSH_TYPE},
    {GOOD_TOPIC ".complication", "voip", NULL, NULL, REASON_INVALID_PUSH_TYPE},
    {GOOD_TOPIC ".complication", "complication", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC ".push-type.liveactivity", "liveactivity", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC ".location-query", "location", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC ".pushkit.fileprovider", "fileprovider", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC ".voip-ptt", "pushtotalk", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC ".push-type.widgets", "widgets", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC ".push-type.controls", "controls", NULL, NULL, REASON_NONE},
    {GOOD_TOPIC, "alert", "apns-priority", "10", REASON_NONE},
    {GOOD_TOPIC, "alert", "apns-priority", "5", REASON_NONE},
    {GOOD_TOPIC, "alert", "apns-priority", "1", REASON_NONE},
    {GOOD_TOPIC, "alert", "apns-priority", "7", REASON_BAD_PRIORITY},
    {GOOD_TOPIC, "alert", "apns-priority", "010", REASON_BAD_PRIORITY},
    {GOOD_TOPIC, "background", "apns-priority", "5", REASON_NONE},
    {GOOD_TOPIC, "background", "apns-priority", "10", REASON_BAD_PRIORITY},
    {GOOD_TOPIC, "background", NULL, NULL, REASON_BAD_PRIORITY},
    {GOOD_TOPIC, NULL, "apns-expiration", "0", REASON_NONE},
    {GOOD_TOPIC, NULL, "apns-expiration", "1780000000", REASON_NONE},
    {GOOD_TOPIC, NULL, "apns-expiration", "-1", REASON_BAD_EXPIRATION_DATE},
    {GOOD_TOPIC, NULL, "apns-expiration", "", REASON_BAD_EXPIRATION_DATE},
    {GOOD_TOPIC, NULL, "apns-expiration", "tomorrow", REASON_BAD_EXPIRATION_DATE},
    {GOOD_TOPIC, NULL, "apns-expiration", "1780000000000", REASON_BAD_EXPIRATION_DATE},
    {GOOD_TOPIC, NULL, "apns-id", "123e4567-e89b-12d3-a456-426614174000", REASON_NONE},
    {GOOD_TOPIC, NULL, "apns-id", "123E4567-E89B-12D3-A456-426614174000", REASON_BAD_MESSAGE_ID},
    {GOOD_TOPIC, NULL, "apns-id", "123e4567e89b12d3a456426614174000", REASON_BAD_MESSAGE_ID},
    {GOOD_TOPIC, NULL, "apns-id", "", REASON_BAD_MESSAGE_ID},
    {GOOD_TOPIC, NULL, "apns-collapse-id",
     "0123456789012345678901234567890123456789012345678901234567890123", REASON_NONE},
    {GOOD_TOPIC, NULL, "apns-collapse-id",
     "01234567890123456789012345678901234567890123456789012345678901234", REASON_BAD_COLLAPSE_ID},
    {GOOD_TOPIC, NULL, "apns-collapse-id", "", REASON_BAD_COLLAPSE_ID},
};

static enum reason headers_of_row(size_t row)
{
    struct request made;

    start_request(&made);
    if (headers[row].topic != NULL)
        put_header(&made, "apns-topic", headers[row].topic);
    if (headers[row].type != NULL)
        put_header(&made, "apns-push-type", headers[row].type);
    if (headers[row].name != NULL)
        put_header(&made, headers[row].name, headers[row].value);
    enum reason reason = rules_check_headers(&made, config_lookup(&config, "topics"));
    request_fini(&made);
    return reason;
}

START_TEST(test_headers)
{
    ck_assert_int_eq(config_read_string(&config, "topics = (\"com.second\", \"" GOOD_TOPIC "\");"),
                     CONFIG_TRUE);
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        ck_assert_msg(headers_of_row(i) == headers[i].reason, "row %zu: not \"%s\"", i,
                      reason_text(headers[i].reason));
}
END_TEST

START_TEST(test_any_topic)
{
    put_header(&request, "apns-topic", "com.other.app");
    ck_assert_int_eq(rules_check_headers(&request, NULL), REASON_NONE);
    ck_assert_int_eq(config_read_string(&config, "topics = ();"), CONFIG_TRUE);
    ck_assert_int_eq(rules_check_headers(&request, config_lookup(&config, "topics")), REASON_NONE);
}
END_TEST

static const struct {
    const char *type, *body;
    enum reason reason;
} payloads[] = {
    {NULL, GOOD_ALERT, REASON_NONE},
    {NULL, "", REASON_PAYLOAD_EMPTY},
    {NULL, "hello", REASON_PAYLOAD_EMPTY},
    {NULL, "[1]", REASON_PAYLOAD_EMPTY},
    {NULL, "{}", REASON_PAYLOAD_EMPTY},
    {NULL, "{\"aps\":1}", REASON_PAYLOAD_EMPTY},
    {NULL, "{\"aps\":{}} trailing", REASON_PAYLOAD_EMPTY},
    {NULL, "{\"aps\":{\"content-available\":1}}", REASON_NONE},
    {"alert", GOOD_ALERT, REASON_NONE},
    {"alert", "{\"aps\":{\"badge\":0}}", REASON_NONE},
    {"alert", "{\"aps\":{\"sound\":\"default\"}}", REASON_NONE},
    {"alert", "{\"aps\":{\"content-available\":1}}", REASON_INVALID_PUSH_TYPE},
    {"background", "{\"aps\":{\"content-available\":1}}", REASON_NONE},
    {"background", "{\"aps\":{}}", REASON_INVALID_PUSH_TYPE},
    {"background", "{\"aps\":{\"content-available\":1,\"badge\":1}}", REASON_INVALID_PUSH_TYPE},
    {"liveactivity", "{\"aps\":{\"event\":\"update\",\"timestamp\":1}}", REASON_NONE},
    {"liveactivity", GOOD_ALERT, REASON_INVALID_PUSH_TYPE},
    {"mdm", "{\"mdm\":\"magic\"}", REASON_NONE},
    {"mdm", GOOD_ALERT, REASON_PAYLOAD_EMPTY},
    {"voip", "{\"aps\":{}}", REASON_NONE},
};

static enum reason payload_of_row(size_t row)
{
    struct request made;

    start_request(&made);
    if (payloads[row].type != NULL)
        put_header(&made, "apns-push-type", payloads[row].type);
    put_body(&made, payloads[row].body);
    json_t *payload = rules_parse_payload(&made);
    enum reason reason = rules_check_payload(&made, payload);
    json_decref(payload);
    request_fini(&made);
    return reason;
}

START_TEST(test_payload)
{
    for (size_t i = 0; i < ARRAY_LEN(payloads); i++)
        ck_assert_msg(payload_of_row(i) == payloads[i].reason, "row %zu: not \"%s\"", i,
                      reason_text(payloads[i].reason));
}
END_TEST

/* A payload of exactly that many bytes. */
static enum reason payload_of(size_t bytes, const char *type)
{
    static const char start[] = "{\"aps\":{\"alert\":\"", end[] = "\"}}";
    size_t filler = bytes - (sizeof(start) - 1) - (sizeof(end) - 1);
    AUTO_FREE char *text = malloc(filler + 1);
    struct request sized;

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', filler);
    text[filler] = '\0';
    start_request(&sized);
    put_header(&sized, "apns-push-type", type);
    put_body(&sized, start);
    put_body(&sized, text);
    put_body(&sized, end);
    ck_assert_uint_eq(sized.body_bytes, bytes);
    json_t *payload = rules_parse_payload(&sized);
    enum reason reason = rules_check_payload(&sized, payload);
    json_decref(payload);
    request_fini(&sized);
    return reason;
}

START_TEST(test_payload_size)
{
    ck_assert_int_eq(payload_of(4096, "alert"), REASON_NONE);
    ck_assert_int_eq(payload_of(4097, "alert"), REASON_PAYLOAD_TOO_LARGE);
    ck_assert_int_eq(payload_of(100000, "alert"), REASON_PAYLOAD_TOO_LARGE);
    ck_assert_int_eq(payload_of(5120, "voip"), REASON_NONE);
    ck_assert_int_eq(payload_of(5121, "voip"), REASON_PAYLOAD_TOO_LARGE);
}
END_TEST

START_TEST(test_header_limit)
{
    char value[1000];
    int r = 0, taken = 0;

    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    while (r == 0) {
        r = request_header(&request, bytes_of_string("x-more"), bytes_of_string(value));
        taken++;
    }
    ck_assert_int_eq(r, ERR_TOO_LARGE);
    ck_assert_int_lt(taken, 9);
}
END_TEST

START_TEST(test_reasons)
{
    enum reason reason = REASON_NONE;

    ck_assert_int_eq(reason_find("Unregistered", &reason), 0);
    ck_assert_int_eq(reason, REASON_UNREGISTERED);
    ck_assert_uint_eq(reason_status(reason), 410);
    ck_assert_str_eq(reason_text(reason), "Unregistered");
    ck_assert_int_eq(reason_find("Nonsense", &reason), ERR_NOT_FOUND);
    ck_assert_int_eq(reason_find("", &reason), ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules");
    TCase *tcase = tcase_create("rules");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_target);
    tcase_add_test(tcase, test_duplicates);
    tcase_add_test(tcase, test_duplicate_authorization);
    tcase_add_test(tcase, test_device);
    tcase_add_test(tcase, test_headers);
    tcase_add_test(tcase, test_any_topic);
    tcase_add_test(tcase, test_payload);
    tcase_add_test(tcase, test_payload_size);
    tcase_add_test(tcase, test_header_limit);
    tcase_add_test(tcase, test_reasons);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
