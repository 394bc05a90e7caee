/* broker - what the parts of a broker process share: the loop, the options in force, and the parts
 * themselves. One per process, made in main, passed to everybody. Loop thread only. */
#ifndef BECKON_BROKER_BROKER_H
#define BECKON_BROKER_BROKER_H

#include "broker/options.h"
#include "broker/routing.h"
#include "common/hash.h"
#include "common/loop.h"

#include <sys/queue.h>

struct alerts;
struct bus;
struct http;
struct janitor;
struct others;
struct ownership;
struct pg_target;
struct plugin;
struct plugins;
struct store;
struct user;
struct users;
struct publishes;
struct recover;
struct sessions;

struct metrics {
#define METRIC(name, help) uint64_t name;
#include "broker/metrics.def"
#undef METRIC
};

struct broker {
    struct loop *loop;
    struct options options;
    struct metrics metrics;
    struct pg_target *database;
    struct ownership *ownership;
    struct store *store;
    struct users *users;
    struct publishes *publishes;
    struct sessions *sessions;
    struct bus *bus;
    struct others *others;
    struct http *http;
    struct plugins *plugins;
    struct alerts *alerts;
    struct routing routing;
    uint64_t settled_ms; /* monotonic: until then connectors announce, and nothing is pushed */
    struct janitor *janitor;
    int64_t clock_ahead_ms; /* PostgreSQL's clock before this machine's; retention.h */
    struct recover *recover;
    struct hash devices; /* by handle */
    uint32_t last_device_handle;
    STAILQ_HEAD(, user) touched; /* devices to be pumped this turn */
    uint64_t generation;         /* of the view in force; 0 before the first: ownership.h */
    uint64_t record_generation;  /* of the record that is being dispatched: its sender's view */
    bool suspended;              /* the lease is over: nothing is pushed, no deadline runs */
    void (*on_serving)(struct broker *broker); /* the first view is in force */
};

/* The counters as one log line. */
void metrics_log(const struct metrics *metrics);

#endif
