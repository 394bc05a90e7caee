/* Tests of connector/proxy_trust.c: option proxy.trusted. */
#include "connector/proxy_trust.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/auto.h"

#include "connector/options.h"
#include "connector/peer_address.h"

#include "tests/support/run_suite.h"

static struct option_set set;
static struct options options;
static struct proxy_trust trust;
static struct err_text et;

static void set_up(void)
{
    option_set_init(&set, connector_options, connector_option_count, &options);
    trust = (struct proxy_trust){0};
    et.text[0] = '\0';
}

static void tear_down(void)
{
    proxy_trust_fini(&trust);
    option_set_fini(&set);
}

static int load(const char *override)
{
    int r = option_set_load(&set, NULL, &override, override != NULL, &et);

    return r < 0 ? r : proxy_trust_read(&set.config, &trust, &et);
}

static bool trusts(const char *text)
{
    struct peer_address peer = {.family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET};

    ck_assert_int_eq(inet_pton(peer.family, text, peer.octets), 1);
    return proxy_trusts(&trust, &peer);
}

START_TEST(test_nobody_is_listed)
{
    ck_assert_int_eq(load(_i == 0 ? NULL : "proxy.trusted=( )"), 0);
    ck_assert(trusts("192.0.2.10"));
    ck_assert(trusts("2001:db8::1"));
}
END_TEST

START_TEST(test_addresses_and_networks)
{
    ck_assert_msg(load("proxy.trusted=( \"192.0.2.10\", \"198.51.100.64/26\", \"2001:db8::7\", "
                       "\"2001:db8:8000::/33\" )") == 0,
                  "%s", et.text);
    ck_assert(trusts("192.0.2.10"));
    ck_assert(!trusts("192.0.2.11"));
    ck_assert(trusts("198.51.100.64"));
    ck_assert(trusts("198.51.100.127"));
    ck_assert(!trusts("198.51.100.63"));
    ck_assert(!trusts("198.51.100.128"));
    ck_assert(trusts("2001:db8::7"));
    ck_assert(!trusts("2001:db8::8"));
    ck_assert(trusts("2001:db8:8000::1"));
    ck_assert(trusts("2001:db8:ffff::1"));
    ck_assert(!trusts("2001:db8:7fff::1"));
}
END_TEST

/* The octets of one family say nothing about the other. */
START_TEST(test_one_family)
{
    ck_assert_msg(load("proxy.trusted=( \"0.0.0.0/0\" )") == 0, "%s", et.text);
    ck_assert(trusts("203.0.113.1"));
    ck_assert(!trusts("::"));
    ck_assert(!trusts("2001:db8::1"));
}
END_TEST

START_TEST(test_bad_options)
{
    static const struct {
        const char *override, *expected;
    } cases[] = {
        {"proxy.trusted=\"192.0.2.10\"", "proxy.trusted"},
        {"proxy.trusted={ a = 1; }", "not a list"},
        {"proxy.trusted=( 7 )", "not a string"},
        {"proxy.trusted=( \"lb.example.org\" )", "\"lb.example.org\" is no IP address"},
        {"proxy.trusted=( \"\" )", "is no IP address"},
        {"proxy.trusted=( \"2001:db8:1111:2222:3333:4444:5555:6666:7777:8888\" )",
         "is no IP address"},
        {"proxy.trusted=( \"::ffff:192.0.2.10\" )", "IPv4 address in IPv6's form"},
        {"proxy.trusted=( \"192.0.2.0/33\" )", "number of bits"},
        {"proxy.trusted=( \"192.0.2.0/\" )", "number of bits"},
        {"proxy.trusted=( \"192.0.2.0/+8\" )", "number of bits"},
        {"proxy.trusted=( \"2001:db8::/4294967328\" )", "number of bits"},
        {"proxy.trusted=( \"192.0.2.10/24\" )", "bits of an address"},
        {"proxy.trusted=( \"192.0.2.0/24\", \"2001:db8::1/64\" )", "\"2001:db8::1/64\""},
    };

    ck_assert_int_lt(_i, (int)ARRAY_LEN(cases));
    ck_assert_int_eq(load(cases[_i].override), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, cases[_i].expected) != NULL, "%s", et.text);
    ck_assert_ptr_nonnull(strstr(et.text, "expected"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy_trust");
    TCase *options_case = tcase_create("options");

    tcase_add_checked_fixture(options_case, set_up, tear_down);
    tcase_add_loop_test(options_case, test_nobody_is_listed, 0, 2);
    tcase_add_test(options_case, test_addresses_and_networks);
    tcase_add_test(options_case, test_one_family);
    tcase_add_loop_test(options_case, test_bad_options, 0, 13);
    suite_add_tcase(suite, options_case);
    return run_suite(suite);
}
