/* http_config - see the header. Certificate and key are parsed here although libmicrohttpd does it
 * again: it says only that it could not start. */
#include "broker/http_config.h"

#include "common/auth_keys.h"
#include "common/auto.h"
#include "common/option_group.h"
#include "common/pem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

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

static int read_pair(const struct options *o, const config_t *config, struct http_config *into,
                     struct err_text *et)
{
    AUTO_FREE char *certificate =
        option_path(config_lookup(config, "http.tls_certificate"), o->http_tls_certificate);
    AUTO_FREE char *key = option_path(config_lookup(config, "http.tls_key"), o->http_tls_key);
    const struct pem_source certificate_source = {"http.tls_certificate", certificate};
    const struct pem_source key_source = {"http.tls_key", key};
    struct pem_pair pair;
    int r;

    if (!certificate || !key)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = pem_read(&certificate_source, &into->certificate, et);
    if (r == 0)
        r = pem_read(&key_source, &into->key, et);
    if (r == 0)
        r = pem_pair_parse(&certificate_source, into->certificate, &key_source, into->key, &pair,
                           et);
    if (r == 0)
        pem_pair_fini(&pair);
    return r;
}

static int read_tls(const struct options *o, const config_t *config, struct http_config *into,
                    struct err_text *et)
{
    if (o->http_tls_certificate[0] == '\0' && o->http_tls_key[0] == '\0')
        return 0;
    if (o->http_tls_certificate[0] == '\0' || o->http_tls_key[0] == '\0')
        return err_set(et, ERR_CONFIG,
                       "%s is not set and %s is, expected both (TLS) or neither (plain HTTP)",
                       o->http_tls_key[0] == '\0' ? "http.tls_key" : "http.tls_certificate",
                       o->http_tls_key[0] == '\0' ? "http.tls_certificate" : "http.tls_key");
    return read_pair(o, config, into, et);
}

/* --- all of it --- */

int http_config_read_tokens(const struct options *options, const char *key_dir,
                            const config_t *config, struct token_keys **ret_tokens,
                            struct err_text *et)
{
    const struct token_policy policy = {.issuer = options->auth_issuer,
                                        .audience = options->auth_audience,
                                        .leeway_s = options->auth_leeway_s};

    return auth_keys_load(&policy, config, key_dir, ret_tokens, et);
}

int http_config_read(const struct options *options, const config_t *config,
                     struct http_config *ret_config, struct err_text *et)
{
    struct http_config read = {0};
    int r = parse_listen(options->http_listen, &read.address, et);

    if (r == 0)
        r = read_tls(options, config, &read, et);
    if (r == 0)
        r = http_config_read_tokens(options, options->auth_key_dir, config, &read.tokens, et);
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
