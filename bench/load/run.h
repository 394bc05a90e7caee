/* run - one run of the generator: its engine, its scenario, what is measured. */
#ifndef BECKON_BENCH_LOAD_RUN_H
#define BECKON_BENCH_LOAD_RUN_H

#include "bench/load/engine.h"
#include "bench/load/histogram.h"

#include <jansson.h>

struct run;

/* What clients do. The functions run in this order. */
struct scenario {
    const char *name;
    /* ERR_* with et. */
    int (*prepare)(struct run *run, struct err_text *et);
    void (*setup)(void *arg, uint32_t number, struct client_setup *ret); /* arg: the run */
    struct engine_events events;                                         /* their arg: the run */
    /* Connects the first batch; NULL: all clients are one. ERR_*. */
    int (*begin)(struct run *run);
    /* Adds what was measured. */
    void (*report)(struct run *run, json_t *result);
    void (*fini)(struct run *run);
};

extern const struct scenario scenario_connect, scenario_fanout, scenario_idle, scenario_offline,
    scenario_pairs, scenario_storm;

struct run {
    struct load_options options;
    const struct scenario *scenario;
    struct loop *loop;
    struct engine engine;
    struct timer connect_timer;      /* for all to be connected */
    struct histogram connack, ready; /* since a client was due: to CONNACK; to open */
    void *state;                     /* the scenario's */
    char user[64], filter[80];       /* of client_setup */
    uint32_t id;                     /* in the stamps of this run's messages */
    uint8_t *payload;                /* of --payload bytes, for a stamp at its beginning */
    int failed;                      /* why the run can't go on, ERR_*; 0: it can */
};

/* Connects a batch, see engine_connect; those that are not connected in time end the run. */
MUST_CHECK int run_connect(struct run *run, uint32_t first, uint32_t count);
/* Ends the run; the reports follow. err: 0, or why it can't go on. */
void run_end(struct run *run, int err);
/* For engine_events: adds to the histograms. */
void run_on_connack(struct client *client, uint64_t now_ns);
void run_on_open(struct client *client, uint64_t now_ns);
/* run->filter becomes what user subscribes to. */
const char *run_inbox_filter(struct run *run, const char *user);
/* A broker without inboxes: topics are ours to choose. */
bool run_is_plain(const struct run *run);

/* {"count", "p50_us", ..., "max_us"} */
json_t *report_histogram(const struct histogram *histogram);
/* One object, one line. */
void report_print(json_t *object);

#endif
