#include "bench/scaling/readers.h"

#include <stdlib.h>

#include "bench/scaling/constants.h"

void readers_begin(struct readers *readers, struct sim *sim, uint32_t done_kind, uint32_t brokers,
                   uint32_t items, double weight, double us)
{
    *readers = (struct readers){.sim = sim,
                                .done_kind = done_kind,
                                .weight = weight,
                                .us = us,
                                .brokers = brokers,
                                .first = READERS_NONE,
                                .last = READERS_NONE,
                                .idle = constants.postgres_processors};
    readers->next = sim_alloc(items, sizeof(*readers->next));
    readers->all = sim_alloc(brokers, sizeof(*readers->all));
    for (uint32_t i = 0; i < brokers; i++)
        readers->all[i] = (struct readers_queue){
            READERS_NONE, READERS_NONE, READERS_NONE, READERS_NONE, false, 0, 0};
}

void readers_look(struct readers *readers, double people)
{
    for (uint32_t i = 0; i < readers->brokers; i++)
        readers->all[i].ranges = people / constants.recover_range;
}

void readers_end(struct readers *readers)
{
    free(readers->next);
    free(readers->all);
}

/* A read takes longer than the pause between two ranges, so each has one. */
static double look_s(struct readers_queue *queue)
{
    if (queue->ranges <= 0)
        return 0;
    queue->ranges--;
    return constants.recover_range * constants.recover_us / 1e6;
}

static void run_reads(struct readers *readers)
{
    while (readers->idle >= 1 && readers->first != READERS_NONE) {
        uint32_t broker = readers->first;
        struct readers_queue *queue = &readers->all[broker];

        readers->first = queue->next_broker;
        if (readers->first == READERS_NONE)
            readers->last = READERS_NONE;
        readers->idle--;
        sim_at(readers->sim,
               readers->sim->now + constants.round_trip_ms / 1e3 +
                   queue->read_people * readers->us / 1e6 + look_s(queue),
               readers->done_kind, broker);
    }
}

/* What waits, up to the size of a read, goes to the database's queue. */
static void begin_read(struct readers *readers, uint32_t broker)
{
    struct readers_queue *queue = &readers->all[broker];
    uint32_t item = queue->first;

    if (queue->queued || item == READERS_NONE)
        return;
    queue->under_way = item;
    queue->read_people = readers->weight;
    while (readers->next[item] != READERS_NONE &&
           queue->read_people + readers->weight <= constants.read_people) {
        item = readers->next[item];
        queue->read_people += readers->weight;
    }
    queue->first = readers->next[item];
    readers->next[item] = READERS_NONE;
    queue->queued = true;
    queue->next_broker = READERS_NONE;
    if (readers->last == READERS_NONE)
        readers->first = broker;
    else
        readers->all[readers->last].next_broker = broker;
    readers->last = broker;
    run_reads(readers);
}

void readers_add(struct readers *readers, uint32_t broker, uint32_t item)
{
    struct readers_queue *queue = &readers->all[broker];

    readers->next[item] = READERS_NONE;
    if (queue->first == READERS_NONE)
        queue->first = item;
    else
        readers->next[queue->last] = item;
    queue->last = item;
    begin_read(readers, broker);
}

uint32_t readers_done(struct readers *readers, uint32_t broker)
{
    uint32_t read = readers->all[broker].under_way;

    readers->all[broker].queued = false;
    readers->idle++;
    begin_read(readers, broker);
    run_reads(readers);
    return read;
}
