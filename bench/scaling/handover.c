/* handover - a broker dies: when has each of its people a broker that knows them?
 *
 * Lease, the next round of whoever looks first, the frame that tells each connector, their
 * announcements, and then reads of the database, for which people queue at each broker, and with
 * which each broker that gets people looks at everybody in the database. A broker that starts again
 * in place has no lease to wait for, but all of its people to read by itself; it counts from when
 * its process is there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/scaling/claims.h"
#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"
#include "bench/scaling/readers.h"
#include "common/wire.h"

enum { ANNOUNCE, READ };

struct handover {
    struct sim sim;
    struct readers readers;
    double removed;  /* when the others know */
    double *free_at; /* the processor of each broker that gets people */
    double sum, last;
    uint32_t items, done, takers;
};

/* Of an ANNOUNCE with names and a filter as an app has them, and nothing under way. */
static double announce_bytes(void)
{
    const struct wire_announce record = {.open.user = bytes_of_string("user-12345678901"),
                                         .open.device = bytes_of_string("phone-1234567890")};
    const struct wire_subscription inbox = {.filter = bytes_of_string("inbox/#"), .qos = 1};
    const struct wire_seqs none = {0};
    struct buf frame = {0};
    double size;

    wire_put_announce(&frame, &record, &inbox, 1, &none, &none);
    size = (double)frame.len;
    buf_release(&frame);
    return size;
}

static void announce(struct handover *h, const struct layout *layout)
{
    double frame_s = constants.link_us_per_s / 2 / 1e6; /* one each way a second */
    uint32_t pieces = h->items / (layout->connectors * h->takers), item = 0;

    for (uint32_t c = 0; c < layout->connectors; c++) {
        double at = h->removed + (c + 1) * frame_s + constants.round_trip_ms / 1e3;

        for (uint32_t p = 0; p < pieces * h->takers; p++) {
            at += h->readers.weight * (constants.announce_connector_us / 1e6 +
                                       announce_bytes() / constants.network_bytes_per_s);
            sim_at(&h->sim, at, ANNOUNCE, item++);
        }
    }
}

static void run(struct handover *h)
{
    struct sim_event event;

    while (sim_next(&h->sim, &event)) {
        if (event.kind == ANNOUNCE) { /* the broker decodes it, and the person waits for the read */
            uint32_t broker = event.who % h->takers;
            double free_at = fmax(h->free_at[broker], h->sim.now);

            free_at += h->readers.weight * constants.announce_broker_us / 1e6;
            h->free_at[broker] = free_at;
            readers_add(&h->readers, broker, event.who);
            continue;
        }
        for (uint32_t item = readers_done(&h->readers, event.who); item != READERS_NONE;
             item = h->readers.next[item]) {
            h->done++;
            h->sum += h->sim.now;
            h->last = fmax(h->last, fmax(h->sim.now, h->free_at[event.who]));
        }
    }
}

/* Returns when the last person is served; -1: not all ever were. */
static double simulate(const struct layout *layout, uint64_t seed, bool in_place, double *ret_mean)
{
    uint32_t takers = in_place ? 1 : layout->brokers - 1;
    struct handover h = {.takers = takers};
    double people = layout->cell_devices / layout->brokers, last;
    uint32_t pairs = layout->connectors * takers;
    uint32_t pieces = (uint32_t)ceil(people / pairs / constants.read_people);
    double round_s = constants.lease_ms / 1e3 / 3;

    sim_begin(&h.sim, seed);
    h.items = pairs * pieces;
    h.free_at = sim_alloc(takers, sizeof(*h.free_at));
    if (!in_place) { /* the last renewal was up to a round ago, each other looks once a round */
        double first = 1;

        for (uint32_t i = 0; i < takers; i++)
            first = fmin(first, sim_share(&h.sim));
        h.removed = constants.lease_ms / 1e3 + (first - sim_share(&h.sim)) * round_s;
    }
    readers_begin(&h.readers, &h.sim, READ, takers, h.items, people / h.items, constants.load_us);
    readers_look(&h.readers, layout->cell_devices);
    announce(&h, layout);
    run(&h);
    *ret_mean = h.sum / h.items;
    last = h.done == h.items ? h.last : -1;
    readers_end(&h.readers);
    free(h.free_at);
    sim_end(&h.sim);
    return last;
}

void handover_check(const struct layout *layout, uint64_t seed)
{
    double mean, again_mean;
    double last = simulate(layout, seed, false, &mean);
    double again = simulate(layout, seed, true, &again_mean);

    printf("{\"row\": \"handover\", \"devices\": %.0f, \"people\": %.0f, \"killed_mean_s\": %.3f, "
           "\"killed_last_s\": %.3f, \"in_place_mean_s\": %.3f, \"in_place_last_s\": %.3f, "
           "\"announced_mb\": %.3f}\n",
           layout->devices, layout->cell_devices / layout->brokers, mean, last, again_mean, again,
           layout->cell_devices / layout->brokers * announce_bytes() / 1e6);
    claim("people of a killed broker that are never served", layout->devices, last < 0, 0);
    claim("seconds until all people of a killed broker are served", layout->devices, last, 10);
    claim("seconds until all people are served that restart in place", layout->devices, again, 45);
}
