/* Tests of broker/notification.c: the document that is shown to the person. */
#include "broker/notification.h"

#include "common/auto.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>

static struct message *message;
static json_t *document;
static bool whole;

static void make(struct bytes properties, struct bytes payload)
{
    const struct wire_body body = {
        .kind = WIRE_BODY_USER,
        .mid = {{0x01, 0x8f, 0, 0, 0, 1, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}},
        .sent_at_ms = 1780000000000,
        .from = bytes_of_string("alice"),
        .properties = properties,
        .payload = payload};

    message = message_create(&body, body.from, body.from, bytes_of(NULL, 0));
    ck_assert_ptr_nonnull(message);
}

static struct notification plain(void)
{
    return (struct notification){.message = message,
                                 .badge = 3,
                                 .content = true,
                                 .title = "{sender}",
                                 .body = "New message",
                                 .sound = "default",
                                 .category = "MESSAGE"};
}

static void render(const struct notification *n)
{
    struct buf out = {0};

    ck_assert_int_eq(notification_render(n, &out, &whole), 0);
    ck_assert_uint_le(out.len, NOTIFICATION_MAX);
    json_decref(document);
    document = json_loadb((const char *)out.data, out.len, 0, NULL);
    ck_assert_ptr_nonnull(document);
    buf_release(&out);
}

static const json_t *at(const char *group, const char *key)
{
    return json_object_get(json_object_get(document, group), key);
}

static const char *alert(const char *key)
{
    return json_string_value(json_object_get(at("aps", "alert"), key));
}

static void teardown(void)
{
    json_decref(document);
    document = NULL;
    message_unref(message);
}

static struct bytes text(const char *value)
{
    return bytes_of_string(value);
}

START_TEST(the_document_of_the_guide)
{
    struct notification n;

    make(bytes_of("\x03\x00\x10"
                  "application/json",
                  19),
         text("{\"text\": \"hi\"}"));
    n = plain();
    render(&n);
    ck_assert(whole);
    ck_assert_str_eq(alert("title"), "alice");
    ck_assert_str_eq(alert("body"), "New message");
    ck_assert_int_eq(json_integer_value(at("aps", "badge")), 3);
    ck_assert_int_eq(json_integer_value(at("aps", "mutable-content")), 1);
    ck_assert_str_eq(json_string_value(at("aps", "thread-id")), "u/alice");
    ck_assert_str_eq(json_string_value(at("aps", "category")), "MESSAGE");
    ck_assert_str_eq(json_string_value(at("aps", "interruption-level")), "active");
    ck_assert_str_eq(json_string_value(at("beckon", "mid")),
                     "018f0000-0001-7000-8000-000000000001");
    ck_assert_str_eq(json_string_value(json_object_get(at("beckon", "data"), "text")), "hi");
    ck_assert_int_eq(json_integer_value(at("beckon", "sent")), 1780000000000);
}
END_TEST

START_TEST(bytes_become_base64)
{
    struct notification n;

    make(bytes_of(NULL, 0), bytes_of("\x00\xff", 2));
    n = plain();
    render(&n);
    ck_assert(whole);
    ck_assert_str_eq(json_string_value(at("beckon", "data_base64")), "AP8=");
    ck_assert_ptr_null(at("beckon", "data"));
}
END_TEST

START_TEST(text_that_says_so_is_text)
{
    struct notification n;

    make(bytes_of("\x01\x01", 2), text("hello"));
    n = plain();
    render(&n);
    ck_assert_str_eq(json_string_value(at("beckon", "data")), "hello");
}
END_TEST

START_TEST(integers_keep_64_bits_and_what_can_not_is_bytes)
{
    struct notification n;

    make(bytes_of(NULL, 0), text("[9223372036854775807]"));
    n = plain();
    render(&n);
    ck_assert_int_eq(json_integer_value(json_array_get(at("beckon", "data"), 0)), INT64_MAX);
    message_unref(message);
    make(bytes_of(NULL, 0), text("[9223372036854775808]"));
    n = plain();
    render(&n);
    ck_assert_ptr_nonnull(at("beckon", "data_base64"));
}
END_TEST

START_TEST(without_content_it_is_truncated)
{
    struct notification n;

    make(bytes_of(NULL, 0), text("{}"));
    n = plain();
    n.content = false;
    render(&n);
    ck_assert(!whole);
    ck_assert(json_is_true(at("beckon", "truncated")));
    ck_assert_ptr_null(at("beckon", "data"));
}
END_TEST

START_TEST(too_large_is_truncated)
{
    static uint8_t large[4000];
    struct notification n;

    memset(large, 'x', sizeof(large));
    make(bytes_of(NULL, 0), bytes_of(large, sizeof(large)));
    n = plain();
    render(&n);
    ck_assert(!whole);
    ck_assert(json_is_true(at("beckon", "truncated")));
}
END_TEST

START_TEST(other_properties_are_not_carried)
{
    struct notification n;

    make(bytes_of("\x26\x00\x01"
                  "a\x00\x01"
                  "b",
                  7),
         text("{}"));
    n = plain();
    render(&n);
    ck_assert(!whole); /* the message itself has to follow */
}
END_TEST

START_TEST(long_texts_are_cut_between_characters)
{
    uint8_t properties[3000] = {0x26, 0x00, 0x0a};
    struct notification n;
    size_t len = 3;

    memcpy(properties + len, "alert-body", 10);
    len += 10;
    properties[len++] = 0x08;
    properties[len++] = 0x01; /* 2049 bytes: one and then two-byte characters */
    properties[len++] = 'x';
    for (int i = 0; i < 1024; i++) {
        properties[len++] = 0xc3;
        properties[len++] = 0xa9;
    }
    make(bytes_of(properties, (uint32_t)len), text("{}"));
    n = plain();
    render(&n);
    ck_assert_uint_eq(strlen(alert("body")), 1023);
}
END_TEST

START_TEST(titles_are_for_services)
{
    struct notification n;

    make(bytes_of("\x26\x00\x0b"
                  "alert-title\x00\x03"
                  "Bar",
                  19),
         text("{}"));
    n = plain();
    render(&n);
    ck_assert_str_eq(alert("title"), "alice");
    message->service = true;
    render(&n);
    ck_assert_str_eq(alert("title"), "Bar");
    message->service = false;
    n.sender_may_title = true;
    render(&n);
    ck_assert_str_eq(alert("title"), "Bar");
}
END_TEST

START_TEST(a_summary_names_how_many)
{
    struct notification n;

    make(bytes_of(NULL, 0), text("{}"));
    n = plain();
    n.summarized = 11;
    render(&n);
    ck_assert_str_eq(alert("body"), "12 new messages");
    ck_assert(!whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notification");
    TCase *tcase = tcase_create("notification");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, the_document_of_the_guide);
    tcase_add_test(tcase, bytes_become_base64);
    tcase_add_test(tcase, text_that_says_so_is_text);
    tcase_add_test(tcase, integers_keep_64_bits_and_what_can_not_is_bytes);
    tcase_add_test(tcase, without_content_it_is_truncated);
    tcase_add_test(tcase, too_large_is_truncated);
    tcase_add_test(tcase, other_properties_are_not_carried);
    tcase_add_test(tcase, long_texts_are_cut_between_characters);
    tcase_add_test(tcase, titles_are_for_services);
    tcase_add_test(tcase, a_summary_names_how_many);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
