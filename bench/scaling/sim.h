/* sim - discrete events: what is due next, and chance from a seed. One thread. Equal times come in
 * the order in which they were asked for, so a seed says everything. */
#ifndef BECKON_BENCH_SCALING_SIM_H
#define BECKON_BENCH_SCALING_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_event {
    double at; /* seconds */
    uint64_t order;
    uint32_t kind, who;
};

struct sim {
    double now;
    uint64_t random, order;
    struct sim_event *heap;
    size_t count, size;
};

void sim_begin(struct sim *sim, uint64_t seed);
void sim_end(struct sim *sim);
/* Ends the process when there is no memory: there is nothing to save. */
void sim_at(struct sim *sim, double at, uint32_t kind, uint32_t who);
/* False: nothing is due any more. Else it is now. */
bool sim_next(struct sim *sim, struct sim_event *ret_event);
uint64_t sim_draw(struct sim *sim);
/* From 0 to below 1. */
double sim_share(struct sim *sim);
void *sim_alloc(size_t count, size_t size);

#endif
