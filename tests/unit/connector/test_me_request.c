/* Tests of connector/me_request.c: what devices say about themselves, and what is wrong with it. */
#include "connector/me_request.h"

#include "common/buf.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdio.h>

#define MID "018f0000-0001-7000-8000-000000000001"

static struct me_request request;
static struct wire_push push;
static struct wire_read was_read;
static const char *why;

static void set_up(void)
{
    push = (struct wire_push){.token = 7};
    was_read = (struct wire_read){.token = 7};
    why = NULL;
}

static void tear_down(void)
{
    me_request_fini(&request);
}

static void push_taken(const char *text)
{
    me_request_fini(&request);
    ck_assert_msg(me_request_push(bytes_of_string(text), &request, &push, &why) == 0, "%s: %s",
                  text, why);
}

static void push_refused(const char *text, const char *member)
{
    me_request_fini(&request);
    why = NULL;
    ck_assert_int_eq(me_request_push(bytes_of_string(text), &request, &push, &why), ERR_INVALID);
    ck_assert_msg(why != NULL && strstr(why, member) == why, "%s: %s", text, why);
}

static void equals(struct bytes is, const char *expected)
{
    ck_assert_msg(bytes_equal_string(is, expected), "%.*s", BYTES_FMT(is));
}

/* {"provider": provider, "token": count characters, ...} */
static const char *with_token(const char *provider, int count)
{
    static char text[2048];

    snprintf(text, sizeof(text),
             "{\"provider\": \"%s\", \"token\": \"%0*d\", \"topic\": \"com.example\", "
             "\"environment\": \"production\"}",
             provider, count, 0);
    return text;
}

START_TEST(push_of_the_guide)
{
    push_taken("{\"provider\": \"apns\", \"token\": \"00fcAB\", \"topic\": \"com.example.chat\", "
               "\"environment\": \"production\"}");
    equals(push.provider, "apns");
    equals(push.push_token, "00fcAB");
    equals(push.topic, "com.example.chat");
    equals(push.environment, "production");
    ck_assert_uint_eq(push.token, 7);
}
END_TEST

START_TEST(push_none_needs_nothing_else)
{
    push_taken("{\"provider\": \"none\"}");
    equals(push.provider, "none");
    push_taken("{\"provider\": \"none\", \"token\": \"zz\"}");
}
END_TEST

/* What "none" is not asked for is not handed on either, however long: found by fuzz_me_request. */
START_TEST(push_none_hands_nothing_on)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "{\"provider\": \"none\", \"token\": \"zz\", \"topic\": \"%0*d\", "
             "\"environment\": \"%0*d\"}",
             300, 0, 300, 0);
    push_taken(text);
    ck_assert_uint_eq(push.push_token.len, 0);
    ck_assert_uint_eq(push.topic.len, 0);
    ck_assert_uint_eq(push.environment.len, 0);
}
END_TEST

START_TEST(push_that_is_no_object)
{
    static const char wrong[] = "the payload is not a JSON object";

    push_refused("", wrong);
    push_refused("[]", wrong);
    push_refused("\"none\"", wrong);
    push_refused("{\"provider\": \"none\"} x", wrong);
    push_refused("{\"provider\": \"none\", \"provider\": \"none\"}", wrong);
    push_refused("{\"provider\": \"no\\u0000ne\"}", wrong);
    push_refused("{\"provider\": \"\xff\"}", wrong);
}
END_TEST

