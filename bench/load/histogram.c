#include "bench/load/histogram.h"

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

/* Below 2 * SUB_COUNT each value has a bucket of its own; above, the bits behind the first
 * HISTOGRAM_SUB_BITS + 1 are dropped. */
static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < SUB_COUNT)
        return (unsigned)value;
    shift = 63 - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(value);
    return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

static uint64_t upper_edge(unsigned bucket)
{
    unsigned shift;
    uint64_t first;

    if (bucket < 2 * SUB_COUNT)
        return bucket;
    shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    first = (uint64_t)(bucket - (shift << HISTOGRAM_SUB_BITS)) << shift;
    return first + ((1ull << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
    double exact = share * (double)histogram->count;
    uint64_t wanted = (uint64_t)exact, seen = 0;

    if ((double)wanted < exact || wanted == 0)
        wanted++; /* at least so many are not above the answer */
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted)
            return upper_edge(i) < histogram->max ? upper_edge(i) : histogram->max;
    }
    return histogram->max;
}
