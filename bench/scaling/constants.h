/* constants - what everything in the simulation and in docs/scaling.md is computed from: each a
 * figure that was measured, a default of the configuration, or an assumption, which says so. */
#ifndef BECKON_BENCH_SCALING_CONSTANTS_H
#define BECKON_BENCH_SCALING_CONSTANTS_H

#include "common/err.h"

/* X(name, value): microseconds are processor time, on the machine of docs/performance.md (two
 * processors, virtual, shared: a calm one needs less). docs/scaling.md has command, date and load
 * average of each. */
#define SCALING_CONSTANTS(X)                                                                       \
    /* docs/performance.md, Budgets: TLS of 6,000; sockets; broker and idle time of 101,123 */     \
    X(connector_bytes, 14557)                                                                      \
    X(kernel_bytes, 3768)                                                                          \
    X(broker_bytes, 825)                                                                           \
    X(idle_connector_us, 0.082)                                                                    \
    X(idle_broker_us, 0.074)                                                                       \
    /* ./dev bench edge, cpu_us of "kept connect again": tls and tcp; what follows is of tcp */    \
    X(connect_tls_us, 860)                                                                         \
    X(connect_tcp_us, 156)                                                                         \
    X(connect_broker_us, 80)                                                                       \
    X(connect_postgres_us, 96)                                                                     \
    /* ./dev bench scaling --measure, "300/s, 2000 pairs": the dearest case, each alone */         \
    X(message_connector_us, 270)                                                                   \
    X(message_broker_us, 222)                                                                      \
    X(message_postgres_us, 730)                                                                    \
    X(wal_bytes, 1300)                                                                             \
    /* the same, "window 16": messages that come together */                                       \
    X(together_postgres_us, 18.8)                                                                  \
    /* the same, "on the disk", heaps but for indexes; a person is users, session, subscription,   \
     * push, and the indexes of these, of device and of user_head */                               \
    X(inbox_bytes, 372)                                                                            \
    X(inbox_index_bytes, 36)                                                                       \
    X(move_bytes, 77)                                                                              \
    X(move_index_bytes, 56)                                                                        \
    X(device_bytes, 191)                                                                           \
    X(head_bytes, 125)                                                                             \
    X(conversation_bytes, 140)                                                                     \
    X(conversation_index_bytes, 51)                                                                \
    X(person_bytes, 693)                                                                           \
    /* the same, "an idle link", to the broker and to the connector */                             \
    X(link_us_per_s, 612)                                                                          \
    X(link_connector_us, 1016)                                                                     \
    /* the same, "after a start": who is looked at, and who is announced and read */               \
    X(recover_us, 15)                                                                              \
    X(announce_connector_us, 3.2)                                                                  \
    X(announce_broker_us, 14)                                                                      \
    X(load_us, 31)                                                                                 \
    /* broker/recover.c, broker/store_read.c: people in one look or read, and between looks */     \
    X(recover_range, 2000)                                                                         \
    X(recover_pause_ms, 20)                                                                        \
    X(read_people, 1000)                                                                           \
    /* defaults: membership.lease_ms, listen.accepts_per_s, listen.backlog, session.open_ms,       \
     * mqtt.connect_timeout_ms, retention.days, its eighth, trace.days; PostgreSQL's               \
     * checkpoint_timeout */                                                                       \
    X(lease_ms, 5000)                                                                              \
    X(accepts_per_s, 20000)                                                                        \
    X(backlog, 4096)                                                                               \
    X(open_ms, 2000)                                                                               \
    X(connect_timeout_ms, 10000)                                                                   \
    X(retention_days, 30)                                                                          \
    X(partition_days, 3.75)                                                                        \
    X(trace_days, 7)                                                                               \
    X(checkpoint_s, 300)                                                                           \
    /* assumptions: how an app is used, what one machine is given, its network */                  \
    X(messages_per_day, 40)                                                                        \
    X(peak, 3)                                                                                     \
    X(zipf, 0.8)                                                                                   \
    X(conversations, 20)                                                                           \
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
