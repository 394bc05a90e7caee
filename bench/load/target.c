#include "bench/load/target.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static int read_address(const struct load_options *options, struct target *target)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&target->server;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&target->server;

    if (inet_pton(AF_INET, options->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)options->port);
        target->server_len = sizeof(*v4);
        return 0;
    }
    if (inet_pton(AF_INET6, options->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)options->port);
        target->server_len = sizeof(*v6);
        return 0;
    }
    return ERR_CONFIG;
}

static int make_tls(struct target *target, const char *ca, struct err_text *et)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL)
        return err_set(et, ERR_SYSTEM, "could not set up TLS");
    target->tls = ctx;
    if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
        return err_set(et, ERR_CONFIG, "--ca: \"%s\" can't be used: %s", ca,
                       ERR_reason_error_string(ERR_peek_last_error()));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return 0;
}

int target_init(struct target *target, const struct load_options *options, struct err_text *et)
{
    *target = (struct target){.host = options->host};
    if (read_address(options, target) < 0)
        return err_set(et, ERR_CONFIG, "--host is \"%s\", expected a numeric address",
                       options->host);
    if (options->source != NULL) {
        if (target->server.ss_family != AF_INET ||
            inet_pton(AF_INET, options->source, &target->first_source) != 1)
            return err_set(et, ERR_CONFIG,
                           "--source is \"%s\", expected an IPv4 address, as --host",
                           options->source);
        target->sources = options->sources;
    }
    return options->ca != NULL ? make_tls(target, options->ca, et) : 0;
}

void target_fini(struct target *target)
{
    SSL_CTX_free(target->tls);
    target->tls = NULL;
}
