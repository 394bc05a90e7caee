/* Tests of common/curve_key.c: key files as ZeroMQ's tools write them, and where keys are needed.
 */
#include "common/curve_key.h"

#include "tests/support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define PUBLIC "e.KueMwYSZOE={P(6x!h-@9Ll9$Tm2e:pk-]IXY?"
#define SECRET "R-4sK]>?o#<77>=RRC}QZVjn&<9Kq)p@mL/imXbu"
#define OTHER "Ul#{B]q6vF)EY4Nyk(-zlBySMfxFM^Bk5.{se5kM"

static struct curve_key key;
static struct err_text et;
static char folder[32], file[64];

static int parse(const char *text)
{
    memset(&key, 0, sizeof(key));
    et.text[0] = '\0';
    return curve_key_parse("f.key", bytes_of_string(text), &key, &et);
}

static void refused(const char *text, const char *expected)
{
    ck_assert_int_eq(parse(text), ERR_CONFIG);
    ck_assert_str_eq(et.text, expected);
    ck_assert_str_eq(key.public_key, "");
}

static void set_up(void)
{
    snprintf(folder, sizeof(folder), "/tmp/beckon-curve-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/f.key", folder);
    memset(&key, 0, sizeof(key));
    et.text[0] = '\0';
}

static void tear_down(void)
{
    unlink(file);
    rmdir(folder);
}

static void write_file(const char *text, mode_t mode)
{
    FILE *out = fopen(file, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(chmod(file, mode), 0);
}

/* What et says, with the file's name in it as FILE. */
static void said(const char *expected)
{
    char *at = strstr(et.text, file);
    char text[512];

    ck_assert_msg(at != NULL, "%s", et.text);
    snprintf(text, sizeof(text), "%.*sFILE%s", (int)(at - et.text), et.text, at + strlen(file));
    ck_assert_str_eq(text, expected);
}

START_TEST(test_both_halves)
{
    ck_assert_int_eq(parse("# made by hand\nmetadata\n    name = \"x\"\ncurve\n"
                           "    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n"),
                     0);
    ck_assert_str_eq(key.public_key, PUBLIC);
    ck_assert_str_eq(key.secret_key, SECRET);
}
END_TEST

START_TEST(test_public_half_alone)
{
    ck_assert_int_eq(parse("curve\n\tpublic-key='" PUBLIC "' # of broker 0\r\n"), 0);
    ck_assert_str_eq(key.public_key, PUBLIC);
    ck_assert_str_eq(key.secret_key, "");
}
END_TEST

START_TEST(test_public_half_is_computed)
{
    ck_assert_int_eq(parse("curve\n    secret-key = \"" SECRET "\""), 0);
    ck_assert_str_eq(key.public_key, PUBLIC);
}
END_TEST

START_TEST(test_other_sections_are_not_read)
{
    ck_assert_int_eq(parse("metadata\n    public-key = what it likes\n    = \ncurve # ours\n"
                           "    public-key = \"" PUBLIC "\"\nlater\n    secret-key = 5\n"),
                     0);
    ck_assert_str_eq(key.public_key, PUBLIC);
    ck_assert_str_eq(key.secret_key, "");
}
END_TEST

START_TEST(test_no_key)
{
    static const char expected[] =
        "f.key has no key, expected a file that \"beckonctl keygen\" made";

    refused("", expected);
    refused("\n# " PUBLIC "\n", expected);
    refused("curve\n", expected);
    refused("metadata\n    public-key = \"" PUBLIC "\"\n", expected);
}
END_TEST

START_TEST(test_no_keys_of_one_pair)
{
    refused("curve\n    public-key = \"" OTHER "\"\n    secret-key = \"" SECRET "\"\n",
            "f.key: \"public-key\" and \"secret-key\" are not of one pair");
}
END_TEST

START_TEST(test_malformed_keys)
{
    static const char expected[] =
        "f.key:2: \"public-key\" is no key, expected 40 characters of Z85 in quotes";
    static const char *const values[] = {
        "",
        "\"\"",
        PUBLIC,
        "\"" PUBLIC,
        "\"" PUBLIC "'",
        "\"" PUBLIC "x\"",
        "\"e.KueMwYSZOE={P(6x!h-@9Ll9$Tm2e:pk-]IXY\"",
        "\"e.KueMwYSZOE={P(6x!h-@9Ll9$Tm2e:pk-]IX,?\"",
        "\"" PUBLIC "\" x",
        /* more than 32 bits in five characters; "none" */
        "\"########################################\"",
        "\"0000000000000000000000000000000000000000\"",
    };
    char text[128];

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(text, sizeof(text), "curve\n    public-key = %s\n", values[i]);
        refused(text, expected);
    }
    refused("curve\n    secret-key = \"short\"\n",
            "f.key:2: \"secret-key\" is no key, expected 40 characters of Z85 in quotes");
}
END_TEST

START_TEST(test_malformed_files)
{
    refused("curve\n    publik-key = \"" PUBLIC "\"\n",
            "f.key:2: unknown property under \"curve\", expected public-key or secret-key");
    refused("curve\n    public-key = \"" PUBLIC "\"\n    public-key = \"" PUBLIC "\"\n",
            "f.key:3: \"public-key\" is there twice");
    refused("\npublic-key = \"" PUBLIC "\"\n",
            "f.key:2: expected a section, as \"curve\", with its keys indented below");
    refused(PUBLIC "\n", "f.key:1: expected a section, as \"curve\", with its keys indented below");
}
END_TEST

START_TEST(test_secret_file)
{
    write_file("curve\n    secret-key = \"" SECRET "\"\n", 0600);
    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), 0);
    ck_assert_str_eq(key.public_key, PUBLIC);
    ck_assert_str_eq(key.secret_key, SECRET);
    ck_assert_int_eq(chmod(file, 0640), 0);
    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), 0);
}
END_TEST

