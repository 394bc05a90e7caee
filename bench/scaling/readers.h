/* readers - people who wait until their broker has read them from PostgreSQL: a queue a broker, one
 * read of each under way, of some people, and as many reads at once as the database has processors.
 * An item stands for one person or for several (weight). A broker that looks at everybody
 * (broker/recover.c) does so with its reads, a range of people each. */
#ifndef BECKON_BENCH_SCALING_READERS_H
#define BECKON_BENCH_SCALING_READERS_H

#include "bench/scaling/sim.h"

#define READERS_NONE UINT32_MAX

struct readers_queue {
    uint32_t first, last; /* waiting */
    uint32_t under_way;   /* first item of the read, or READERS_NONE */
    uint32_t next_broker; /* in the queue of the database */
    bool queued;
    double read_people;
    double ranges; /* left to look at */
};

struct readers {
    struct sim *sim;
    uint32_t done_kind; /* of the event: who is the broker */
    double weight, us;  /* people an item; processor time of the database a person */
    uint32_t *next;     /* by item */
    uint32_t brokers;
    struct readers_queue *all;
    uint32_t first, last; /* brokers whose read waits for a processor */
    double idle;          /* processors */
};

void readers_begin(struct readers *readers, struct sim *sim, uint32_t done_kind, uint32_t brokers,
                   uint32_t items, double weight, double us);
/* Each broker has so many people to look at, its own or not. */
void readers_look(struct readers *readers, double people);
void readers_end(struct readers *readers);
void readers_add(struct readers *readers, uint32_t broker, uint32_t item);
/* At the event: the items that were read, linked by next; what waits is read next. */
uint32_t readers_done(struct readers *readers, uint32_t broker);

#endif
