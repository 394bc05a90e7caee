/* Tests of broker/message.c. */
#include "broker/message.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct message *make(const char *payload, const char *properties, const char *key)
{
    struct wire_body body = {.kind = WIRE_BODY_USER,
                             .mid = {.octets = {1, 2, 3}},
                             .sent_at_ms = 17,
                             .expires_at_ms = 20,
                             .from = bytes_of_string("alice"),
                             .properties = bytes_of_string(properties),
                             .payload = bytes_of_string(payload)};
    struct message *m = message_create(&body, body.from, body.from, bytes_of_string(key));

    ck_assert_ptr_nonnull(m);
    return m;
}

START_TEST(keeps_what_it_was_given)
{
    struct message *m = make("hello", "p", "k1");
    struct wire_body body;

    ck_assert_int_eq(wire_get_body(message_body(m), &body), 0);
    ck_assert(bytes_equal_string(body.payload, "hello"));
    ck_assert(bytes_equal_string(body.from, "alice"));
    ck_assert_uint_eq(body.sent_at_ms, 17);
    ck_assert_uint_eq(body.expires_at_ms, 20);
    ck_assert_str_eq(m->from, "alice");
    ck_assert_str_eq(m->conversation, "u/alice");
    ck_assert(bytes_equal_string(m->key, "k1"));
    ck_assert(bytes_equal_string(m->payload, "hello"));
    ck_assert(bytes_equal_string(m->properties, "p"));
    message_unref(m);
}
END_TEST

START_TEST(group_conversation_has_its_prefix)
{
    struct wire_body body = {
        .kind = WIRE_BODY_GROUP, .from = bytes_of_string("alice"), .to = bytes_of_string("team")};
    struct message *m = message_create(&body, body.from, body.to, bytes_of(NULL, 0));

    ck_assert_str_eq(m->conversation, "g/team");
    message_unref(m);
}
END_TEST

START_TEST(hash_tells_contents_apart)
{
    struct message *a = make("ab", "c", "k"), *b = make("ab", "c", "other"),
                   *c = make("b", "ca", "k"), *d = make("abc", "", "k");

    ck_assert_uint_eq(message_content_hash(a), message_content_hash(b));
    ck_assert_uint_ne(message_content_hash(a), message_content_hash(c));
    ck_assert_uint_ne(message_content_hash(a), message_content_hash(d));
    message_unref(a);
    message_unref(b);
    message_unref(c);
    message_unref(d);
}
END_TEST

START_TEST(lives_until_the_last_reference)
{
    struct message *m = make("x", "", "");

    ck_assert_ptr_eq(message_ref(m), m);
    message_unref(m);
    ck_assert(bytes_equal_string(m->payload, "x"));
    message_unref(m);
    message_unref(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message");
    TCase *tcase = tcase_create("message");

    tcase_add_test(tcase, keeps_what_it_was_given);
    tcase_add_test(tcase, group_conversation_has_its_prefix);
    tcase_add_test(tcase, hash_tells_contents_apart);
    tcase_add_test(tcase, lives_until_the_last_reference);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
