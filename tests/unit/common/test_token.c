/* Tests of common/token.c: tokens signed by libjwt or by hand, and what each of them grants, or why
 * it grants nothing. */
#include "common/token.h"

#include <openssl/err.h>

#include "common/auto.h"
#include "tests/unit/common/token_fixture.h"

#include "tests/support/run_suite.h"

static void put_base64url(char *out, size_t size, const void *data, size_t len)
{
    size_t used = strlen(out);

    ck_assert_uint_lt(used + (len + 2) / 3 * 4, size);
    size_t made = (size_t)EVP_EncodeBlock((unsigned char *)out + used, data, (int)len);
    while (made > 0 && out[used + made - 1] == '=')
        made--;
    out[used + made] = '\0';
    for (char *c = out + used; *c != '\0'; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
}

/* A token with exactly this header and these claims, signed with HS256 whatever they say. */
static void sign_by_hand(const char *header, const char *claims, char *out, size_t size)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t mac_len;

    out[0] = '\0';
    put_base64url(out, size, header, strlen(header));
    snprintf(out + strlen(out), size - strlen(out), ".");
    put_base64url(out, size, claims, strlen(claims));
    ck_assert_ptr_nonnull(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, SECRET, strlen(SECRET),
                                    (const unsigned char *)out, strlen(out), mac, sizeof(mac),
                                    &mac_len));
    snprintf(out + strlen(out), size - strlen(out), ".");
    put_base64url(out, size, mac, mac_len);
}

