/* target - the server, and how clients reach it: addresses and, with TLS, the context of all
 * handshakes. */
#ifndef BECKON_BENCH_LOAD_TARGET_H
#define BECKON_BENCH_LOAD_TARGET_H

#include "bench/load/options.h"

#include <netinet/in.h>
#include <openssl/types.h>

struct target {
    struct sockaddr_storage server;
    socklen_t server_len;
    struct in_addr first_source;
    uint32_t sources; /* 0: the system's choice */
    const char *host;
    SSL_CTX *tls; /* NULL: plain TCP */
};

/* Borrows the options' strings. 0; ERR_CONFIG, ERR_SYSTEM with et. */
MUST_CHECK int target_init(struct target *target, const struct load_options *options,
                           struct err_text *et);
void target_fini(struct target *target);

#endif
