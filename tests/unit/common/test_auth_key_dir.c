/* Tests of common/auth_key_dir.c: which names of a folder are keys, and that one that is none is
 * all bad. */
#include "common/auth_key_dir.h"

#include <sys/stat.h>

#include "common/auth_keys.h"
#include "common/auto.h"

#include "tests/unit/common/token_fixture.h"

#include "tests/support/run_suite.h"

static char keys_folder[64];
static struct token_keys *keys;
static struct err_text et;

static void put(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", keys_folder, name);
    write_file(path, text, strlen(text));
}

static void set_up(void)
{
    snprintf(keys_folder, sizeof(keys_folder), "%s/keys.d", folder);
    ck_assert_int_eq(mkdir(keys_folder, 0700), 0);
    keys = token_keys_create(&any_policy);
    ck_assert_ptr_nonnull(keys);
    et.text[0] = '\0';
}

static void tear_down(void)
{
    char command[128];

    token_keys_destroy(keys);
    snprintf(command, sizeof(command), "rm -r %s", keys_folder);
    ck_assert_int_eq(system(command), 0);
}

static void expect(jwt_alg_t alg, const char *kid, const char *key, enum token_verdict verdict)
{
    struct token_claims claims;
    enum token_why why;
    AUTO_FREE char *token = sign(alg, kid, GOOD, key);

    ck_assert_int_eq(token_verify(keys, bytes_of_string(token), NOW, &claims, &why), verdict);
}

START_TEST(test_the_name_says_kid_and_algorithm)
{
    put("a.hs256", SECRET "\n");
    put("2026-11.v2.rs256.pem", rsa.public_pem);
    put("e.es256.pem", ec.public_pem);
    ck_assert_msg(auth_key_dir_add(keys, keys_folder, &et) == 0, "%s", et.text);
    expect(JWT_ALG_HS256, "a", SECRET, TOKEN_VALID);
    expect(JWT_ALG_RS256, "2026-11.v2", rsa.secret_pem, TOKEN_VALID);
    expect(JWT_ALG_ES256, "e", ec.secret_pem, TOKEN_VALID);
    /* The attack: the public key as an HMAC secret. */
    expect(JWT_ALG_HS256, "e", ec.public_pem, TOKEN_UNVERIFIABLE);
    expect(JWT_ALG_HS256, "2026-11.v2", rsa.public_pem, TOKEN_UNVERIFIABLE);
}
END_TEST

START_TEST(test_hidden_names_are_no_keys)
{
    put("a.hs256", SECRET);
    put(".b.hs256.swp", "x");
    put(".hs256", "x");
    put("..data", "x");
    ck_assert_msg(auth_key_dir_add(keys, keys_folder, &et) == 0, "%s", et.text);
    expect(JWT_ALG_HS256, "a", SECRET, TOKEN_VALID);
}
END_TEST

/* As volumes of secrets are mounted. */
START_TEST(test_links_are_followed)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/a.hs256", keys_folder);
    ck_assert_int_eq(symlink(secret_file, path), 0);
    ck_assert_msg(auth_key_dir_add(keys, keys_folder, &et) == 0, "%s", et.text);
    expect(JWT_ALG_HS256, "a", SECRET, TOKEN_VALID);
}
END_TEST

static void refused(const char *part)
{
    ck_assert_int_eq(auth_key_dir_add(keys, keys_folder, &et), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, part) != NULL, "%s", et.text);
    ck_assert_msg(strstr(et.text, keys_folder) != NULL, "%s", et.text);
}

START_TEST(test_names_of_no_kind)
{
    static const char *const names[] = {"a",         "a.pem",    "a.hs256~", "a.hs512",
                                        "a.HS256",   "README",   "hs256",    "a.rs256",
                                        "a.es256.p", "a.hs256.", "a.hs256 "};

    ck_assert_int_lt(_i, (int)ARRAY_LEN(names));
    put("z.hs256", SECRET);
    put(names[_i], SECRET);
    refused("expected KID.hs256, KID.rs256.pem or KID.es256.pem");
}
END_TEST

