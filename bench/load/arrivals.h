/* arrivals - what became of each message of one sender: accepted, and how often and in which order
 * it arrived. Exact, for a bit or two a message.
 *
 * All fields are zero at first. One thread. */
#ifndef BECKON_BENCH_LOAD_ARRIVALS_H
#define BECKON_BENCH_LOAD_ARRIVALS_H

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

struct bits {
    uint64_t *words;
    size_t word_count;
};

struct arrivals {
    struct bits accepted, arrived;
    uint64_t arrived_count; /* each message once */
    uint64_t next_seq;      /* above all that have arrived */
    uint64_t doubled;       /* arrivals of what had arrived before */
    uint64_t swapped;       /* first arrivals behind a later message */
};

/* The server has accepted message seq (from 0). ERR_NO_MEMORY. */
MUST_CHECK int arrivals_accepted(struct arrivals *arrivals, uint64_t seq);
/* The receiver has it. 1 when it is the first time, 0 when it had it; ERR_NO_MEMORY. */
MUST_CHECK int arrivals_arrived(struct arrivals *arrivals, uint64_t seq);
/* Accepted, and never arrived. */
uint64_t arrivals_lost(const struct arrivals *arrivals);

/* Of many senders together; all fields are zero at first. */
struct tally {
    uint64_t lost, doubled, swapped;
};

void tally_add(struct tally *tally, const struct arrivals *arrivals);

void arrivals_fini(struct arrivals *arrivals);

#endif
