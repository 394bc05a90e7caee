/* The store of pushes: order, limits, readers that are slower than writers. */
#include "tools/apns-simulator/pushes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "tests/support/run_suite.h"

#define PLENTY (1024 * 1024)

static struct pushes *pushes;
static unsigned added;

static void on_add(void *arg)
{
    (void)arg;
    added++;
}

static uint64_t add(const char *device, const char *payload)
{
    json_t *headers = json_pack("{s:s}", "apns-topic", "com.example");
    json_t *json = payload != NULL ? json_loads(payload, 0, NULL) : NULL;
    struct answer answer = answer_of(REASON_NONE);
    uint64_t number = 0;

    ck_assert_int_eq(pushes_add(pushes, 42, device, headers, json, &answer, &number), 0);
    json_decref(headers);
    json_decref(json);
    return number;
}

static void tear_down(void)
{
    pushes_destroy(pushes);
    pushes = NULL;
}

static void make(size_t max_pushes, size_t max_bytes)
{
    pushes = pushes_create(max_pushes, max_bytes);
    ck_assert_ptr_nonnull(pushes);
}

START_TEST(test_text)
{
    make(10, PLENTY);
    uint64_t number = add("ab\"cd", "{\"aps\":{},\"z\":1,\"a\":\"\\n\"}");
    AUTO_FREE char *text = push_json(pushes_next(pushes, 0, NULL));
    ck_assert_str_eq(text, "{\"at\":42,\"device\":\"ab\\\"cd\",\"headers\":{\"apns-topic\":"
                           "\"com.example\"},\"payload\":{\"aps\":{},\"z\":1,\"a\":\"\\n\"},"
                           "\"status\":200,\"reason\":null}");
    pushes_unanswered(pushes, number);
    ck_assert_uint_eq(pushes_next(pushes, 0, NULL)->status, 0);
    pushes_unanswered(pushes, number + 1); /* not there: nothing happens */
}
END_TEST

START_TEST(test_refused)
{
    json_t *headers = json_object();
    struct answer answer = answer_of(REASON_BAD_TOPIC);
    uint64_t number;

    make(10, PLENTY);
    ck_assert_int_eq(pushes_add(pushes, 1, "", headers, NULL, &answer, &number), 0);
    json_decref(headers);
    AUTO_FREE char *text = push_json(pushes_next(pushes, 0, NULL));
    ck_assert_str_eq(text, "{\"at\":1,\"device\":\"\",\"headers\":{},\"payload\":null,"
                           "\"status\":400,\"reason\":\"BadTopic\"}");
}
END_TEST

START_TEST(test_order_and_filter)
{
    make(1000, PLENTY);
    for (int i = 0; i < 500; i++)
        add(i % 2 == 0 ? "aa" : "BB", NULL);
    uint64_t next = 0;
    for (int i = 0; i < 250; i++) {
        const struct push *push = pushes_next(pushes, next, "bb");
        ck_assert_uint_eq(push->number, 2 * (unsigned)i + 2);
        next = push->number + 1;
    }
    ck_assert_ptr_null(pushes_next(pushes, next, "bb"));
    ck_assert_ptr_null(pushes_next(pushes, 0, "cc"));
    ck_assert_uint_eq(pushes_end(pushes), 501);
}
END_TEST

START_TEST(test_count_limit)
{
    make(100, PLENTY);
    for (int i = 0; i < 1000; i++)
        add("aa", NULL);
    /* a reader that stood still goes on with the oldest there is */
    ck_assert_uint_eq(pushes_next(pushes, 1, NULL)->number, 901);
    pushes_unanswered(pushes, 5);
    ck_assert_uint_eq(pushes_next(pushes, 901, NULL)->status, 200);
}
END_TEST

START_TEST(test_byte_limit)
{
    make(PLENTY, 10000);
    for (int i = 0; i < 1000; i++)
        add("aa", "{\"aps\":{\"alert\":\"0123456789\"}}");
    ck_assert_uint_gt(pushes_next(pushes, 1, NULL)->number, 900);
    ck_assert_uint_lt(pushes_next(pushes, 1, NULL)->number, 1000);
}
END_TEST

START_TEST(test_clear)
{
    make(100, PLENTY);
    pushes_on_add(pushes, on_add, NULL);
    add("aa", NULL);
    pushes_clear(pushes);
    ck_assert_ptr_null(pushes_next(pushes, 0, NULL));
    ck_assert_uint_eq(add("aa", NULL), 2);
    ck_assert_uint_eq(pushes_next(pushes, 0, NULL)->number, 2);
    ck_assert_uint_eq(added, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pushes");
    TCase *tcase = tcase_create("pushes");

    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, test_text);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_order_and_filter);
    tcase_add_test(tcase, test_count_limit);
    tcase_add_test(tcase, test_byte_limit);
    tcase_add_test(tcase, test_clear);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