static void expect(const struct token_keys *keys, struct bytes text, enum token_verdict verdict,
                   const char *why)
{
    struct token_claims claims;
    enum token_why got_why = TOKEN_WHY_USER; /* which it never gives */
    enum token_verdict got = token_verify(keys, text, NOW, &claims, &got_why);
    const char *got_text = token_why_text(got_why);

    ck_assert_msg(got == verdict && (verdict == TOKEN_VALID || strcmp(got_text, why) == 0),
                  "verdict %d \"%s\", expected %d \"%s\" for %.*s", got, got_text, verdict, why,
                  BYTES_FMT(text));
    /* TLS connections of the same thread would read what is left here as an error of their own. */
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* Takes text. */
static void expect_signed(const struct token_keys *keys, char *text, enum token_verdict verdict,
                          const char *why)
{
    expect(keys, bytes_of_string(text), verdict, why);
    free(text);
}

START_TEST(test_every_algorithm)
{
    struct token_keys *keys = all_keys(&any_policy);

    expect_signed(keys, sign(JWT_ALG_HS256, "hs", GOOD, SECRET), TOKEN_VALID, "");
    expect_signed(keys, sign(JWT_ALG_RS256, "rsa", GOOD, rsa.secret_pem), TOKEN_VALID, "");
    expect_signed(keys, sign(JWT_ALG_ES256, "ec", GOOD, ec.secret_pem), TOKEN_VALID, "");
    token_keys_destroy(keys);
}
END_TEST

START_TEST(test_what_a_token_grants)
{
    struct token_keys *keys = all_keys(&any_policy);
    struct token_claims claims;
    enum token_why why;
    char *text = sign(JWT_ALG_HS256, "hs",
                      "{\"sub\":\"alice@example.org\",\"dev\":\"phone-1\",\"svc\":true,"
                      "\"iat\":1779999999,\"exp\":1780000600.75,\"foo\":{\"bar\":[1]}}",
                      SECRET);

    ck_assert_int_eq(token_verify(keys, bytes_of_string(text), NOW, &claims, &why), TOKEN_VALID);
    ck_assert_str_eq(claims.user, "alice@example.org");
    ck_assert_str_eq(claims.device, "phone-1");
    ck_assert(claims.service);
    ck_assert_uint_eq(claims.issued_s, 1779999999);
    ck_assert_uint_eq(claims.expires_s, 1780000600);
    free(text);

    text = sign(JWT_ALG_HS256, "hs", GOOD, SECRET);
    ck_assert_int_eq(token_verify(keys, bytes_of_string(text), NOW, &claims, &why), TOKEN_VALID);
    ck_assert_str_eq(claims.device, "");
    ck_assert(!claims.service);
    ck_assert_uint_eq(claims.issued_s, 0);
    free(text);
    token_keys_destroy(keys);
}
END_TEST

START_TEST(test_the_key_decides_the_algorithm)
{
    struct token_keys *keys = all_keys(&any_policy);
    char text[1024];

    /* The attack: the public key, which everyone has, as an HMAC secret. */
    expect_signed(keys, sign(JWT_ALG_HS256, "rsa", GOOD, rsa.public_pem), TOKEN_UNVERIFIABLE,
                  "algorithm is not the key's");
    expect_signed(keys, sign(JWT_ALG_HS256, "ec", GOOD, ec.public_pem), TOKEN_UNVERIFIABLE,
                  "algorithm is not the key's");
    expect_signed(keys, sign(JWT_ALG_RS256, "hs", GOOD, rsa.secret_pem), TOKEN_UNVERIFIABLE,
                  "algorithm is not the key's");
    expect_signed(keys, sign(JWT_ALG_ES256, "rsa", GOOD, ec.secret_pem), TOKEN_UNVERIFIABLE,
                  "algorithm is not the key's");
    expect_signed(keys, sign(JWT_ALG_HS512, "hs", GOOD, SECRET), TOKEN_UNVERIFIABLE,
                  "algorithm is not the key's");

    /* none: without a signature, and with something in its place. */
    expect_signed(keys, sign(JWT_ALG_NONE, "hs", GOOD, NULL), TOKEN_UNVERIFIABLE, "malformed");
    sign_by_hand("{\"alg\":\"none\",\"kid\":\"hs\"}", GOOD, text, sizeof(text));
    expect(keys, bytes_of_string(text), TOKEN_UNVERIFIABLE, "algorithm is not the key's");
    sign_by_hand("{\"alg\":\"nOnE\",\"kid\":\"hs\"}", GOOD, text, sizeof(text));
    expect(keys, bytes_of_string(text), TOKEN_UNVERIFIABLE, "algorithm is not the key's");
    token_keys_destroy(keys);
}
END_TEST

START_TEST(test_the_kid_picks_the_key)
{
    struct token_keys *keys = all_keys(&any_policy);

    expect_signed(keys, sign(JWT_ALG_HS256, "old", GOOD, SECRET), TOKEN_UNVERIFIABLE,
                  "unknown key");
    expect_signed(keys, sign(JWT_ALG_HS256, NULL, GOOD, SECRET), TOKEN_UNVERIFIABLE, "unknown key");
    ck_assert_int_eq(token_keys_add_file(keys, "", "HS256", secret_file, NULL), 0);
    expect_signed(keys, sign(JWT_ALG_HS256, NULL, GOOD, SECRET), TOKEN_VALID, "");
    token_keys_destroy(keys);

    keys = one_key("dev"); /* without a kid, the only key there is */
    expect_signed(keys, sign(JWT_ALG_HS256, NULL, GOOD, SECRET), TOKEN_VALID, "");
    expect_signed(keys, sign(JWT_ALG_HS256, "dev", GOOD, SECRET), TOKEN_VALID, "");
    expect_signed(keys, sign(JWT_ALG_HS256, "other", GOOD, SECRET), TOKEN_UNVERIFIABLE,
                  "unknown key");
    token_keys_destroy(keys);

    keys = token_keys_create(&any_policy);
    expect_signed(keys, sign(JWT_ALG_HS256, NULL, GOOD, SECRET), TOKEN_UNVERIFIABLE, "unknown key");
    token_keys_destroy(keys);
    token_keys_destroy(NULL);
}
END_TEST

static const struct {
    const char *header;
    const char *why; /* NULL: valid */
} headers[] = {
    {"{\"alg\":\"HS256\"}", NULL},
    {"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"x\":[1]}", NULL},
    {"{\"typ\":\"JWE\",\"alg\":\"HS256\"}", "malformed"},
    {"{\"alg\":\"HS256\",\"kid\":7}", "malformed header"},
    {"{\"alg\":\"HS256\",\"kid\":null}", "malformed header"},
    {"{\"alg\":\"HS256\",\"kid\":\"dev\",\"crit\":[\"b64\"]}", "unknown critical header"},
    {"{\"alg\":7}", "malformed"},
    {"{\"alg\":\"hs256\"}", "algorithm is not the key's"},
    {"{}", "malformed"},
    {"[]", "malformed"},
    {"7", "malformed"},
    {"{\"alg\":\"HS256\"", "malformed"},
    {"{\"alg\":\"HS256\"} x", "malformed"},
};

START_TEST(test_headers)
{
    struct token_keys *keys = one_key("dev");
    char text[1024];

    sign_by_hand(headers[_i].header, GOOD, text, sizeof(text));
    expect(keys, bytes_of_string(text), headers[_i].why == NULL ? TOKEN_VALID : TOKEN_UNVERIFIABLE,
           headers[_i].why);
    token_keys_destroy(keys);
}
END_TEST

static const struct {
    const char *claims;
    enum token_verdict verdict;
    const char *why;
} claims_cases[] = {
    /* Leeway is 60 s. */
    {"{\"sub\":\"a\",\"exp\":1779999941}", TOKEN_VALID, ""},
    {"{\"sub\":\"a\",\"exp\":1779999940}", TOKEN_REFUSED, "expired"},
    {"{\"sub\":\"a\",\"exp\":0}", TOKEN_REFUSED, "expired"},
    {"{\"sub\":\"a\",\"exp\":9007199254740992}", TOKEN_VALID, ""},
    {"{\"sub\":\"a\",\"exp\":1780000600,\"nbf\":1780000060}", TOKEN_VALID, ""},
    {"{\"sub\":\"a\",\"exp\":1780000600,\"nbf\":1780000061}", TOKEN_REFUSED, "not yet valid"},
    {"{\"sub\":\"a\",\"exp\":1780000600,\"iat\":1780000060}", TOKEN_VALID, ""},
    {"{\"sub\":\"a\",\"exp\":1780000600,\"iat\":1780000061}", TOKEN_REFUSED,
     "issued in the future"},
    {"{\"sub\":\"a\",\"exp\":1780000600,\"svc\":false,\"aud\":7,\"iss\":[]}", TOKEN_VALID, ""},
    {"{\"sub\":\"a\"}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"\",\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":7,\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a/b\",\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"dev\":7,\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"dev\":\"a@b\",\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"dev\":\"\",\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"svc\":1,\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"svc\":\"true\",\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"exp\":\"1780000600\"}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"exp\":-1}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"exp\":1e300}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"exp\":9007199254740994}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"exp\":99999999999999999999}", TOKEN_UNVERIFIABLE, "malformed"},
    {"{\"sub\":\"a\",\"exp\":1780000600,\"nbf\":true}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\",\"exp\":1780000600,\"iat\":null}", TOKEN_UNVERIFIABLE, "malformed claims"},
    {"{\"sub\":\"a\\u0000b\",\"exp\":1780000600}", TOKEN_UNVERIFIABLE, "malformed"},
    {"{\"sub\":\"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg\",\"exp\":"
     "1780000600}",
     TOKEN_UNVERIFIABLE, "malformed claims"},
    {"[\"sub\"]", TOKEN_UNVERIFIABLE, "malformed"},
    {"\"sub\"", TOKEN_UNVERIFIABLE, "malformed"},
    {"x", TOKEN_UNVERIFIABLE, "malformed"},
};

START_TEST(test_claims)
{
    struct token_keys *keys = one_key("");
    char text[1024];

    sign_by_hand("{\"alg\":\"HS256\"}", claims_cases[_i].claims, text, sizeof(text));
    expect(keys, bytes_of_string(text), claims_cases[_i].verdict, claims_cases[_i].why);
    token_keys_destroy(keys);
}
END_TEST

static const struct {
    const char *extra;
    enum token_verdict verdict;
    const char *why;
} audiences[] = {
    {",\"iss\":\"login\",\"aud\":\"beckon\"", TOKEN_VALID, ""},
    {",\"iss\":\"login\",\"aud\":[\"x\",7,\"beckon\"]", TOKEN_VALID, ""},
    {",\"iss\":\"login\",\"aud\":\"other\"", TOKEN_REFUSED, "other audience"},
    {",\"iss\":\"login\",\"aud\":[\"x\"]", TOKEN_REFUSED, "other audience"},
    {",\"iss\":\"login\",\"aud\":[]", TOKEN_REFUSED, "other audience"},
    {",\"iss\":\"login\",\"aud\":{\"beckon\":1}", TOKEN_REFUSED, "other audience"},
    {",\"iss\":\"login\"", TOKEN_REFUSED, "other audience"},
    {",\"iss\":\"Login\",\"aud\":\"beckon\"", TOKEN_REFUSED, "other issuer"},
    {",\"iss\":7,\"aud\":\"beckon\"", TOKEN_REFUSED, "other issuer"},
    {",\"aud\":\"beckon\"", TOKEN_REFUSED, "other issuer"},
};

START_TEST(test_issuer_and_audience)
{
    const struct token_policy policy = {.issuer = "login", .audience = "beckon", .leeway_s = 0};
    struct token_keys *keys = all_keys(&policy);
    char claims[256];

    snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"exp\":1780000001%s}", audiences[_i].extra);
    expect_signed(keys, sign(JWT_ALG_HS256, "hs", claims, SECRET), audiences[_i].verdict,
                  audiences[_i].why);
    token_keys_destroy(keys);
}
END_TEST

