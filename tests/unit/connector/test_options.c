/* Tests of connector/options.c: the sample file shows every option with its default; what a reload
 * may change. */
#include "connector/options.h"

#include <stdlib.h>
#include <string.h>

#include "connector/auth.h"
#include "connector/endpoints.h"
#include "connector/tls_certificates.h"

#include "tests/support/run_suite.h"

#define SAMPLE PROJECT_SOURCE_DIR "/etc/connector.conf"

static struct option_set set;
static struct options options;

static void set_up(void)
{
    option_set_init(&set, connector_options, connector_option_count, &options);
}

static void tear_down(void)
{
    option_set_fini(&set);
}

static void load(const char *file)
{
    struct err_text et = {""};

    ck_assert_msg(option_set_load(&set, file, NULL, 0, &et) == 0, "%s", et.text);
}

/* A list can't have its default in the table. */
static void check_endpoints(const config_t *config)
{
    struct endpoints sample, expected;
    struct err_text et = {""};
    config_t empty;

    config_init(&empty);
    ck_assert_int_eq(endpoints_read(config, &sample, &et), 0);
    ck_assert_int_eq(endpoints_read(&empty, &expected, &et), 0);
    ck_assert_uint_eq(sample.count, expected.count);
    for (unsigned i = 0; i < sample.count; i++)
        ck_assert_str_eq(sample.all[i], expected.all[i]);
    endpoints_fini(&sample);
    endpoints_fini(&expected);
    config_destroy(&empty);
}

START_TEST(test_sample_equals_defaults)
{
    struct option_set defaults;
    struct options expected;
    struct err_text et = {""};

    option_set_init(&defaults, connector_options, connector_option_count, &expected);
    ck_assert_int_eq(option_set_load(&defaults, NULL, NULL, 0, &et), 0);
    load(SAMPLE);
    for (size_t i = 0; i < connector_option_count; i++) {
        const struct option *option = &connector_options[i];
        const char *a = (const char *)&options + option->offset;
        const char *b = (const char *)&expected + option->offset;

        if (option->type == OPTION_STRING)
            ck_assert_str_eq(*(const char *const *)(const void *)a,
                             *(const char *const *)(const void *)b);
        else if (option->type == OPTION_UINT)
            ck_assert_msg(memcmp(a, b, sizeof(uint32_t)) == 0, "%s", option->path);
        else if (option->type == OPTION_BOOL)
            ck_assert_msg(*(const bool *)a == *(const bool *)b, "%s", option->path);
        else if (strcmp(option->path, "tls.certificates") == 0)
            ck_assert_uint_eq(tls_certificates_count(&set.config), 0);
        else if (strcmp(option->path, "websocket.origins") == 0 ||
                 strcmp(option->path, "proxy.trusted") == 0)
            ck_assert_int_eq(config_setting_length(config_lookup(&set.config, option->path)), 0);
        else if (strcmp(option->path, "broker.endpoints") == 0)
            check_endpoints(&set.config);
        else
            ck_assert_str_eq(option->path, "auth.keys"); /* has no default */
    }
    option_set_fini(&defaults);
}
END_TEST

START_TEST(test_sample_sets_every_option)
{
    load(SAMPLE);
    for (size_t i = 0; i < connector_option_count; i++)
        ck_assert_msg(config_lookup(&set.config, connector_options[i].path) != NULL,
                      "%s is not in the sample", connector_options[i].path);
}
END_TEST

START_TEST(test_check_needs_keys)
{
    struct err_text et = {""};

    load(NULL);
    ck_assert_int_eq(options_check(&set, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "auth.keys"));
    options.log_level = "loud";
    ck_assert_int_eq(options_check(&set, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "loud"));
}
END_TEST

START_TEST(test_check_needs_a_listener)
{
    struct err_text et = {""};

    load(NULL);
    options.listen_tcp.enabled = options.listen_ws.enabled = false;
    ck_assert_int_eq(options_check(&set, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "no listener"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *sample = tcase_create("sample"), *rules = tcase_create("rules");

    tcase_add_checked_fixture(sample, set_up, tear_down);
    tcase_add_checked_fixture(rules, set_up, tear_down);
    tcase_add_test(sample, test_sample_equals_defaults);
    tcase_add_test(sample, test_sample_sets_every_option);
    tcase_add_test(rules, test_check_needs_keys);
    tcase_add_test(rules, test_check_needs_a_listener);
    suite_add_tcase(suite, sample);
    suite_add_tcase(suite, rules);
    return run_suite(suite);
}