START_TEST(test_bad_files)
{
    char path[128];

    put("a.hs256", "short");
    refused("a.hs256");
    put("a.hs256", SECRET);
    token_keys_destroy(keys);
    keys = token_keys_create(&any_policy);
    put("b.es256.pem", rsa.public_pem); /* a key of another kind */
    refused("b.es256.pem");
    put("b.es256.pem", ec.public_pem);
    token_keys_destroy(keys);
    keys = token_keys_create(&any_policy);
    put("a.rs256.pem", rsa.public_pem); /* a kid twice */
    refused("kid \"a\"");
    snprintf(path, sizeof(path), "%s/a.rs256.pem", keys_folder);
    ck_assert_int_eq(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/c.hs256", keys_folder);
    token_keys_destroy(keys);
    keys = token_keys_create(&any_policy);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused("no regular file");
    ck_assert_int_eq(unlink(path), 0);
    token_keys_destroy(keys);
    keys = token_keys_create(&any_policy);
    ck_assert_int_eq(symlink("absent", path), 0);
    refused("could not look at");
}
END_TEST

START_TEST(test_folders)
{
    char name[32];

    refused("is empty");
    for (int i = 0; i < 257; i++) {
        snprintf(name, sizeof(name), "%d.hs256", i);
        put(name, SECRET);
    }
    refused("257 files, expected 256");
    ck_assert_int_eq(auth_key_dir_add(keys, secret_file, &et), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, "could not read folder") != NULL, "%s", et.text);
    ck_assert_int_eq(auth_key_dir_add(keys, "/absent/keys", &et), ERR_CONFIG);
    ck_assert_msg(strstr(et.text, "/absent/keys") != NULL, "%s", et.text);
}
END_TEST

/* Beside the list, relative to the configuration file; a kid of both is an error. */
START_TEST(test_beside_the_list)
{
    static const char list[] =
        "auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; file = \"secret\"; } ); "
        "key_dir = \"keys.d\"; };";
    char config_file[64];
    struct token_keys *loaded = NULL;
    config_t config;

    put("e.es256.pem", ec.public_pem);
    snprintf(config_file, sizeof(config_file), "%s/test.conf", folder);
    write_file(config_file, list, strlen(list));
    config_init(&config);
    ck_assert_int_eq(config_read_file(&config, config_file), CONFIG_TRUE);
    ck_assert_int_eq(unlink(config_file), 0);
    ck_assert_msg(auth_keys_load(&any_policy, &config, "keys.d", &loaded, &et) == 0, "%s", et.text);
    token_keys_destroy(keys);
    keys = loaded;
    expect(JWT_ALG_HS256, "dev", SECRET, TOKEN_VALID);
    expect(JWT_ALG_ES256, "e", ec.secret_pem, TOKEN_VALID);

    loaded = NULL;
    put("dev.hs256", SECRET);
    ck_assert_int_eq(auth_keys_load(&any_policy, &config, "keys.d", &loaded, &et), ERR_CONFIG);
    ck_assert_ptr_null(loaded);
    ck_assert_msg(strstr(et.text, "kid \"dev\"") != NULL, "%s", et.text);
    config_destroy(&config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_key_dir");
    TCase *tcase = tcase_create("auth_key_dir");

    tcase_add_unchecked_fixture(tcase, make_keys, remove_keys);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_the_name_says_kid_and_algorithm);
    tcase_add_test(tcase, test_hidden_names_are_no_keys);
    tcase_add_test(tcase, test_links_are_followed);
    tcase_add_loop_test(tcase, test_names_of_no_kind, 0, 11);
    tcase_add_test(tcase, test_bad_files);
    tcase_add_test(tcase, test_folders);
    tcase_add_test(tcase, test_beside_the_list);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
