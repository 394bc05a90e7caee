/* constants - what everything in the simulation and in docs/scaling.md is computed from: each a
 * figure that was measured, a default of the configuration, or an assumption, which says so. */
#ifndef BECKON_BENCH_SCALING_CONSTANTS_H
#define BECKON_BENCH_SCALING_CONSTANTS_H

#include "common/err.h"

/* X(name, value): microseconds are processor time. The machine of docs/performance.md: two
 * processors, virtual, busy. */
#define SCALING_CONSTANTS(X)                                                                       \
    /* docs/performance.md, Budgets: TLS; own bytes of 19,000 (TCP) and 6,000 (TLS) */             \
    X(connector_bytes, 14557)                                                                      \
    X(kernel_bytes, 3768)                                                                          \
    X(broker_bytes, 796)                                                                           \
    /* ./dev bench edge, cpu_us of "clean connect", tls: of each kind of process */                \
    X(connect_tls_us, 585)                                                                         \
    X(connect_broker_us, 58)                                                                       \
    X(connect_postgres_us, 105)                                                                    \
    /* the same, tcp */                                                                            \
    X(connect_tcp_us, 154)                                                                         \
    /* ./dev bench edge, cpu_us of "1000/s", tcp: messages that come seldom, the dearest case */   \
    X(message_connector_us, 193)                                                                   \
    X(message_broker_us, 167)                                                                      \
    X(message_postgres_us, 702)                                                                    \
    /* the same of "window 16": messages that come together */                                     \
    X(together_connector_us, 3.1)                                                                  \
    X(together_broker_us, 2.3)                                                                     \
    X(together_postgres_us, 16.9)                                                                  \
    /* ./dev bench scaling --measure */                                                            \
    X(wal_bytes, 1100)                                                                             \
    X(stored_bytes, 480)                                                                           \
    X(move_bytes, 150)                                                                             \
    X(link_us_per_s, 400)                                                                          \
    X(link_bytes, 100000)                                                                          \
    /* broker/recover.c: of a person who is looked at after a start */                             \
    X(recover_us, 10)                                                                              \
    X(recover_range, 2000)                                                                         \
    X(recover_pause_ms, 20)                                                                        \
    /* broker/store_read.c: people in one read, of which one is under way */                       \
    X(read_people, 1000)                                                                           \
    /* common/wire.h: ANNOUNCE with two names of 16 bytes, one filter, no gaps */                  \
    X(announce_bytes, 160)                                                                         \
    /* assumption: to encode, or to decode and park one; a tenth of what a connect costs */        \
    X(announce_us, 6)                                                                              \
    /* defaults: membership.lease_ms, listen.accepts_per_s, listen.backlog, session.open_ms,       \
     * mqtt.connect_timeout_ms, retention.days and an eighth */                                    \
    X(lease_ms, 5000)                                                                              \
    X(accepts_per_s, 20000)                                                                        \
    X(backlog, 4096)                                                                               \
    X(open_ms, 2000)                                                                               \
    X(connect_timeout_ms, 10000)                                                                   \
    X(retention_days, 33.75)                                                                       \
    /* assumptions: how an app is used, what one machine is given, its network */                  \
    X(messages_per_day, 40)                                                                        \
    X(peak, 3)                                                                                     \
    X(zipf, 0.8)                                                                                   \
    X(devices_per_connector, 50000)                                                                \
    X(connectors_per_machine, 8)                                                                   \
    X(devices_per_broker, 250000)                                                                  \
    X(cell_devices, 2500000)                                                                       \
    X(postgres_processors, 16)                                                                     \
    X(jitter_s, 10)                                                                                \
    X(network_bytes_per_s, 1.25e9)                                                                 \
    X(round_trip_ms, 0.5)

struct constants {
#define SCALING_MEMBER(name, value) double name;
    SCALING_CONSTANTS(SCALING_MEMBER)
#undef SCALING_MEMBER
};

extern struct constants constants;

/* "NAME=VALUE". 0; ERR_CONFIG with et: no such constant, or no positive number. */
MUST_CHECK int constants_set(const char *text, struct err_text *et);
/* A line of JSON with all of them. */
void constants_print(void);

#endif
