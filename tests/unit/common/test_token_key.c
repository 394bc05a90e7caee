/* Tests of common/token_key.c: every way a key file can be unfit is found when it is loaded, and
 * said. */
#include "common/token_key.h"

#include <openssl/err.h>

#include "tests/unit/common/token_fixture.h"

#include "tests/support/run_suite.h"

START_TEST(test_fit_key_files)
{
    const struct {
        const char *algorithm, *file;
        size_t len;
    } cases[] = {{"HS256", secret_file, strlen(SECRET)}, /* the file has a newline */
                 {"RS256", rsa.public_file, strlen(rsa.public_pem)},
                 {"ES256", ec.public_file, strlen(ec.public_pem)}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct token_key key;
        struct err_text et = {""};
        ck_assert_msg(token_key_load("k", cases[i].algorithm, cases[i].file, &key, &et) == 0, "%s",
                      et.text);
        ck_assert_str_eq(key.kid, "k");
        ck_assert_str_eq(key.algorithm, cases[i].algorithm);
        ck_assert_uint_eq(key.len, cases[i].len);
        token_key_fini(&key);
    }
}
END_TEST

static void expect_no_key(const char *algorithm, const char *file, const char *part)
{
    struct token_keys *keys = token_keys_create(&any_policy);
    struct err_text et = {""};

    ck_assert_int_eq(token_keys_add_file(keys, "k", algorithm, file, &et), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, part) != NULL && strstr(et.text, file) != NULL, "%s", et.text);
    ck_assert_int_eq(token_keys_add_file(keys, "k", algorithm, file, NULL), ERR_CONFIG);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    token_keys_destroy(keys);
}

START_TEST(test_unfit_key_files)
{
    char absent[64];
    static char big[20000];
    struct pair small;

    snprintf(absent, sizeof(absent), "%s/absent", folder);
    expect_no_key("HS256", absent, "No such file");
    expect_no_key("HS256", folder, "Is a directory");
    expect_no_key("HS512", secret_file, "expected HS256, RS256 or ES256");
    expect_no_key("none", secret_file, "expected HS256, RS256 or ES256");
    expect_no_key("RS256", secret_file, "RSA public key");
    expect_no_key("ES256", secret_file, "P-256 public key");
    expect_no_key("RS256", ec.public_file, "RSA public key");
    expect_no_key("ES256", rsa.public_file, "P-256 public key");

    write_file(other_file, SECRET, 31);
    expect_no_key("HS256", other_file, "has 31 bytes, expected an HS256 secret of at least 32");
    write_file(other_file, "0123456789abcdef0123456789abcde\n", 32); /* the newline is no part */
    expect_no_key("HS256", other_file, "has 31 bytes");
    write_file(other_file, "", 0);
    expect_no_key("HS256", other_file, "has 0 bytes");
    memset(big, 'x', sizeof(big));
    write_file(other_file, big, sizeof(big));
    expect_no_key("HS256", other_file, "is larger than");
    write_file(other_file, rsa.secret_pem, strlen(rsa.secret_pem));
    expect_no_key("RS256", other_file, "RSA public key");

    make_pair(EVP_RSA_gen(1024), "other", &small);
    expect_no_key("RS256", small.public_file, "1024 bits, expected at least 2048");
    make_pair(EVP_EC_gen("P-384"), "other", &small);
    expect_no_key("ES256", small.public_file, "P-256 public key");
}
END_TEST

START_TEST(test_a_kid_only_once)
{
    struct token_keys *keys = one_key("dev");
    struct err_text et = {""};

    ck_assert_int_eq(token_keys_add_file(keys, "dev", "HS256", secret_file, &et), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "\"dev\""));
    token_keys_destroy(keys);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("token_key");
    TCase *files = tcase_create("files");

    /* Unchecked: an RSA key costs too much to be made for each test; no threads are involved. */
    tcase_add_unchecked_fixture(files, make_keys, remove_keys);
    tcase_set_timeout(files, 30);
    tcase_add_test(files, test_fit_key_files);
    tcase_add_test(files, test_unfit_key_files);
    tcase_add_test(files, test_a_kid_only_once);
    suite_add_tcase(suite, files);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
