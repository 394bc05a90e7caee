/* Tests of common/pem.c: a good pair, and every way a file can be none. */
#include "common/pem.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/auto.h"

#include "tests/support/pki.h"
#include "tests/support/run_suite.h"

static char folder[64];
static struct err_text et;

static void set_up(void)
{
    struct pki authority, leaf, other;

    snprintf(folder, sizeof(folder), "/tmp/test_pem.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    authority = pki_make(NULL, NULL, 1);
    leaf = pki_make("DNS:a.test", &authority, 1);
    other = pki_make("DNS:b.test", &authority, 1);
    pki_write(&authority, folder, "authority");
    pki_write(&leaf, folder, "leaf");
    pki_write(&other, folder, "other");
    pki_fini(&other);
    pki_fini(&leaf);
    pki_fini(&authority);
    et.text[0] = '\0';
}

static void tear_down(void)
{
    static const char *const names[] = {"authority.pem", "authority.key", "leaf.pem", "leaf.key",
                                        "other.pem",     "other.key",     "made.pem"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static char *path_of(const char *name)
{
    char *path;

    ck_assert_int_gt(asprintf(&path, "%s/%s", folder, name), 0);
    return path;
}

static char *text_of(const char *name)
{
    AUTO_FREE char *path = path_of(name);
    const struct pem_source source = {"the.option", path};
    char *text;

    ck_assert_msg(pem_read(&source, &text, &et) == 0, "%s", et.text);
    return text;
}

static int parse_texts(const char *certificate, const char *key, struct pem_pair *pair)
{
    const struct pem_source certificate_source = {"the.certificate", "c.pem"};
    const struct pem_source key_source = {"the.key", "k.pem"};

    return pem_pair_parse(&certificate_source, certificate, &key_source, key, pair, &et);
}

static void expect_error(int result, const char *option, const char *words)
{
    ck_assert_int_eq(result, ERR_CONFIG);
    ck_assert_msg(strstr(et.text, option) != NULL, "%s", et.text);
    ck_assert_msg(strstr(et.text, words) != NULL, "%s", et.text);
}

START_TEST(test_pair_with_chain)
{
    AUTO_FREE char *leaf = text_of("leaf.pem");
    AUTO_FREE char *authority = text_of("authority.pem");
    AUTO_FREE char *key = text_of("leaf.key");
    AUTO_FREE char *whole = NULL;
    struct pem_pair pair;

    ck_assert_int_eq(parse_texts(leaf, key, &pair), 0);
    ck_assert_int_eq(sk_X509_num(pair.chain), 0);
    pem_pair_fini(&pair);
    ck_assert_int_gt(asprintf(&whole, "comment\n%s%s", leaf, authority), 0);
    ck_assert_int_eq(parse_texts(whole, key, &pair), 0);
    ck_assert_int_eq(sk_X509_num(pair.chain), 1);
    ck_assert_int_eq(X509_check_host(pair.certificate, "a.test", 0, 0, NULL), 1);
    pem_pair_fini(&pair);
    ck_assert_ptr_null(pair.certificate);
}
END_TEST

START_TEST(test_what_is_no_pair)
{
    AUTO_FREE char *leaf = text_of("leaf.pem");
    AUTO_FREE char *key = text_of("leaf.key");
    AUTO_FREE char *other = text_of("other.key");
    AUTO_FREE char *whole = NULL;
    struct pem_pair pair;

    expect_error(parse_texts("", key, &pair), "the.certificate", "has no certificate");
    expect_error(parse_texts(key, key, &pair), "the.certificate", "has no certificate");
    expect_error(parse_texts(leaf, "", &pair), "the.key", "has no private key");
    expect_error(parse_texts(leaf, leaf, &pair), "the.key", "has no private key");
    expect_error(parse_texts(leaf, other, &pair), "the.key", "is not the key of");
    ck_assert_int_gt(asprintf(&whole, "%s-----BEGIN CERTIFICATE-----\nAAAA\n", leaf), 0);
    expect_error(parse_texts(whole, key, &pair), "the.certificate", "certificate 2");
}
END_TEST

START_TEST(test_files)
{
    AUTO_FREE char *made = path_of("made.pem");
    AUTO_FREE char *absent = path_of("absent.pem");
    const struct pem_source good = {"the.option", made}, missing = {"the.option", absent};
    const struct pem_source directory = {"the.option", folder};
    char *text = NULL;
    FILE *out;

    expect_error(pem_read(&missing, &text, &et), "the.option", "absent.pem");
    expect_error(pem_read(&directory, &text, &et), "the.option", "directory");
    out = fopen(made, "w");
    ck_assert_ptr_nonnull(out);
    for (unsigned i = 0; i < 65536; i++)
        fputc('-', out);
    ck_assert_int_eq(fclose(out), 0);
    expect_error(pem_read(&good, &text, &et), "the.option", "bytes or more");
    ck_assert_ptr_null(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pem");
    TCase *pairs = tcase_create("pairs"), *files = tcase_create("files");

    tcase_add_checked_fixture(pairs, set_up, tear_down);
    tcase_add_checked_fixture(files, set_up, tear_down);
    tcase_add_test(pairs, test_pair_with_chain);
    tcase_add_test(pairs, test_what_is_no_pair);
    tcase_add_test(files, test_files);
    suite_add_tcase(suite, pairs);
    suite_add_tcase(suite, files);
    return run_suite(suite);
}
