/* http_config - see the header. Certificate and key are parsed here although libmicrohttpd does it
 * again: it says only that it could not start. */
#include "broker/http_config.h"

#include "common/auth_keys.h"
#include "common/auto.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX 65536 /* a certificate with its chain has some KiB */

/* --- the address --- */

/* HOST:PORT, [HOST]:PORT */
static int parse_listen(const char *listen, struct sockaddr_storage *ret, struct err_text *et)
{
    const char *colon = strrchr(listen, ':');
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    char host[64] = "";
    unsigned long port = 0;
    char *end = NULL;

    if (colon && colon[1] >= '0' && colon[1] <= '9') { /* strtoul takes spaces and signs */
        snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
        port = strtoul(colon + 1, &end, 10);
    }
    in.sin_port = in6.sin6_port = htons((uint16_t)port);
    if (end && *end == '\0' && port > 0 && port < 65536) {
        size_t len = strlen(host);

        if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
            memcpy(ret, &in, sizeof(in));
            return 0;
        }
        if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
            host[len - 1] = '\0';
            if (inet_pton(AF_INET6, host + 1, &in6.sin6_addr) == 1) {
                memcpy(ret, &in6, sizeof(in6));
                return 0;
            }
        }
    }
    return err_set(et, ERR_CONFIG,
                   "http.listen is \"%s\", expected ADDRESS:PORT, as 127.0.0.1:7480 or [::1]:7480",
                   listen);
}

/* --- certificate and key --- */

static int read_open_file(FILE *in, const char *option, const char *path, char **ret_text,
                          struct err_text *et)
{
    AUTO_FREE char *text = calloc(1, FILE_MAX);
    size_t len;

    if (!text)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    len = fread(text, 1, FILE_MAX, in);
    if (ferror(in))
        return err_set(et, ERR_CONFIG, "%s: could not read \"%s\": %m", option, path);
    if (len == FILE_MAX)
        return err_set(et, ERR_CONFIG, "%s: \"%s\" has %d bytes or more, expected PEM", option,
                       path, FILE_MAX);
    *ret_text = text;
    text = NULL;
    return 0;
}

static int read_file(const config_t *config, const char *option, const char *file, char **ret_text,
                     struct err_text *et)
{
    AUTO_FREE char *path = auth_keys_path(config_lookup(config, option), file);
    FILE *in = path ? fopen(path, "re") : NULL;
    int r;

    if (!path)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    if (!in)
        return err_set(et, ERR_CONFIG, "%s: could not open \"%s\": %m", option, path);
    r = read_open_file(in, option, path, ret_text, et);
    fclose(in);
    return r;
}

/* Nobody is there to be asked for a passphrase. */
static int on_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static int check_pair(const struct options *o, const char *certificate, const char *key,
                      struct err_text *et)
{
    BIO *certificate_in = BIO_new_mem_buf(certificate, -1), *key_in = BIO_new_mem_buf(key, -1);
    X509 *x509 =
        certificate_in ? PEM_read_bio_X509(certificate_in, NULL, on_passphrase, NULL) : NULL;
    EVP_PKEY *pkey = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, on_passphrase, NULL) : NULL;
    int r = 0;

    if (!x509)
        r = err_set(et, ERR_CONFIG, "http.tls_certificate: \"%s\" has no certificate, expected PEM",
                    o->http_tls_certificate);
    else if (!pkey)
        r = err_set(et, ERR_CONFIG,
                    "http.tls_key: \"%s\" has no private key, expected PEM without a passphrase",
                    o->http_tls_key);
    else if (X509_check_private_key(x509, pkey) != 1)
        r = err_set(et, ERR_CONFIG, "http.tls_key: \"%s\" is not the key of the certificate \"%s\"",
                    o->http_tls_key, o->http_tls_certificate);
    EVP_PKEY_free(pkey);
    X509_free(x509);
    BIO_free(key_in);
    BIO_free(certificate_in);
    ERR_clear_error(); /* of this thread: other users of OpenSSL would find it */
    return r;
}

static int read_tls(const struct options *o, const config_t *config, struct http_config *into,
                    struct err_text *et)
{
    int r;

    if (o->http_tls_certificate[0] == '\0' && o->http_tls_key[0] == '\0')
        return 0;
    if (o->http_tls_certificate[0] == '\0' || o->http_tls_key[0] == '\0')
        return err_set(et, ERR_CONFIG,
                       "%s is not set and %s is, expected both (TLS) or neither (plain HTTP)",
                       o->http_tls_key[0] == '\0' ? "http.tls_key" : "http.tls_certificate",
                       o->http_tls_key[0] == '\0' ? "http.tls_certificate" : "http.tls_key");
    r = read_file(config, "http.tls_certificate", o->http_tls_certificate, &into->certificate, et);
    if (r == 0)
        r = read_file(config, "http.tls_key", o->http_tls_key, &into->key, et);
    return r < 0 ? r : check_pair(o, into->certificate, into->key, et);
}

/* --- all of it --- */

int http_config_read_tokens(const struct options *options, const config_t *config,
                            struct token_keys **ret_tokens, struct err_text *et)
{
    const struct token_policy policy = {.issuer = options->auth_issuer,
                                        .audience = options->auth_audience,
                                        .leeway_s = options->auth_leeway_s};

    return auth_keys_load(&policy, config, ret_tokens, et);
}

int http_config_read(const struct options *options, const config_t *config,
                     struct http_config *ret_config, struct err_text *et)
{
    struct http_config read = {0};
    int r = parse_listen(options->http_listen, &read.address, et);

    if (r == 0)
        r = read_tls(options, config, &read, et);
    if (r == 0)
        r = http_config_read_tokens(options, config, &read.tokens, et);
    if (r == 0)
        *ret_config = read;
    else
        http_config_fini(&read);
    return r;
}

void http_config_fini(struct http_config *config)
{
    free(config->certificate);
    free(config->key);
    token_keys_destroy(config->tokens);
    *config = (struct http_config){0};
}
