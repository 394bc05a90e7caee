/* zap - who may link: answers ZeroMQ's question about each new connection's key (ZAP, RFC 27), in
 * the broker's own loop. Without an answer there is no connection. Loop thread. */
#ifndef BECKON_BROKER_ZAP_H
#define BECKON_BROKER_ZAP_H

#include "broker/curve_config.h"
#include "common/err.h"
#include "common/loop.h"

#include <stdint.h>

struct zap;

/* What a server's socket must have as ZMQ_ZAP_DOMAIN. */
#define ZAP_DOMAIN "beckon"

struct zap_config {
    struct loop *loop;
    void *context;                       /* ZeroMQ's: the handler is for all its sockets */
    const struct curve_clients *clients; /* borrowed; may change */
    uint64_t *accepted, *refused;        /* counted here */
};

/* To be made before the socket that it answers for is bound. ERR_SYSTEM, ERR_NO_MEMORY with et. */
MUST_CHECK int zap_create(const struct zap_config *config, struct zap **ret_zap,
                          struct err_text *et);
/* NULL is allowed. */
void zap_destroy(struct zap *zap);

#endif
