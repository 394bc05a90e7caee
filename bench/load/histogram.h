/* histogram - latencies, counted in buckets whose width grows with the value: any number of them in
 * fixed memory, percentiles exact to 0.8 %.
 *
 * Values are nanoseconds (any unit would do). All fields are zero at first. One thread. */
#ifndef BECKON_BENCH_LOAD_HISTOGRAM_H
#define BECKON_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

/* 128 buckets for each doubling: a bucket is at most 1/128 of its values wide. */
#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value that `share` (0 to 1) of all are not above: the upper edge of its bucket, or the
 * greatest value when that is less. 0 when there are none. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

#endif
