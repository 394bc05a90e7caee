/* A key that turns out to be unfit when the first client connects has already cost an outage. So
 * all that can be wrong with a key file is found when it is loaded, at start-up: its size, its
 * form, and whether it is a key of the kind and strength that its algorithm asks for. Verification
 * itself works on the file's bytes, because that is what libjwt takes. */
#include "common/token_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

/* An RSA public key of 16,384 bits has 3 KiB as PEM. */
#define KEY_FILE_MAX (16 * 1024)
/* RFC 7518 section 3.2: as long as the hash. */
#define SECRET_MIN_LEN 32
/* RFC 7518 section 3.3. */
#define RSA_MIN_BITS 2048

static int check_secret(const unsigned char *data, size_t len, const char *file,
                        struct err_text *et);
static int check_rsa(const unsigned char *data, size_t len, const char *file, struct err_text *et);
static int check_p256(const unsigned char *data, size_t len, const char *file, struct err_text *et);

static const struct algorithm {
    const char *name; /* as `alg` has it */
    bool text;        /* the key is one line of text: its newline doesn't belong to it */
    int (*check)(const unsigned char *data, size_t len, const char *file, struct err_text *et);
} algorithms[] = {
    {"HS256", true, check_secret},
    {"RS256", false, check_rsa},
    {"ES256", false, check_p256},
};

void token_key_fini(struct token_key *key)
{
    free(key->kid);
    if (key->data != NULL)
        OPENSSL_cleanse(key->data, key->len);
    free(key->data);
}

/* Returns owned bytes through ret_data; the caller cleanses them. */
static int read_file(const char *file, unsigned char **ret_data, size_t *ret_len,
                     struct err_text *et)
{
    FILE *in = fopen(file, "rbe");
    if (in == NULL)
        return err_set(et, ERR_CONFIG, "could not open key file \"%s\": %s", file, strerror(errno));

    setbuf(in, NULL); /* no copy of a secret in a buffer that isn't cleansed */
    int result = 0;
    unsigned char *data = malloc(KEY_FILE_MAX + 1);
    size_t len = 0;
    if (data != NULL)
        len = fread(data, 1, KEY_FILE_MAX + 1, in);
    if (data == NULL)
        result = err_set(et, ERR_CONFIG, "could not read key file \"%s\": out of memory", file);
    else if (ferror(in))
        result =
            err_set(et, ERR_CONFIG, "could not read key file \"%s\": %s", file, strerror(errno));
    else if (len > KEY_FILE_MAX)
        result =
            err_set(et, ERR_CONFIG, "key file \"%s\" is larger than %d bytes", file, KEY_FILE_MAX);
    fclose(in); /* only read from: nothing can be lost */

    if (result != 0) {
        if (data != NULL)
            OPENSSL_cleanse(data, len);
        free(data);
        return result;
    }
    *ret_data = data;
    *ret_len = len;
    return 0;
}

static int check_secret(const unsigned char *data, size_t len, const char *file,
                        struct err_text *et)
{
    (void)data;
    if (len < SECRET_MIN_LEN)
        return err_set(et, ERR_CONFIG,
                       "key file \"%s\" has %zu bytes, expected an HS256 secret of at least %d",
                       file, len, SECRET_MIN_LEN);
    return 0;
}

/* OpenSSL would ask for a passphrase on the terminal. */
static int on_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

/* Returns owned, or NULL. */
static EVP_PKEY *read_public_key(const unsigned char *data, size_t len)
{
    EVP_PKEY *pkey = NULL;
    BIO *bio = BIO_new_mem_buf(data, (int)len); /* at most KEY_FILE_MAX */

    if (bio != NULL)
        pkey = PEM_read_bio_PUBKEY(bio, NULL, on_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return pkey;
}

static int check_rsa(const unsigned char *data, size_t len, const char *file, struct err_text *et)
{
    EVP_PKEY *pkey = read_public_key(data, len);
    int result = 0;

    if (pkey == NULL || !EVP_PKEY_is_a(pkey, "RSA"))
        result = err_set(et, ERR_CONFIG,
                         "key file \"%s\" is no RSA public key in PEM form, "
                         "expected for RS256",
                         file);
    else if (EVP_PKEY_get_bits(pkey) < RSA_MIN_BITS)
        result = err_set(et, ERR_CONFIG,
                         "key file \"%s\" has an RSA key of %d bits, expected at "
                         "least %d for RS256",
                         file, EVP_PKEY_get_bits(pkey), RSA_MIN_BITS);
    EVP_PKEY_free(pkey);
    return result;
}

static int check_p256(const unsigned char *data, size_t len, const char *file, struct err_text *et)
{
    EVP_PKEY *pkey = read_public_key(data, len);
    char group[32] = ""; /* longer than any curve's name that is compared */
    int result = 0;

    if (pkey == NULL || !EVP_PKEY_is_a(pkey, "EC") ||
        EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 ||
        strcmp(group, "prime256v1") != 0)
        result = err_set(et, ERR_CONFIG,
                         "key file \"%s\" is no P-256 public key in PEM form, "
                         "expected for ES256",
                         file);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return result;
}

static const struct algorithm *find_algorithm(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    }
    return NULL;
}

int token_key_load(const char *kid, const char *algorithm, const char *file,
                   struct token_key *ret_key, struct err_text *et)
{
    const struct algorithm *known = find_algorithm(algorithm);

    if (known == NULL)
        return err_set(et, ERR_CONFIG,
                       "key file \"%s\" has algorithm \"%s\", expected HS256, RS256 or ES256", file,
                       algorithm);
    struct token_key key = {.algorithm = known->name};
    int result = read_file(file, &key.data, &key.len, et);
    if (result != 0)
        return result;
    if (known->text && key.len > 0 && key.data[key.len - 1] == '\n')
        key.len--;
    result = known->check(key.data, key.len, file, et);
    key.kid = strdup(kid);
    if (result == 0 && key.kid == NULL)
        result = err_set(et, ERR_CONFIG, "could not load key file \"%s\": out of memory", file);
    if (result != 0) {
        token_key_fini(&key);
        return result;
    }
    *ret_key = key;
    return 0;
}
