#include "connector/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct tls_ticket_key) == TLS_TICKET_KEY_BYTES, "keys are read as they lie");

int tls_tickets_read(const char *path, struct tls_tickets *ret_tickets, struct err_text *et)
{
    /* One byte more than allowed, to see that there is more. */
    unsigned char bytes[TLS_TICKET_KEYS_MAX * TLS_TICKET_KEY_BYTES + 1];
    FILE *in = fopen(path, "re");
    size_t len;
    int r = 0;

    if (in == NULL)
        return err_set(et, ERR_CONFIG, "tls.ticket_keys: could not open \"%s\": %m", path);
    setbuf(in, NULL); /* no copy of the keys stays behind */
    len = fread(bytes, 1, sizeof(bytes), in);
    if (ferror(in) != 0)
        r = err_set(et, ERR_CONFIG, "tls.ticket_keys: could not read \"%s\": %m", path);
    else if (len == 0 || len % TLS_TICKET_KEY_BYTES != 0)
        r = err_set(et, ERR_CONFIG,
                    "tls.ticket_keys: \"%s\" has %zu bytes%s, expected 1 to %d keys of %d random "
                    "bytes",
                    path, len, len == sizeof(bytes) ? " or more" : "", TLS_TICKET_KEYS_MAX,
                    TLS_TICKET_KEY_BYTES);
    fclose(in);
    if (r == 0) {
        memcpy(ret_tickets->keys, bytes, len);
        ret_tickets->count = (unsigned)(len / TLS_TICKET_KEY_BYTES);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return r;
}

static int set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
    char digest[] = "SHA256";
    unsigned char hmac[TLS_TICKET_HMAC_BYTES]; /* the parameter is not const */
    OSSL_PARAM params[3];
    int ok;

    memcpy(hmac, key->hmac, sizeof(hmac));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, hmac, sizeof(hmac));
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_end();
    ok = EVP_MAC_CTX_set_params(mac, params);
    OPENSSL_cleanse(hmac, sizeof(hmac));
    return ok;
}

static int encrypt_with(const struct tls_ticket_key *key, unsigned char *name, unsigned char *iv,
                        EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
        return -1;
    memcpy(name, key->name, TLS_TICKET_NAME_BYTES);
    if (EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1)
        return -1;
    return set_mac(mac, key) == 1 ? 1 : -1;
}

int tls_tickets_use(const struct tls_tickets *tickets, unsigned char name[TLS_TICKET_NAME_BYTES],
                    unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                    int encrypt)
{
    if (encrypt)
        return encrypt_with(&tickets->keys[0], name, iv, cipher, mac);
    for (unsigned i = 0; i < tickets->count; i++) {
        const struct tls_ticket_key *key = &tickets->keys[i];

        if (memcmp(name, key->name, TLS_TICKET_NAME_BYTES) != 0)
            continue;
        if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1 ||
            set_mac(mac, key) != 1)
            return -1;
        return i == 0 ? 1 : 2;
    }
    return 0;
}
