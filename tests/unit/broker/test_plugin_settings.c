/* Tests of broker/plugin_settings.c. */
#include "broker/plugin_settings.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct err_text et;

static int read_text(const char *text, struct plugin_settings *ret_settings)
{
    config_t config;
    int r;

    config_init(&config);
    ck_assert_int_eq(config_read_string(&config, text), CONFIG_TRUE);
    r = plugin_settings_read(config_lookup(&config, "options"), ret_settings, &et);
    config_destroy(&config);
    return r;
}

START_TEST(paths_are_flattened)
{
    struct plugin_settings s;

    ck_assert_int_eq(read_text("options = { url = \"x\"; n = 3; on = true;\n"
                               " keys = ( { file = \"k\"; topics = [ \"a\", \"b\" ]; } ); };",
                               &s),
                     0);
    ck_assert_uint_eq(s.count, 6);
    ck_assert_str_eq(s.list[0].path, "url");
    ck_assert_str_eq(s.list[1].value, "3");
    ck_assert_str_eq(s.list[2].value, "true");
    ck_assert_str_eq(s.list[3].path, "keys[0].file");
    ck_assert_str_eq(s.list[5].path, "keys[0].topics[1]");
    ck_assert_str_eq(s.list[5].value, "b");
    ck_assert_ptr_nonnull(strstr(s.list[5].where, ":2"));
    plugin_settings_fini(&s);
    ck_assert_uint_eq(s.count, 0);
}
END_TEST

START_TEST(none_is_fine_and_too_many_are_not)
{
    struct plugin_settings s;
    char text[16384];
    size_t len = (size_t)snprintf(text, sizeof(text), "options = { a = [ 0");

    ck_assert_int_eq(read_text("", &s), 0);
    ck_assert_uint_eq(s.count, 0);
    plugin_settings_fini(&s);
    for (int i = 0; i < 256; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, ", %d", i);
    snprintf(text + len, sizeof(text) - len, " ]; };");
    ck_assert_int_eq(read_text(text, &s), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "too many plugin settings"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_settings");
    TCase *tcase = tcase_create("settings");

    tcase_add_test(tcase, paths_are_flattened);
    tcase_add_test(tcase, none_is_fine_and_too_many_are_not);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
