/* Tests of broker/plugin_load.c: what is refused, and in which words. */
#include "broker/broker.h"
#include "broker/plugin.h"
#include "broker/plugin_load.h"
#include "plugin-host/plugin_file.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct err_text et;

static int load(const char *name)
{
    struct plugin_file file = {0};
    char path[512];
    int r;

    snprintf(path, sizeof(path), TEST_PLUGIN_DIR "/%s", name);
    r = plugin_file_load(path, &file, &et);
    if (r == 0)
        plugin_file_unload(&file);
    return r;
}

START_TEST(good_plugin_loads)
{
    ck_assert_int_eq(load("good.so"), 0);
}
END_TEST

START_TEST(missing_file_is_named)
{
    ck_assert_int_eq(load("absent.so"), ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(et.text, "absent.so"));
}
END_TEST

START_TEST(other_abi_names_both_numbers)
{
    ck_assert_int_eq(load("other-abi.so"), ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(et.text, "ABI 2, expected 1"));
}
END_TEST

START_TEST(bad_name_is_refused)
{
    ck_assert_int_eq(load("no-name.so"), ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(et.text, "\"No Name\""));
}
END_TEST

START_TEST(missing_function_is_refused)
{
    ck_assert_int_eq(load("no-deliver.so"), ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(et.text, "deliver"));
}
END_TEST

static int check_text(const char *text)
{
    config_t config;
    int r;

    config_init(&config);
    ck_assert_int_eq(config_read_string(&config, text), CONFIG_TRUE);
    r = plugin_check_setting(config_lookup(&config, "plugins"), &et);
    config_destroy(&config);
    return r;
}

START_TEST(setting_shapes)
{
    ck_assert_int_eq(check_text("plugins = ( { name = \"a\"; file = \"a.so\"; } );"), 0);
    ck_assert_int_eq(
        check_text("plugins = ( { name = \"a\"; file = \"a.so\"; options = { x = 1; }; } );"), 0);
    ck_assert_int_eq(check_text("plugins = 3;"), ERR_CONFIG);
    ck_assert_int_eq(check_text("plugins = ( 3 );"), ERR_CONFIG);
    ck_assert_int_eq(check_text("plugins = ( { file = \"a.so\"; } );"), ERR_CONFIG);
    ck_assert_int_eq(check_text("plugins = ( { name = \"A\"; file = \"a.so\"; } );"), ERR_CONFIG);
    ck_assert_int_eq(check_text("plugins = ( { name = \"a\"; } );"), ERR_CONFIG);
    ck_assert_int_eq(check_text("plugins = ( { name = \"a\"; file = \"a.so\"; hosted = true; "
                                "in_flight = 7; } );"),
                     0);
    ck_assert_int_eq(check_text("plugins = ( { name = \"a\"; file = \"a\"; hosted = 1; } );"),
                     ERR_CONFIG);
    ck_assert_int_eq(check_text("plugins = ( { name = \"a\"; file = \"a\"; in_flight = 0; } );"),
                     ERR_CONFIG);
    ck_assert_int_eq(check_text("plugins = ( { name = \"a\"; file = \"a.so\"; },\n"
                                " { name = \"a\"; file = \"b.so\"; } );"),
                     ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "configured already, in line 1"));
    ck_assert_int_eq(check_text("plugins = (\n { name = \"a\"; file = \"a.so\"; flie = 1; } );"),
                     ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, ":2:"));
    ck_assert_int_eq(check_text("plugins = ( { name = \"a\"; file = \"a\"; options = 1; } );"),
                     ERR_CONFIG);
}
END_TEST

static int open_text(const char *text)
{
    struct broker broker = {.options = {.plugin_dir = TEST_PLUGIN_DIR}};
    config_t config;
    int r;

    config_init(&config);
    ck_assert_int_eq(config_read_string(&config, text), CONFIG_TRUE);
    r = plugins_create(&broker, &config, &et);
    if (r == 0)
        ck_assert_ptr_nonnull(plugin_find(&broker, "test"));
    plugins_destroy(&broker);
    config_destroy(&config);
    return r;
}

START_TEST(opens_configured_plugins)
{
    ck_assert_int_eq(open_text("plugins = ( { name = \"test\"; file = \"good.so\"; "
                               "hosted = false; } );"),
                     0);
    ck_assert_int_eq(open_text("plugins = ( { name = \"other\"; file = \"good.so\"; "
                               "hosted = false; } );"),
                     ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(et.text, "calls itself \"test\""));
}
END_TEST

START_TEST(passes_on_what_open_says)
{
    ck_assert_int_eq(
        open_text("plugins = ( { name = \"test\"; file = \"open-fails.so\"; hosted = false;\n"
                  " options = { keys = ( { file = \"k\"; } ); }; } );"),
        ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(et.text, ":2: no such key \"keys[0].file\"=k"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_load");
    TCase *files = tcase_create("files"), *settings = tcase_create("settings");

    tcase_add_test(files, good_plugin_loads);
    tcase_add_test(files, missing_file_is_named);
    tcase_add_test(files, other_abi_names_both_numbers);
    tcase_add_test(files, bad_name_is_refused);
    tcase_add_test(files, missing_function_is_refused);
    tcase_add_test(settings, setting_shapes);
    tcase_add_test(settings, opens_configured_plugins);
    tcase_add_test(settings, passes_on_what_open_says);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, settings);
    return run_suite(suite);
}
