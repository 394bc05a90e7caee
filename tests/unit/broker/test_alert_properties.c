/* Tests of broker/alert_properties.c: what a sender says about the notification. */
#include "broker/alert_properties.h"

#include "common/buf.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct buf encoded;

static void tear_down(void)
{
    buf_release(&encoded);
}

static void put_string(const char *text)
{
    buf_put_be16(&encoded, (uint16_t)strlen(text));
    buf_put(&encoded, text, strlen(text));
}

static void user_property(const char *name, const char *value)
{
    buf_put_u8(&encoded, 0x26);
    put_string(name);
    put_string(value);
}

static struct alert_properties read_all(void)
{
    ck_assert(buf_ok(&encoded));
    return alert_properties_read(bytes_of(encoded.data, (uint32_t)encoded.len));
}

static void equals(struct bytes is, const char *expected)
{
    ck_assert_msg(bytes_equal_string(is, expected), "%.*s", BYTES_FMT(is));
}

START_TEST(nothing_said)
{
    struct alert_properties p = alert_properties_read(bytes_of(NULL, 0));

    ck_assert_uint_eq(p.priority, 10);
    ck_assert_uint_eq(p.body.len, 0);
    ck_assert(!p.none && !p.utf8 && !p.others);
    ck_assert(!alert_properties_none(bytes_of(NULL, 0)));
}
END_TEST

START_TEST(every_text)
{
    struct alert_properties p;

    user_property("alert-body", "b");
    user_property("alert-category", "c");
    user_property("alert-thread", "t");
    user_property("alert-title", "T");
    user_property("alert-sound", "s");
    user_property("alert-level", "passive");
    p = read_all();
    equals(p.body, "b");
    equals(p.category, "c");
    equals(p.thread, "t");
    equals(p.title, "T");
    equals(p.sound, "s");
    equals(p.level, "passive");
    ck_assert(!p.others && !p.none);
}
END_TEST

START_TEST(never_notify_with_any_value)
{
    user_property("alert-none", "");
    ck_assert(read_all().none);
    ck_assert(alert_properties_none(bytes_of(encoded.data, (uint32_t)encoded.len)));
    ck_assert(!read_all().others);
}
END_TEST

START_TEST(priorities)
{
    user_property("priority", "5");
    ck_assert_uint_eq(read_all().priority, 5);
    ck_assert(!read_all().others);
    user_property("priority", "10"); /* the last one counts */
    ck_assert_uint_eq(read_all().priority, 10);
    user_property("priority", "5x");
    ck_assert_uint_eq(read_all().priority, 10);
}
END_TEST

START_TEST(payload_format_and_content_type)
{
    struct alert_properties p;

    buf_put(&encoded, "\x01\x01\x03", 3);
    put_string("text/plain");
    p = read_all();
    ck_assert(p.utf8);
    equals(p.content_type, "text/plain");
    ck_assert(!p.others);
    buf_clear(&encoded);
    buf_put(&encoded, "\x01\x00", 2);
    ck_assert(!read_all().utf8);
}
END_TEST

START_TEST(expiry_is_passed_over)
{
    buf_put(&encoded, "\x02\x00\x00\x00\x26", 5);
    user_property("alert-body", "b");
    equals(read_all().body, "b");
    ck_assert(!read_all().others);
}
END_TEST

START_TEST(what_a_notification_does_not_carry)
{
    static const uint8_t ids[] = {0x08, 0x09};

    for (size_t i = 0; i < sizeof(ids); i++) {
        buf_clear(&encoded);
        buf_put_u8(&encoded, ids[i]);
        put_string("x");
        user_property("alert-body", "b");
        ck_assert(read_all().others);
        equals(read_all().body, "b");
    }
    buf_clear(&encoded);
    user_property("alert-bodyx", "b"); /* a name is the whole name */
    ck_assert(read_all().others);
    ck_assert_uint_eq(read_all().body.len, 0);
    buf_clear(&encoded);
    user_property("Alert-None", "");
    ck_assert(read_all().others && !read_all().none);
}
END_TEST

START_TEST(malformed_ends_the_reading)
{
    size_t good;

    user_property("alert-body", "b");
    good = encoded.len;
    user_property("alert-none", "yes");
    for (size_t len = good; len < encoded.len; len++) {
        /* on the heap and of its exact size: a sanitizer sees a byte too many */
        uint8_t *exact = malloc(len);
        struct alert_properties p;

        ck_assert_ptr_nonnull(exact);
        memcpy(exact, encoded.data, len);
        p = alert_properties_read(bytes_of(exact, (uint32_t)len));
        equals(p.body, "b");
        ck_assert(!p.none);
        free(exact);
    }
    encoded.len = good;
    buf_put_u8(&encoded, 0x7f); /* no property of a PUBLISH */
    user_property("alert-none", "yes");
    ck_assert(!read_all().none);
    equals(read_all().body, "b");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alert_properties");
    TCase *tcase = tcase_create("alert_properties");

    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, nothing_said);
    tcase_add_test(tcase, every_text);
    tcase_add_test(tcase, never_notify_with_any_value);
    tcase_add_test(tcase, priorities);
    tcase_add_test(tcase, payload_format_and_content_type);
    tcase_add_test(tcase, expiry_is_passed_over);
    tcase_add_test(tcase, what_a_notification_does_not_carry);
    tcase_add_test(tcase, malformed_ends_the_reading);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
