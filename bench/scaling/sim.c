#include "bench/scaling/sim.h"

#include <stdio.h>
#include <stdlib.h>

void *sim_alloc(size_t count, size_t size)
{
    void *found = calloc(count, size);

    if (!found) {
        fputs("beckon-scaling: out of memory\n", stderr);
        exit(2);
    }
    return found;
}

void sim_begin(struct sim *sim, uint64_t seed)
{
    *sim = (struct sim){.random = seed, .size = 1024};
    sim->heap = sim_alloc(sim->size, sizeof(*sim->heap));
}

void sim_end(struct sim *sim)
{
    free(sim->heap);
    sim->heap = NULL;
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void grow(struct sim *sim)
{
    struct sim_event *more = reallocarray(sim->heap, sim->size, 2 * sizeof(*more));

    if (!more) {
        fputs("beckon-scaling: out of memory\n", stderr);
        exit(2);
    }
    sim->heap = more;
    sim->size *= 2;
}

void sim_at(struct sim *sim, double at, uint32_t kind, uint32_t who)
{
    struct sim_event event = {.at = at, .order = sim->order++, .kind = kind, .who = who};
    size_t i = sim->count++;

    if (sim->count > sim->size)
        grow(sim);
    for (; i > 0 && before(&event, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim->heap[i] = sim->heap[(i - 1) / 2];
    sim->heap[i] = event;
}

bool sim_next(struct sim *sim, struct sim_event *ret_event)
{
    struct sim_event last;
    size_t i = 0;

    if (sim->count == 0)
        return false;
    *ret_event = sim->heap[0];
    sim->now = ret_event->at;
    last = sim->heap[--sim->count];
    for (size_t child = 1; child < sim->count; child = 2 * i + 1) {
        if (child + 1 < sim->count && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &last))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = last;
    return true;
}

/* SplitMix64. */
uint64_t sim_draw(struct sim *sim)
{
    uint64_t x = sim->random += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double sim_share(struct sim *sim)
{
    return (double)(sim_draw(sim) >> 11) * 0x1p-53;
}
