/* Tests of connector/curve_link.c: which settings make a link, and of what kind. */
#include "connector/curve_link.h"

#include "tests/support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PUBLIC "e.KueMwYSZOE={P(6x!h-@9Ll9$Tm2e:pk-]IXY?"
#define SECRET "R-4sK]>?o#<77>=RRC}QZVjn&<9Kq)p@mL/imXbu"
#define SERVER "Ul#{B]q6vF)EY4Nyk(-zlBySMfxFM^Bk5.{se5kM"
#define FAR "tcp://broker.example.org:7400"

static char folder[32], server_file[64], own_file[64];
static config_t config;
static char far_endpoint[] = FAR, local_endpoint[] = "tcp://127.0.0.1:7400";
/* One that is far is enough. */
static const struct endpoints far_away = {.count = 2, .all = {local_endpoint, far_endpoint}};
static const struct endpoints local = {.count = 1, .all = {local_endpoint}};
static struct options options;
static struct link_keys link_read;
static struct err_text et;

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(chmod(path, 0600), 0);
}

static void set_up(void)
{
    config_init(&config);
    snprintf(folder, sizeof(folder), "/tmp/beckon-curve-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(server_file, sizeof(server_file), "%s/broker.pub", folder);
    snprintf(own_file, sizeof(own_file), "%s/own.key", folder);
    write_file(server_file, "curve\n    public-key = \"" SERVER "\"\n");
    write_file(own_file, "curve\n    secret-key = \"" SECRET "\"\n");
    options = (struct options){.server_key = server_file, .secret_key = own_file};
    memset(&link_read, 0, sizeof(link_read));
    et.text[0] = '\0';
}

static void tear_down(void)
{
    config_destroy(&config);
    unlink(server_file);
    unlink(own_file);
    rmdir(folder);
}

static void refused(const char *fragment)
{
    ck_assert_int_eq(curve_link_load(&options, &far_away, &config, &link_read, &et), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, fragment) != NULL, "%s", et.text);
    ck_assert(!link_keys_has_keys(&link_read));
    ck_assert_str_eq(link_read.own.secret_key, "");
}

START_TEST(test_keys)
{
    ck_assert_msg(curve_link_load(&options, &far_away, &config, &link_read, &et) == 0, "%s",
                  et.text);
    ck_assert(link_keys_has_keys(&link_read));
    ck_assert_str_eq(link_read.server_key, SERVER);
    ck_assert_str_eq(link_read.own.public_key, PUBLIC);
    ck_assert_str_eq(link_read.own.secret_key, SECRET);
}
END_TEST

START_TEST(test_half_of_the_settings)
{
    options.secret_key = "";
    refused("\"broker.curve.server_key\" is set and \"broker.curve.secret_key\" is not");
    options.secret_key = own_file;
    options.server_key = "";
    refused("\"broker.curve.secret_key\" is set and \"broker.curve.server_key\" is not");
}
END_TEST

START_TEST(test_files_changed_places)
{
    options.server_key = own_file;
    refused("broker.curve.server_key: key file");
    options.server_key = options.secret_key = server_file;
    refused("has no secret key");
}
END_TEST

START_TEST(test_without_keys)
{
    options.server_key = options.secret_key = "";
    refused("\"broker.endpoint\" is \"" FAR "\"");
    ck_assert_int_eq(curve_link_load(&options, &local, &config, &link_read, &et), 0);
    ck_assert(!link_keys_has_keys(&link_read));
    options.plain = true;
    ck_assert_int_eq(curve_link_load(&options, &far_away, &config, &link_read, &et), 0);
    ck_assert(!link_keys_has_keys(&link_read));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("curve_link");
    TCase *tcase = tcase_create("curve_link");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_keys);
    tcase_add_test(tcase, test_half_of_the_settings);
    tcase_add_test(tcase, test_files_changed_places);
    tcase_add_test(tcase, test_without_keys);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