START_TEST(test_secret_file_for_everybody)
{
    write_file("curve\n    secret-key = \"" SECRET "\"\n", 0644);
    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), ERR_CONFIG);
    said("o: key file \"FILE\" has mode 0644, so everybody on this machine gets at it, expected "
         "0600 "
         "or 0640");
    ck_assert_str_eq(key.secret_key, "");
}
END_TEST

START_TEST(test_halves_in_the_wrong_place)
{
    char public_key[CURVE_KEY_SIZE] = "";

    write_file("curve\n    public-key = \"" PUBLIC "\"\n", 0600);
    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), ERR_CONFIG);
    said("o: key file \"FILE\" has no secret key");
    ck_assert_int_eq(curve_key_load_public("o", file, public_key, &et), 0);
    ck_assert_str_eq(public_key, PUBLIC);

    write_file("curve\n    secret-key = \"" SECRET "\"\n", 0600);
    public_key[0] = '\0';
    ck_assert_int_eq(curve_key_load_public("o", file, public_key, &et), ERR_CONFIG);
    said("o: key file \"FILE\" has a secret key, which belongs to its owner alone, expected the "
         "file "
         "with the public one");
    ck_assert_str_eq(public_key, "");
}
END_TEST

START_TEST(test_no_file)
{
    char large[5000];

    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), ERR_CONFIG);
    said("o: could not open key file \"FILE\": No such file or directory");
    ck_assert_int_eq(curve_key_load_secret("o", folder, &key, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "is no file, expected a key file"));
    ck_assert_int_eq(mkfifo(file, 0600), 0);
    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), ERR_CONFIG);
    said("o: \"FILE\" is no file, expected a key file");
    ck_assert_int_eq(unlink(file), 0);
    memset(large, '\n', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    write_file(large, 0600);
    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), ERR_CONFIG);
    said("o: \"FILE\" is larger than 4096 bytes, expected a key file");
    write_file("nothing = 1\n", 0600);
    ck_assert_int_eq(curve_key_load_secret("o", file, &key, &et), ERR_CONFIG);
    said("o: FILE:1: expected a section, as \"curve\", with its keys indented below");
}
END_TEST

START_TEST(test_what_is_local)
{
    static const char *const local[] = {
        "tcp://127.0.0.1:7400", "tcp://127.9.8.7:*",    "tcp://[::1]:7400",
        "tcp://::1:7400",       "tcp://localhost:7400", "tcp://10.0.0.1:0;127.0.0.1:7400",
        "ipc:///run/beckon",    "inproc://x",
    };
    static const char *const reached[] = {
        "tcp://*:7400",
        "tcp://0.0.0.0:7400",
        "tcp://[::]:7400",
        "tcp://10.0.0.1:7400",
        "tcp://eth0:7400",
        "tcp://127.0.0.1.example.org:7400",
        "tcp://localhost.:7400",
        "tcp://broker:7400",
        "tcp://127.0.0.1:0;10.0.0.1:7400",
        "udp://127.0.0.1:7400",
        "tcp://",
        "",
        "tcp://[127.0.0.1:7400",
    };

    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        ck_assert_msg(curve_endpoint_is_local(local[i]), "%s", local[i]);
    for (size_t i = 0; i < sizeof(reached) / sizeof(reached[0]); i++)
        ck_assert_msg(!curve_endpoint_is_local(reached[i]), "%s", reached[i]);
}
END_TEST

START_TEST(test_which_links_may_be)
{
    ck_assert_int_eq(curve_check_link("listen", "tcp://127.0.0.1:7400", false, false, &et), 0);
    ck_assert_int_eq(curve_check_link("listen", "tcp://127.0.0.1:7400", true, false, &et), 0);
    ck_assert_int_eq(curve_check_link("listen", "tcp://*:7400", true, false, &et), 0);
    ck_assert_int_eq(curve_check_link("listen", "tcp://*:7400", false, true, &et), 0);
    ck_assert_int_eq(curve_check_link("listen", "tcp://*:7400", false, false, &et), ERR_CONFIG);
    ck_assert_str_eq(et.text,
                     "\"listen.endpoint\" is \"tcp://*:7400\", which is not on this machine alone, "
                     "and \"listen.curve\" has no keys: make some with \"beckonctl keygen --dir "
                     "DIR\", or set listen.plain = true where the network itself encrypts and "
                     "authenticates");
    ck_assert_int_eq(curve_check_link("broker", "tcp://b:7400", true, true, &et), ERR_CONFIG);
    ck_assert_str_eq(et.text, "\"broker.plain\" is true and \"broker.curve\" has keys, expected "
                              "one of them");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("curve_key");
    TCase *text = tcase_create("text"), *files = tcase_create("files"),
          *links = tcase_create("links");

    tcase_add_test(text, test_both_halves);
    tcase_add_test(text, test_public_half_alone);
    tcase_add_test(text, test_public_half_is_computed);
    tcase_add_test(text, test_other_sections_are_not_read);
    tcase_add_test(text, test_no_key);
    tcase_add_test(text, test_no_keys_of_one_pair);
    tcase_add_test(text, test_malformed_keys);
    tcase_add_test(text, test_malformed_files);
    tcase_add_checked_fixture(files, set_up, tear_down);
    tcase_add_test(files, test_secret_file);
    tcase_add_test(files, test_secret_file_for_everybody);
    tcase_add_test(files, test_halves_in_the_wrong_place);
    tcase_add_test(files, test_no_file);
    tcase_add_test(links, test_what_is_local);
    tcase_add_test(links, test_which_links_may_be);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, links);
    return run_suite(suite);
}
