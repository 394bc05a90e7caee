/* Tokens from a stranger, and, because no fuzzer guesses a signature, headers and claims that are
 * signed here. The first byte says what the rest is: 't' a token, 'h' a header, 'c' claims.
 * Whatever comes out as valid must be something that a connector can use without looking at it
 * again. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/token.h"
#include "tests/fuzz/fuzz.h"

#define NOW UINT64_C(1780000000)
#define LEEWAY 60
#define SECRET "0123456789abcdef0123456789abcdef"

/* Keys whose secret halves nobody has. */
static const char rsa_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAx/t9QJeJ0+lQKG7TfZ1n\n"
                              "d10J/7se0nQlaGLH3TCiBU0bCeoq5Wyy9uLe6JsNy4Zm636J9MDQEZNL/UEhizwq\n"
                              "ICOdEQVaipJMo4ssZFYkYwTpM+O1pf7iyB5vi/h06HV3WYaXi5SWkIp4fhwbpUoG\n"
                              "Ogn6LbtrWMuUTExw3LLqZ3SAxNZ7TFW0tsecmOE4LCl8G7Mq5ROHgsbSe0VwlQwA\n"
                              "+D/tiKMgXD4JnRoJ1aHtEDOdmVT5SpjNVIuvkrT1T81tu/hRybmX5dVcPZO9T98b\n"
                              "g1CmyCd/R/gE8oXSWVOmj1BgHM/ePfbrB+7HSD3EE8rF9E4ZOo7b8pw0Rria+1Fv\n"
                              "GwIDAQAB\n"
                              "-----END PUBLIC KEY-----\n";
static const char ec_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                             "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETHm0UNRcQdnvqvAnNpqV/bRAJ2ZY\n"
                             "uC3v+uKtr7B5fnp8mG2hCexfXY5HEFPCfZrWU84SvLrSw9bDituoHKwSxg==\n"
                             "-----END PUBLIC KEY-----\n";

static void add_key(struct token_keys *keys, const char *kid, const char *algorithm,
                    const char *content)
{
    char path[32];
    int fd = memfd_create("key", MFD_CLOEXEC);

    if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content))
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (token_keys_add_file(keys, kid, algorithm, path, NULL) != 0)
        abort();
    close(fd);
}

static const struct token_keys *the_keys(void)
{
    static const struct token_policy policy = {
        .issuer = "", .audience = "beckon", .leeway_s = LEEWAY};
    static struct token_keys *keys; /* made once, kept until the process ends */

    if (keys == NULL) {
        keys = token_keys_create(&policy);
        if (keys == NULL)
            abort();
        add_key(keys, "", "HS256", SECRET);
        add_key(keys, "rsa", "RS256", rsa_pem);
        add_key(keys, "ec", "ES256", ec_pem);
    }
    return keys;
}

static void verify(struct bytes text)
{
    struct token_claims claims;
    enum token_why why = TOKEN_WHY_DEVICE; /* which it never gives */

    if (token_verify(the_keys(), text, NOW, &claims, &why) != TOKEN_VALID) {
        if (why == TOKEN_WHY_DEVICE || token_why_kind(why) >= TOKEN_KIND_COUNT)
            abort();
        return;
    }
    if (!name_is_user(bytes_of_string(claims.user)) || claims.expires_s + LEEWAY <= NOW ||
        (claims.device[0] != '\0' && !name_is_device(bytes_of_string(claims.device))))
        abort();
}

static void put_base64url(struct buf *out, const void *data, size_t size)
{
    uint8_t *to = buf_reserve(out, (size + 2) / 3 * 4 + 1);

    if (to == NULL)
        abort();
    size_t made = (size_t)EVP_EncodeBlock(to, data, (int)size);
    while (made > 0 && to[made - 1] == '=')
        made--;
    for (size_t i = 0; i < made; i++)
        to[i] = (uint8_t)(to[i] == '+' ? '-' : to[i] == '/' ? '_' : to[i]);
    out->len += made;
}

static void sign_and_verify(const void *header, size_t header_size, const void *claims,
                            size_t claims_size)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t mac_size;
    struct buf text = {0};

    put_base64url(&text, header, header_size);
    buf_put_u8(&text, '.');
    put_base64url(&text, claims, claims_size);
    if (!buf_ok(&text) || EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, SECRET, strlen(SECRET),
                                    text.data, text.len, mac, sizeof(mac), &mac_size) == NULL)
        abort();
    buf_put_u8(&text, '.');
    put_base64url(&text, mac, mac_size);
    verify(bytes_of(text.data, (uint32_t)text.len));
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    static const char claims[] = "{\"sub\":\"a\",\"exp\":1780000001,\"aud\":\"beckon\"}";

    if (size == 0 || size > INT32_MAX / 2)
        return 0;
    if (data[0] == 't')
        verify(bytes_of(data + 1, (uint32_t)size - 1));
    else if (data[0] == 'h')
        sign_and_verify(data + 1, size - 1, claims, strlen(claims));
    else if (data[0] == 'c')
        sign_and_verify(header, strlen(header), data + 1, size - 1);
    return 0;
}
