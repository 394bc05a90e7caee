#include "bench/load/measure.h"

#include <sys/resource.h>

#include "common/auto.h"

#define MS_PER_S 1000
#define NS_PER_S 1000000000ull
/* How often the end of the drain is looked for. */
#define DRAIN_LOOK_MS 10

double own_cpu_s(void)
{
    struct rusage usage = {0};

    /* Fails only for a bad address; then it is 0. */
    IGNORE_RESULT(getrusage(RUSAGE_SELF, &usage));
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void begin_measuring(struct measure *measure)
{
    struct run *run = measure->run;

    measure->phase = PHASE_MEASURED;
    measure->from_ns = engine_now_ns();
    measure->cpu_from_s = own_cpu_s();
    loop_timer_add(run->loop, &measure->timer, (uint64_t)run->options.seconds * MS_PER_S);
}

static void on_timer(struct timer *timer)
{
    struct measure *measure = CONTAINER_OF(timer, struct measure, timer);
    struct run *run = measure->run;
    uint64_t now_ns = engine_now_ns();

    if (measure->phase == PHASE_WARM) {
        begin_measuring(measure);
        return;
    }
    if (measure->phase == PHASE_MEASURED) {
        measure->phase = PHASE_DRAIN;
        measure->until_ns = now_ns;
        measure->cpu_until_s = own_cpu_s();
        if (measure->over != NULL)
            measure->over(run);
    }
    if (measure->drained(run) || now_ns - measure->until_ns > run->options.drain_s * NS_PER_S)
        run_end(run, 0);
    else
        loop_timer_add(run->loop, timer, DRAIN_LOOK_MS);
}

void measure_start(struct measure *measure, struct run *run)
{
    measure->run = run;
    timer_init(&measure->timer, on_timer);
    if (run->options.warm_s > 0)
        loop_timer_add(run->loop, &measure->timer, (uint64_t)run->options.warm_s * MS_PER_S);
    else
        begin_measuring(measure); /* the first message counts */
}

bool measure_has(const struct measure *measure, uint64_t due_ns)
{
    return measure->phase != PHASE_WARM && due_ns >= measure->from_ns &&
           (measure->phase == PHASE_MEASURED || due_ns < measure->until_ns);
}

double measure_seconds(const struct measure *measure)
{
    return (double)(measure->until_ns - measure->from_ns) / 1e9;
}

double measure_own_cpu(const struct measure *measure)
{
    return (measure->cpu_until_s - measure->cpu_from_s) / measure_seconds(measure);
}