START_TEST(test_bad_signatures)
{
    struct token_keys *keys = all_keys(&any_policy);

    expect_signed(keys, sign(JWT_ALG_HS256, "hs", GOOD, "another secret of more than 32 bytes"),
                  TOKEN_UNVERIFIABLE, "bad signature");
    const struct {
        jwt_alg_t alg;
        const char *kid, *key;
    } signers[] = {{JWT_ALG_HS256, "hs", SECRET},
                   {JWT_ALG_RS256, "rsa", rsa.secret_pem},
                   {JWT_ALG_ES256, "ec", ec.secret_pem}};
    for (size_t i = 0; i < ARRAY_LEN(signers); i++) {
        char *text = sign(signers[i].alg, signers[i].kid, GOOD, signers[i].key);
        char *signature = strrchr(text, '.') + 1;
        char kept = signature[5];
        signature[5] = kept == 'A' ? 'B' : 'A';
        expect(keys, bytes_of_string(text), TOKEN_UNVERIFIABLE, "bad signature");
        signature[5] = kept;
        signature[4] = '\0'; /* cut */
        expect(keys, bytes_of_string(text), TOKEN_UNVERIFIABLE, "bad signature");
        free(text);
    }
    token_keys_destroy(keys);
}
END_TEST

/* Whichever character is another one, and wherever the token is cut, nothing is granted. */
START_TEST(test_tampered_anywhere)
{
    struct token_keys *keys = all_keys(&any_policy);
    struct token_claims claims;
    enum token_why why;
    char *text = sign(JWT_ALG_HS256, "hs", GOOD, SECRET);
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        char kept = text[i];
        static const char others[] = "AB.-=\n~";
        for (size_t k = 0; k < sizeof(others); k++) { /* NUL too */
            if (others[k] == kept)
                continue;
            text[i] = others[k];
            ck_assert_int_eq(token_verify(keys, bytes_of(text, (uint32_t)len), NOW, &claims, &why),
                             TOKEN_UNVERIFIABLE);
        }
        text[i] = kept;
        ck_assert_int_eq(token_verify(keys, bytes_of(text, (uint32_t)i), NOW, &claims, &why),
                         TOKEN_UNVERIFIABLE);
    }
    expect_signed(keys, text, TOKEN_VALID, "");
    token_keys_destroy(keys);
}
END_TEST

