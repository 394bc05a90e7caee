/* Tests of broker/curve_config.c: which settings and files make keys, and who may link. */
#include "broker/curve_config.h"

#include "tests/support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define PUBLIC "e.KueMwYSZOE={P(6x!h-@9Ll9$Tm2e:pk-]IXY?"
#define SECRET "R-4sK]>?o#<77>=RRC}QZVjn&<9Kq)p@mL/imXbu"
#define OTHER "Ul#{B]q6vF)EY4Nyk(-zlBySMfxFM^Bk5.{se5kM"
#define PUBLIC_FILE(key) "curve\n    public-key = \"" key "\"\n"
#define SECRET_FILE "curve\n    secret-key = \"" SECRET "\"\n"

static char folder[32], key_file[64];
static config_t config;
static struct options options;
static struct curve_config read_config;
static struct err_text et;

static void write_file(const char *name, const char *text)
{
    char path[96];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(chmod(path, 0600), 0);
}

static void remove_file(const char *name)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    unlink(path);
}

static void set_up(void)
{
    config_init(&config);
    snprintf(folder, sizeof(folder), "/tmp/beckon-curve-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(key_file, sizeof(key_file), "%s/broker.key", folder);
    write_file("broker.key", SECRET_FILE);
    write_file("one.pub", PUBLIC_FILE(PUBLIC));
    options = (struct options){
        .listen_endpoint = "tcp://*:7400", .curve_secret_key = key_file, .curve_clients = folder};
    read_config = (struct curve_config){.secret_key = ""};
    et.text[0] = '\0';
}

static void tear_down(void)
{
    static const char *const names[] = {"broker.key", "one.pub",  "two.pub",
                                        "two.pub~",   ".two.pub", ".pub"};

    curve_config_fini(&read_config);
    config_destroy(&config);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove_file(names[i]);
    rmdir(folder);
}

static void refused(const char *fragment)
{
    ck_assert_int_eq(curve_config_read(&options, &config, &read_config, &et), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, fragment) != NULL, "%s", et.text);
}

START_TEST(test_keys)
{
    write_file("two.pub", PUBLIC_FILE(OTHER));
    ck_assert_msg(curve_config_read(&options, &config, &read_config, &et) == 0, "%s", et.text);
    ck_assert_str_eq(read_config.secret_key, SECRET);
    ck_assert_uint_eq(read_config.clients.count, 2);
    ck_assert_str_eq(curve_clients_find(&read_config.clients, PUBLIC), "one");
    ck_assert_str_eq(curve_clients_find(&read_config.clients, OTHER), "two");
    ck_assert_ptr_null(curve_clients_find(&read_config.clients, SECRET));
    ck_assert_ptr_null(curve_clients_find(&read_config.clients, ""));
}
END_TEST

/* Who has this broker's own key pair is another broker, without a file. */
START_TEST(test_other_brokers)
{
    char own[CURVE_KEY_SIZE];

    ck_assert_int_eq(zmq_curve_public(own, SECRET), 0);
    remove_file("one.pub");
    ck_assert_msg(curve_config_read(&options, &config, &read_config, &et) == 0, "%s", et.text);
    ck_assert_uint_eq(read_config.clients.count, 0);
    ck_assert_str_eq(curve_clients_find(&read_config.clients, own), "broker");
    ck_assert_ptr_null(curve_clients_find(&read_config.clients, ""));
}
END_TEST

START_TEST(test_what_lies_beside_is_not_let_in)
{
    write_file("two.pub~", PUBLIC_FILE(OTHER));
    write_file(".two.pub", PUBLIC_FILE(OTHER));
    write_file(".pub", PUBLIC_FILE(OTHER));
    ck_assert_int_eq(curve_config_read(&options, &config, &read_config, &et), 0);
    ck_assert_uint_eq(read_config.clients.count, 1);
    ck_assert_ptr_null(curve_clients_find(&read_config.clients, OTHER));
}
END_TEST

START_TEST(test_nobody)
{
    remove_file("one.pub");
    ck_assert_int_eq(curve_config_read(&options, &config, &read_config, &et), 0);
    ck_assert_uint_eq(read_config.clients.count, 0);
}
END_TEST

START_TEST(test_bad_files)
{
    write_file("two.pub", "curve\n    public-key = \"x\"\n");
    refused("two.pub:2: \"public-key\" is no key");
    write_file("two.pub", SECRET_FILE);
    refused("two.pub\" has a secret key");
    remove_file("two.pub");
    options.curve_clients = "/nowhere/beckon";
    refused("listen.curve.clients: could not open folder \"/nowhere/beckon\"");
    options.curve_secret_key = "/nowhere/beckon";
    refused("listen.curve.secret_key: could not open key file \"/nowhere/beckon\"");
    ck_assert_str_eq(read_config.secret_key, "");
}
END_TEST

START_TEST(test_half_of_the_settings)
{
    options.curve_clients = "";
    refused("\"listen.curve.clients\" is not set and \"listen.curve.secret_key\" is");
    options.curve_clients = folder;
    options.curve_secret_key = "";
    refused("\"listen.curve.clients\" is set and \"listen.curve.secret_key\" is not");
}
END_TEST

START_TEST(test_without_keys)
{
    options.curve_clients = options.curve_secret_key = "";
    refused("beckonctl keygen");
    options.listen_plain = true;
    ck_assert_int_eq(curve_config_read(&options, &config, &read_config, &et), 0);
    options.listen_plain = false;
    options.listen_endpoint = "tcp://127.0.0.1:7400";
    ck_assert_int_eq(curve_config_read(&options, &config, &read_config, &et), 0);
    ck_assert_str_eq(read_config.secret_key, "");
}
END_TEST

START_TEST(test_relative_to_the_configuration)
{
    char text[256], path[96];

    snprintf(path, sizeof(path), "%s/.two.pub", folder);
    write_file(".two.pub",
               "listen: { curve: { secret_key = \"broker.key\"; clients = \".\"; }; };");
    ck_assert_int_eq(config_read_file(&config, path), CONFIG_TRUE);
    options.curve_secret_key = "broker.key";
    options.curve_clients = ".";
    ck_assert_msg(curve_config_read(&options, &config, &read_config, &et) == 0, "%s", et.text);
    snprintf(text, sizeof(text), "%s", read_config.clients.list[0].name);
    ck_assert_str_eq(text, "one");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("curve_config");
    TCase *tcase = tcase_create("curve_config");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_keys);
    tcase_add_test(tcase, test_other_brokers);
    tcase_add_test(tcase, test_what_lies_beside_is_not_let_in);
    tcase_add_test(tcase, test_nobody);
    tcase_add_test(tcase, test_bad_files);
    tcase_add_test(tcase, test_half_of_the_settings);
    tcase_add_test(tcase, test_without_keys);
    tcase_add_test(tcase, test_relative_to_the_configuration);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
