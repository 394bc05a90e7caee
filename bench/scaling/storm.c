/* storm - the clients of connectors that are gone come to the others at once.
 *
 * A client picks a connector. That one accepts at its rate (what is above waits in the kernel, and
 * above its backlog is dropped and comes again as TCP does), has one processor for handshakes, and
 * gives up on who is not through in time. Then OPEN at the person's broker, which reads them from
 * the database; too late an answer is a refusal, which costs as much and comes again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/scaling/claims.h"
#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"
#include "bench/scaling/readers.h"

/* Who is refused so often has no service; and it ends a simulation that would not. */
#define TRIES_MAX 30

enum { ARRIVE, OPEN, PARKED, READ };

struct storm {
    struct sim sim;
    struct readers readers;
    uint32_t clients, connectors, brokers;
    double handshake_us, accepts_per_s;
    double *accept_at, *free_at, *broker_free_at; /* connectors, connectors, brokers */
    double *opened_at;                            /* clients: when OPEN was sent */
    uint8_t *tries;
    uint32_t refused, timed_out, dropped, lost, served;
    double last;
};

static void again(struct storm *s, uint32_t client, double after_s)
{
    if (++s->tries[client] >= TRIES_MAX)
        s->lost++;
    else
        sim_at(&s->sim, s->sim.now + after_s * (0.5 + sim_share(&s->sim)), ARRIVE, client);
}

static void arrive(struct storm *s, uint32_t client)
{
    uint32_t c = (uint32_t)(sim_share(&s->sim) * s->connectors);
    double accepted, start, now = s->sim.now;

    /* The bucket holds the rate of one second. */
    s->accept_at[c] = fmax(s->accept_at[c], now - 1) + 1 / s->accepts_per_s;
    accepted = fmax(now, s->accept_at[c]);
    if ((accepted - now) * s->accepts_per_s > constants.backlog) {
        s->accept_at[c] -= 1 / s->accepts_per_s;
        s->dropped++;
        again(s, client, fmin(1 << s->tries[client], 16));
        return;
    }
    start = fmax(accepted, s->free_at[c]);
    if (start - accepted > constants.connect_timeout_ms / 1e3) {
        s->timed_out++;
        again(s, client, constants.connect_timeout_ms / 1e3);
        return;
    }
    s->free_at[c] = start + s->handshake_us / 1e6;
    sim_at(&s->sim, s->free_at[c], OPEN, client);
}

static void open_session(struct storm *s, uint32_t client)
{
    uint32_t broker = client % s->brokers;

    s->opened_at[client] = s->sim.now;
    s->broker_free_at[broker] =
        fmax(s->broker_free_at[broker], s->sim.now) + constants.connect_broker_us / 1e6;
    sim_at(&s->sim, s->broker_free_at[broker], PARKED, client);
}

static void on_read(struct storm *s, uint32_t broker)
{
    uint32_t next;

    for (uint32_t client = readers_done(&s->readers, broker); client != READERS_NONE;
         client = next) {
        next = s->readers.next[client];
        if (s->sim.now - s->opened_at[client] > constants.open_ms / 1e3) {
            s->refused++;
            again(s, client, fmin(1 << s->tries[client], 16));
            continue;
        }
        s->served++;
        s->last = s->sim.now;
    }
}

static void run(struct storm *s)
{
    struct sim_event event;

    while (sim_next(&s->sim, &event)) {
        switch (event.kind) {
        case ARRIVE:
            arrive(s, event.who);
            break;
        case OPEN:
            open_session(s, event.who);
            break;
        case PARKED:
            readers_add(&s->readers, event.who % s->brokers, event.who);
            break;
        default:
            on_read(s, event.who);
        }
    }
}

static struct storm simulate(const struct layout *layout, uint64_t seed, uint32_t gone,
                             double spread_s, double handshake_us, double accepts_per_s)
{
    struct storm s = {.connectors = layout->connectors - gone,
                      .brokers = layout->brokers,
                      .handshake_us = handshake_us,
                      .accepts_per_s = accepts_per_s};

    s.clients = (uint32_t)(layout->cell_devices * gone / layout->connectors);
    sim_begin(&s.sim, seed);
    readers_begin(&s.readers, &s.sim, READ, s.brokers, s.clients, 1, constants.connect_postgres_us);
    s.accept_at = sim_alloc(s.connectors, sizeof(double));
    s.free_at = sim_alloc(s.connectors, sizeof(double));
    s.broker_free_at = sim_alloc(s.brokers, sizeof(double));
    s.opened_at = sim_alloc(s.clients, sizeof(double));
    s.tries = sim_alloc(s.clients, 1);
    for (uint32_t i = 0; i < s.clients; i++)
        sim_at(&s.sim, sim_share(&s.sim) * spread_s, ARRIVE, i);
    run(&s);
    free(s.accept_at);
    free(s.free_at);
    free(s.broker_free_at);
    free(s.opened_at);
    free(s.tries);
    readers_end(&s.readers);
    sim_end(&s.sim);
    return s;
}

static void print(const struct layout *layout, const char *what, const struct storm *s)
{
    printf("{\"row\": \"storm\", \"what\": \"%s\", \"devices\": %.0f, \"clients\": %u, "
           "\"connectors\": "
           "%u, \"last_s\": %.3f, \"refused\": %u, \"timed_out\": %u, \"dropped\": %u, \"lost\": "
           "%u}\n",
           what, layout->devices, s->clients, s->connectors, s->last, s->refused, s->timed_out,
           s->dropped, s->lost);
}

void storm_check(const struct layout *layout, uint64_t seed)
{
    uint32_t gone = (uint32_t)constants.connectors_per_machine;
    /* What all brokers can read of the database, less a fifth, among the connectors that are left.
     */
    double reads_per_s = fmin(layout->brokers, constants.postgres_processors) * 1e6 /
                         constants.connect_postgres_us * 0.8;
    double paced = reads_per_s / (layout->connectors - gone);
    struct storm s = simulate(layout, seed, gone, constants.jitter_s, constants.connect_tls_us,
                              constants.accepts_per_s);

    print(layout, "machine killed, TLS, clients spread", &s);
    claim("killed connector machine: clients without service", layout->devices,
          (double)s.lost + (s.served + s.lost != s.clients), 0);
    claim("killed connector machine: seconds, TLS, clients spread", layout->devices, s.last,
          constants.jitter_s + 10);
    claim("killed connector machine: refused of a client, TLS", layout->devices,
          (double)s.refused / s.clients, 0.01);
    s = simulate(layout, seed, gone, 0.2, constants.connect_tcp_us, constants.accepts_per_s);
    print(layout, "machine killed, TCP, all at once", &s);
    s = simulate(layout, seed, gone, 0.2, constants.connect_tcp_us, paced);
    print(layout, "the same, accepts_per_s at what brokers read", &s);
    claim("paced accepts: refused of a client, TCP, all at once", layout->devices,
          (double)s.refused / s.clients, 0.01);
    claim("paced accepts: seconds, TCP, all at once", layout->devices, s.last, 40);
    s = simulate(layout, seed, 1, 1, constants.connect_tls_us, constants.accepts_per_s);
    print(layout, "one connector drained", &s);
    claim("rolling restart: seconds a connector, TLS", layout->devices, s.last, 5);
}