START_TEST(test_garbage)
{
    struct token_keys *keys = one_key("dev");
    static const char *const garbage[] = {
        ".",
        "..",
        "...",
        "a.b",
        "....",
        "a.b.c",
        "aa.bb.cc",
        "eyJhbGciOiJIUzI1NiJ9..x",
        ".eyJhbGciOiJIUzI1NiJ9.xx",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.",
        "Bearer aa.bb.cc",
        "aa.bb.cc.dd",
        "aa.bb.cc\n",
        "\xff\xfe.aa.bb",
        "e30.e30.e30",
        "W10.W10.W10",
    };
    static char big[3 * 8192];

    expect(keys, (struct bytes){0}, TOKEN_UNVERIFIABLE, "missing");
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++)
        expect(keys, bytes_of_string(garbage[i]), TOKEN_UNVERIFIABLE, "malformed");

    memset(big, 'a', sizeof(big));
    big[100] = big[200] = '.';
    expect(keys, bytes_of(big, 8192), TOKEN_UNVERIFIABLE, "malformed");
    expect(keys, bytes_of(big, 8193), TOKEN_UNVERIFIABLE, "too long");
    expect(keys, bytes_of(big, sizeof(big)), TOKEN_UNVERIFIABLE, "too long");
    token_keys_destroy(keys);
}
END_TEST