START_TEST(push_members)
{
    push_refused("{\"provider\": \"none\", \"tokn\": \"\"}", "unknown member, expected provider");
    push_refused("{}", "provider:");
    push_refused("{\"provider\": 5}", "provider:");
    push_refused("{\"provider\": \"\"}", "provider:");
    push_refused("{\"provider\": \"Apns\"}", "provider:");
    push_refused("{\"provider\": \"1apns\"}", "provider:");
    push_refused("{\"provider\": \"a_b\"}", "provider:");
    push_refused("{\"provider\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "provider:"); /* 33 */
    push_refused("{\"provider\": \"mine\", \"token\": \"x\"}", "environment:");
    push_refused("{\"provider\": \"mine\", \"token\": \"x\", \"environment\": \"sandbox\"}",
                 "environment:");
}
END_TEST

START_TEST(push_tokens_of_apple)
{
    push_taken(with_token("apns", 2));
    push_taken(with_token("apns", 1024));
    push_refused(with_token("apns", 1026), "token:");
    push_refused(with_token("apns", 63), "token:"); /* odd */
    push_refused("{\"provider\": \"apns\", \"topic\": \"a\", \"environment\": \"production\"}",
                 "token:");
    push_refused("{\"provider\": \"apns\", \"token\": \"0g\", \"topic\": \"a\", "
                 "\"environment\": \"production\"}",
                 "token:");
    push_refused("{\"provider\": \"apns\", \"token\": \"00\", \"environment\": \"production\"}",
                 "topic:");
    push_refused("{\"provider\": \"apns\", \"token\": \"00\", \"topic\": \"a/b\", "
                 "\"environment\": \"production\"}",
                 "topic:");
}
END_TEST

START_TEST(push_tokens_of_others)
{
    push_taken(with_token("mine", 1024));
    push_refused(with_token("mine", 1025), "token:");
    push_taken("{\"provider\": \"mine\", \"token\": \"a:b/c\", \"environment\": \"development\"}");
    ck_assert_uint_eq(push.topic.len, 0);
    push_refused("{\"provider\": \"mine\", \"token\": \"\", \"environment\": \"production\"}",
                 "token:");
    push_refused("{\"provider\": \"mine\", \"token\": \"a b\", \"environment\": \"production\"}",
                 "token:");
    push_refused("{\"provider\": \"mine\", \"token\": \"\\u00e9\", "
                 "\"environment\": \"production\"}",
                 "token:");
}
END_TEST

/* What is there and unfit is not absent. */
START_TEST(push_topics_of_others)
{
    char text[2048];

    push_refused("{\"provider\": \"mine\", \"token\": \"x\", \"topic\": 5, "
                 "\"environment\": \"production\"}",
                 "topic:");
    for (int count = 255; count <= 1025; count += 385) { /* 255, 640, 1025 */
        snprintf(text, sizeof(text),
                 "{\"provider\": \"mine\", \"token\": \"x\", \"topic\": \"%0*d\", "
                 "\"environment\": \"production\"}",
                 count, 0);
        if (count == 255)
            push_taken(text);
        else
            push_refused(text, "topic:");
    }
}
END_TEST

static void read_refused(const char *text, const char *member)
{
    me_request_fini(&request);
    why = NULL;
    ck_assert_int_eq(me_request_read(bytes_of_string(text), &request, &was_read, &why),
                     ERR_INVALID);
    ck_assert_msg(why != NULL && strstr(why, member) == why, "%s: %s", text, why);
}

START_TEST(read_of_a_person_and_a_group)
{
    ck_assert_int_eq(me_request_read(bytes_of_string("{\"conversation\": \"u/alice@a:b\", "
                                                     "\"mid\": \"" MID "\"}"),
                                     &request, &was_read, &why),
                     0);
    ck_assert_uint_eq(was_read.kind, WIRE_TO_USER);
    equals(was_read.conversation, "alice@a:b");
    ck_assert_uint_eq(was_read.mid.octets[1], 0x8f);
    ck_assert_uint_eq(was_read.token, 7);
    me_request_fini(&request);
    ck_assert_int_eq(
        me_request_read(bytes_of_string("{\"conversation\": \"g/x\", \"mid\": \"" MID "\"}"),
                        &request, &was_read, &why),
        0);
    ck_assert_uint_eq(was_read.kind, WIRE_TO_GROUP);
}
END_TEST

START_TEST(read_members)
{
    char text[256];

    read_refused("5", "the payload is not a JSON object");
    read_refused("{\"conversation\": \"u/a\", \"mid\": \"" MID "\", \"x\": 1}",
                 "unknown member, expected conversation and mid");
    read_refused("{\"mid\": \"" MID "\"}", "conversation:");
    read_refused("{\"conversation\": 1, \"mid\": \"" MID "\"}", "conversation:");
    read_refused("{\"conversation\": \"u/\", \"mid\": \"" MID "\"}", "conversation:");
    read_refused("{\"conversation\": \"x/a\", \"mid\": \"" MID "\"}", "conversation:");
    read_refused("{\"conversation\": \"ua\", \"mid\": \"" MID "\"}", "conversation:");
    read_refused("{\"conversation\": \"u/a b\", \"mid\": \"" MID "\"}", "conversation:");
    snprintf(text, sizeof(text), "{\"conversation\": \"u/%065d\", \"mid\": \"" MID "\"}", 0);
    read_refused(text, "conversation:");
    read_refused("{\"conversation\": \"u/a\"}", "mid:");
    read_refused("{\"conversation\": \"u/a\", \"mid\": 5}", "mid:");
    read_refused("{\"conversation\": \"u/a\", \"mid\": \"018f0000-0001-4000-8000-000000000001\"}",
                 "mid:"); /* version 4 */
}
END_TEST

static int shown(const char *text)
{
    me_request_fini(&request);
    why = NULL;
    return me_request_shown(bytes_of_string(text), &request, &why);
}

/* {"mids": [MID, ... count of them]} */
static int shown_many(unsigned count)
{
    struct buf text = {0};
    int r;

    buf_put(&text, "{\"mids\": [", 10);
    for (unsigned i = 0; i < count; i++) {
        buf_put(&text, ",\"" MID "\"" + (i == 0), sizeof(",\"" MID "\"") - 1 - (i == 0));
    }
    buf_put_u8(&text, ']');
    buf_put_u8(&text, '}');
    buf_put_u8(&text, 0);
    ck_assert(buf_ok(&text));
    r = shown((const char *)text.data);
    buf_release(&text);
    return r;
}

START_TEST(shown_one_and_many)
{
    ck_assert_int_eq(shown("{\"mid\": \"" MID "\"}"), 0);
    ck_assert_uint_eq(request.mid_count, 1);
    ck_assert_uint_eq(request.mids[0].octets[15], 1);
    ck_assert_int_eq(shown_many(1), 0);
    ck_assert_uint_eq(request.mid_count, 1);
    ck_assert_int_eq(shown_many(ME_SHOWN_MAX), 0);
    ck_assert_uint_eq(request.mid_count, ME_SHOWN_MAX);
    ck_assert_uint_eq(request.mids[ME_SHOWN_MAX - 1].octets[15], 1);
}
END_TEST

START_TEST(shown_what_it_is_not)
{
    static const char *const wrong[] = {
        "{}",
        "{\"mid\": 5}",
        "{\"mid\": \"x\"}",
        "{\"mids\": []}",
        "{\"mids\": \"" MID "\"}",
        "{\"mids\": [\"" MID "\", 5]}",
        "{\"mid\": \"" MID "\", \"mids\": [\"" MID "\"]}",
        "{\"mid\": \"" MID "\", \"x\": 1}",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_int_eq(shown(wrong[i]), ERR_INVALID);
        ck_assert_msg(why != NULL && strstr(why, "expected {\"mid\"") == why, "%s: %s", wrong[i],
                      why);
    }
    ck_assert_int_eq(shown_many(ME_SHOWN_MAX + 1), ERR_INVALID);
    ck_assert_int_eq(shown("[]"), ERR_INVALID);
    ck_assert_str_eq(why, "the payload is not a JSON object");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("me_request");
    TCase *tcase = tcase_create("me_request");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, push_of_the_guide);
    tcase_add_test(tcase, push_none_needs_nothing_else);
    tcase_add_test(tcase, push_none_hands_nothing_on);
    tcase_add_test(tcase, push_that_is_no_object);
    tcase_add_test(tcase, push_members);
    tcase_add_test(tcase, push_tokens_of_apple);
    tcase_add_test(tcase, push_tokens_of_others);
    tcase_add_test(tcase, push_topics_of_others);
    tcase_add_test(tcase, read_of_a_person_and_a_group);
    tcase_add_test(tcase, read_members);
    tcase_add_test(tcase, shown_one_and_many);
    tcase_add_test(tcase, shown_what_it_is_not);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
