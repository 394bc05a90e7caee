/* connector - what the parts of a connector process share: the loop, the options in force, and the
 * parts themselves. One per process, made in main, passed to everybody. Loop thread only. */
#ifndef BECKON_CONNECTOR_CONNECTOR_H
#define BECKON_CONNECTOR_CONNECTOR_H

#include "common/buf.h"
#include "common/loop.h"

#include "connector/door.h"
#include "connector/options.h"
#include "connector/proxy_trust.h"
#include "connector/ws_policy.h"

struct auth;
struct brokers;
struct conns;
struct ended_sessions;
struct limits;
struct listener;
struct tls_context;
struct wills;

struct metrics {
#define METRIC(name, help) uint64_t name;
#include "connector/metrics.def"
#undef METRIC
};

/* What is read from one client in one turn: enough to fill a fast link, little enough that one
 * client can't hold up the others for more than a fraction of a millisecond. */
#define READ_BYTES_PER_TURN 65536
/* Shared by all connections: a read behind what an earlier one left over. */
#define SCRATCH_BYTES 131072

struct connector {
    struct loop *loop;
    struct options options;
    struct metrics metrics;
    struct conns *conns;
    struct brokers *brokers;
    struct wills *wills;
    struct ended_sessions *ended;
    struct auth *auth;
    struct limits *limits;
    struct tls_context *tls; /* for new connections; NULL: no certificates */
    uint32_t tls_steps;      /* of handshakes, left of this turn: transport_tls.h */
    struct ws_policy ws_policy;
    struct proxy_trust proxy_trust;
    struct listener *listeners[DOOR_COUNT]; /* NULL: not enabled, or the process stops */
    uint8_t *scratch;                       /* SCRATCH_BYTES: the packets being handled lie here */
    uint64_t *seqs;        /* twice INFLIGHT_MAX: lists on their way into a record */
    struct buf properties; /* of the packet being handled, to be forwarded */
    struct buf record;     /* where a request is encoded while there is no link */
};

/* The counters as one log line. */
void metrics_log(const struct metrics *metrics);

#endif
