/* options - what one run of beckon-load does, from its command line. */
#ifndef BECKON_BENCH_LOAD_OPTIONS_H
#define BECKON_BENCH_LOAD_OPTIONS_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A process may have 20,000 descriptors on an ordinary system; some are not sockets. */
#define LOAD_CLIENTS_MAX 19000

struct load_options {
    const char *scenario;
    const char *host; /* a numeric address */
    uint32_t port;
    const char *ca;        /* PEM file: TLS; NULL: plain TCP */
    const char *token_key; /* file with the HS256 secret; NULL: clients have no password */
    const char *kid;
    const char *prefix;    /* of user names, so that runs do not meet */
    const char *topics;    /* "beckon", or "plain" for a broker without inboxes */
    const char *source;    /* first local address; NULL: the system's choice */
    uint32_t sources;      /* so many, one after the other */
    uint32_t level;        /* 4 or 5 */
    uint32_t clients;      /* of scenario pairs: half of them send */
    uint32_t concurrency;  /* connections being made at once */
    uint32_t connect_rate; /* a second, at fixed times; 0: as fast as concurrency allows */
    uint32_t keep_alive_s;
    uint32_t session_expiry_s;
    bool subscribe;
    bool websocket;
    uint32_t window;   /* unacknowledged publishes a sender */
    uint32_t rate;     /* publishes a second, all senders; 0: closed loop */
    uint32_t ahead;    /* fanout: messages that some receiver does not have */
    uint32_t senders;  /* offline: of the clients */
    uint32_t messages; /* offline: to each inbox */
    bool hold;         /* offline: before the drain */
    uint32_t payload;  /* bytes */
    uint32_t warm_s, seconds, drain_s;
    uint32_t connect_timeout_s; /* for all to be connected */
};

/* Borrows argv. 0; ERR_CONFIG with et; ERR_EXISTS after --help (printed). */
MUST_CHECK int load_options_read(int argc, char **argv, struct load_options *ret,
                                 struct err_text *et);

#endif