/* RFC 7515 appendix A.1: a signature that neither libjwt nor we made. It has no `sub`, so that it
 * is good shows in what is refused about it. */
START_TEST(test_signature_of_the_rfc)
{
    static const char text[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
        "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_"
        "wW1gFWFOEjXk";
    static const char key[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==";
    unsigned char secret[66];
    struct token_keys *keys = token_keys_create(&any_policy);

    ck_assert_int_eq(EVP_DecodeBlock(secret, (const unsigned char *)key, (int)strlen(key)), 66);
    write_file(other_file, secret, 64); /* 66 counts the padding */
    ck_assert_int_eq(token_keys_add_file(keys, "", "HS256", other_file, NULL), 0);
    expect(keys, bytes_of_string(text), TOKEN_UNVERIFIABLE, "malformed claims");
    token_keys_destroy(keys);

    keys = one_key("");
    expect(keys, bytes_of_string(text), TOKEN_UNVERIFIABLE, "bad signature");
    token_keys_destroy(keys);
}
END_TEST

START_TEST(test_sign)
{
    struct token_claims claims = {.user = "alice",
                                  .device = "phone",
                                  .service = true,
                                  .issued_s = NOW,
                                  .expires_s = NOW + 10};
    struct token_claims got;
    struct token_keys *keys = all_keys(&any_policy);
    struct err_text et = {""};
    enum token_why why;
    char *text = token_sign_hs256(&claims, "hs", secret_file, &et);

    ck_assert_msg(text != NULL, "%s", et.text);
    ck_assert_int_eq(token_verify(keys, bytes_of_string(text), NOW, &got, &why), TOKEN_VALID);
    ck_assert_str_eq(got.user, "alice");
    ck_assert_str_eq(got.device, "phone");
    ck_assert(got.service);
    ck_assert_uint_eq(got.issued_s, NOW);
    ck_assert_uint_eq(got.expires_s, NOW + 10);
    free(text);
    token_keys_destroy(keys);

    /* Without kid, device and svc. */
    claims = (struct token_claims){.user = "bob", .expires_s = NOW + 10};
    keys = one_key("");
    text = token_sign_hs256(&claims, "", secret_file, &et);
    ck_assert_msg(text != NULL, "%s", et.text);
    ck_assert_int_eq(token_verify(keys, bytes_of_string(text), NOW, &got, &why), TOKEN_VALID);
    ck_assert_str_eq(got.user, "bob");
    ck_assert_str_eq(got.device, "");
    ck_assert(!got.service && got.issued_s == 0);
    free(text);
    token_keys_destroy(keys);

    ck_assert_ptr_null(token_sign_hs256(&claims, "", folder, &et));
    ck_assert_ptr_nonnull(strstr(et.text, folder));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("token");
    TCase *verify = tcase_create("verify");

    /* Unchecked: an RSA key costs too much to be made for each test; no threads are involved. */
    tcase_add_unchecked_fixture(verify, make_keys, remove_keys);
    tcase_set_timeout(verify, 30);
    tcase_add_test(verify, test_every_algorithm);
    tcase_add_test(verify, test_what_a_token_grants);
    tcase_add_test(verify, test_the_key_decides_the_algorithm);
    tcase_add_test(verify, test_the_kid_picks_the_key);
    tcase_add_loop_test(verify, test_headers, 0, (int)ARRAY_LEN(headers));
    tcase_add_loop_test(verify, test_claims, 0, (int)ARRAY_LEN(claims_cases));
    tcase_add_loop_test(verify, test_issuer_and_audience, 0, (int)ARRAY_LEN(audiences));
    tcase_add_test(verify, test_bad_signatures);
    tcase_add_test(verify, test_tampered_anywhere);
    tcase_add_test(verify, test_garbage);
    tcase_add_test(verify, test_signature_of_the_rfc);
    tcase_add_test(verify, test_sign);
    suite_add_tcase(suite, verify);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
