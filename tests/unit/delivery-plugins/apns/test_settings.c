/* Tests of delivery-plugins/apns/settings.c: each error says what, where and what was expected. */
#include "push_fixture.h"

#include <check.h>
#include <stdio.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

/* Places in front of a message: the settings of push_try_open are numbered, what a test adds comes
 * after them. */
static const struct {
    const char *path, *value;
    const char *where, *what, *expected;
} errors[] = {
    {"keys[0].team", "SHORT", "t.conf:1", "SHORT", "10 letters and digits"},
    {"keys[0].team", "TEAM56789\"", "t.conf:1", "TEAM56789\"", "10 letters and digits"},
    {"keys[0].kid", "KID45678901", "t.conf:2", "KID45678901", "10 letters and digits"},
    {"keys[0].team", "", "t.conf:", "team", "needs team, kid and file"},
    {"keys[0].kid", "", "t.conf:", "kid", "needs team, kid and file"},
    {"keys[0].file", "", "t.conf:", "file", "needs team, kid and file"},
    {"keys[0].topics[0]", "", "t.conf:3", "KID4567890", "at least one bundle id"},
    {"keys[0].file", "/nonexistent.p8", "t.conf:", "/nonexistent.p8", "No such file"},
    {"keys[0].file", "CERTIFICATE", "t.conf:", "server.pem", "Apple's .p8 file"},
    {"keys[0].file", "ENCRYPTED", "t.conf:", "encrypted.p8", "without a passphrase"},
    {"keys[0].file", "P384", "t.conf:", "p384.p8", "expected a P-256 key"},
    {"keys[0].topics[1]", "com.example.app", "t.conf:10", "com.example.app",
     "expected one key for it"},
    {"keys[0].topic", "com.example.app", "t.conf:10", "keys[0].topic",
     "expected team, kid, file or topics"},
    {"keys[16].team", "TEAM567890", "t.conf:10", "keys", "at most 16"},
    {"keys[4294967296].team", "TEAM567890", "t.conf:10", "keys", "at most 16"},
    {"keys[0].topics", "com.example.app", "t.conf:10", "keys[0].topics",
     "expected team, kid, file or topics"},
    {"keys[0].topics[1].name", "com.example.b", "t.conf:10", "keys[0].topics[1].name",
     "expected team, kid, file or topics"},
    {"keys[0]", "x", "t.conf:10", "keys[0]", "expected keys = ("},
    {"connection", "2", "t.conf:10", "connection", "expected keys, production"},
    {"connections", "0", "t.conf:10", "connections", "from 1 to 16"},
    {"connections", "two", "t.conf:10", "\"two\"", "from 1 to 16"},
    {"connections", "-1", "t.conf:10", "\"-1\"", "from 1 to 16"},
    {"connections", "2 ", "t.conf:10", "\"2 \"", "from 1 to 16"},
    {"in_flight", "100001", "t.conf:10", "in_flight", "from 1 to 100000"},
    {"token_refresh_s", "1199", "t.conf:10", "token_refresh_s", "from 1200 to 3540"},
    {"token_refresh_s", "3600", "t.conf:10", "token_refresh_s", "from 1200 to 3540"},
    {"request_timeout_ms", "99999999999999999999", "t.conf:10", "request_timeout_ms",
     "from 100 to 600000"},
    {"breaker_ms", "60001", "t.conf:10", "breaker_ms", "from 100 to 60000"},
    {"production.port", "65536", "t.conf:6", "production.port", "from 1 to 65535"},
    {"development.port", "0", "t.conf:8", "development.port", "from 1 to 65535"},
    {"production.hosts", "x", "t.conf:10", "production.hosts", "expected keys, production"},
    {"tls.ca_file", "/nonexistent.pem", "t.conf:9", "/nonexistent.pem", "PEM certificates"},
    {"tls.ca_file", "KEY", "t.conf:9", "key.p8", "PEM certificates"},
};

static const char *value_of(const char *value)
{
    if (strcmp(value, "CERTIFICATE") == 0)
        return keys.certificate;
    if (strcmp(value, "ENCRYPTED") == 0)
        return keys.encrypted;
    if (strcmp(value, "P384") == 0)
        return keys.p384;
    return strcmp(value, "KEY") == 0 ? keys.p8 : value;
}

START_TEST(test_error)
{
    ck_assert_int_eq(push_try_open(errors[_i].path, value_of(errors[_i].value), NULL), -1);
    ck_assert_ptr_null(host.instance);
    ck_assert_msg(strstr(host.error, errors[_i].where) && strstr(host.error, errors[_i].what) &&
                      strstr(host.error, errors[_i].expected),
                  "\"%s\" lacks one of \"%s\", \"%s\", \"%s\"", host.error, errors[_i].where,
                  errors[_i].what, errors[_i].expected);
}
END_TEST

START_TEST(test_no_keys)
{
    ck_assert_int_eq(push_host_open_with(&host, NULL, 0), -1);
    ck_assert_ptr_nonnull(strstr(host.error, "expected keys = ("));
}
END_TEST

START_TEST(test_a_topic_of_two_keys)
{
    ck_assert_int_eq(push_try_open("keys[1].team", "OTHERTEAM1", "keys[1].kid", "OTHERKEY12",
                                   "keys[1].file", keys.p8, "keys[1].topics[0]", "com.example.app",
                                   NULL),
                     -1);
    ck_assert_ptr_nonnull(strstr(host.error, "t.conf:13"));
    ck_assert_ptr_nonnull(strstr(host.error, "configured twice"));
}
END_TEST

/* Errors may be longer than what the host has room for. */
START_TEST(test_long_values)
{
    char value[2000];

    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    ck_assert_int_eq(push_try_open("keys[0].file", value, NULL), -1);
    ck_assert_uint_eq(strnlen(host.error, sizeof(host.error)), sizeof(host.error) - 1);
}
END_TEST

START_TEST(test_everything)
{
    push_open("connections", "16", "in_flight", "100000", "request_timeout_ms", "600000",
              "connect_timeout_ms", "100", "ping_idle_ms", "3600000", "ping_timeout_ms", "100",
              "token_refresh_s", "3540", "expiration_s", "31536000", "reconnect_max_ms", "3600000",
              "breaker_failures", "1", "breaker_ms", "60000", NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apns_settings");
    TCase *tcase = tcase_create("settings");

    tcase_add_checked_fixture(tcase, push_set_up, push_tear_down);
    tcase_add_loop_test(tcase, test_error, 0, ARRAY_LEN(errors));
    tcase_add_test(tcase, test_no_keys);
    tcase_add_test(tcase, test_a_topic_of_two_keys);
    tcase_add_test(tcase, test_long_values);
    tcase_add_test(tcase, test_everything);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
