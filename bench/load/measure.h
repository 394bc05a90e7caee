/* measure - the three times of a run that publishes: --warm seconds, --seconds that are measured,
 * and then until nothing is under way any more, at most --drain seconds. */
#ifndef BECKON_BENCH_LOAD_MEASURE_H
#define BECKON_BENCH_LOAD_MEASURE_H

#include "bench/load/run.h"

enum phase { PHASE_WARM, PHASE_MEASURED, PHASE_DRAIN };

struct measure {
    struct run *run;
    struct timer timer;
    enum phase phase;
    uint64_t from_ns, until_ns; /* measured */
    double cpu_from_s, cpu_until_s;
    /* Nothing more is to come, but for what is lost. */
    bool (*drained)(const struct run *run);
    void (*over)(struct run *run); /* the measured time has just ended; may be NULL */
};

/* drained and over must be set. Ends the run when all is over. */
void measure_start(struct measure *measure, struct run *run);
/* What was due then belongs to the measured time. */
bool measure_has(const struct measure *measure, uint64_t due_ns);
double measure_seconds(const struct measure *measure);
/* Share of one processor that the generator used in the measured time. */
double measure_own_cpu(const struct measure *measure);

/* Processor time of this process so far. */
double own_cpu_s(void);

#endif
