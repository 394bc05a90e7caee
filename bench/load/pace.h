/* pace - a timetable: event n is due at start + n / rate, whether or not those before it were in
 * time. What is measured from there shows what waiting costs (no coordinated omission).
 *
 * A timerfd, because the loop's own timers count milliseconds. One thread. */
#ifndef BECKON_BENCH_LOAD_PACE_H
#define BECKON_BENCH_LOAD_PACE_H

#include "common/loop.h"

struct pace {
    struct loop *loop;
    int fd; /* -1: not running */
    loop_id io;
    uint64_t start_ns; /* monotonic */
    uint64_t count;    /* events that fell due */
    uint32_t rate;     /* a second */
    void (*due)(void *arg, uint64_t number, uint64_t due_ns);
    void *arg;
};

/* Calls due for each event from now on. ERR_SYSTEM, ERR_NO_MEMORY. */
MUST_CHECK int pace_start(struct pace *pace, struct loop *loop, uint32_t rate,
                          void (*due)(void *arg, uint64_t number, uint64_t due_ns), void *arg);
/* May be called by due. */
void pace_stop(struct pace *pace);
uint64_t pace_due_ns(const struct pace *pace, uint64_t number);

#endif
