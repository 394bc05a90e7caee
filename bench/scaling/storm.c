/* storm - the clients of connectors that are gone come to the others at once.
 *
 * A client picks a connector. That one accepts at its rate (what is above waits in the kernel, and
 * above its backlog is dropped and comes again as TCP does), has one processor for handshakes, and
 * gives up on who is not through in time. Then OPEN at the person's broker, which writes that the
 * session is there, and reads who is not in memory (one thing at a time, of as many as came
 * meanwhile); too late an answer is a refusal, which costs as much and comes again. */
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

/* What happens: so many clients come within some seconds to so many connectors. */
struct kind {
    uint32_t clients, connectors;
    double spread_s, handshake_us, accepts_per_s;
    double postgres_us; /* of one of them */
};

static struct storm simulate(const struct layout *layout, uint64_t seed, const struct kind *kind)
{
    struct storm s = {.clients = kind->clients,
                      .connectors = kind->connectors,
                      .brokers = layout->brokers,
                      .handshake_us = kind->handshake_us,
                      .accepts_per_s = kind->accepts_per_s};

    sim_begin(&s.sim, seed);
    readers_begin(&s.readers, &s.sim, READ, s.brokers, s.clients, 1, kind->postgres_us);
    s.accept_at = sim_alloc(s.connectors, sizeof(double));
    s.free_at = sim_alloc(s.connectors, sizeof(double));
    s.broker_free_at = sim_alloc(s.brokers, sizeof(double));
    s.opened_at = sim_alloc(s.clients, sizeof(double));
    s.tries = sim_alloc(s.clients, 1);
    for (uint32_t i = 0; i < s.clients; i++)
        sim_at(&s.sim, sim_share(&s.sim) * kind->spread_s, ARRIVE, i);
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

static struct storm happen(const struct layout *layout, uint64_t seed, const char *what,
                           const struct kind *kind)
{
    struct storm s = simulate(layout, seed, kind);

    printf("{\"row\": \"storm\", \"what\": \"%s\", \"devices\": %.0f, \"clients\": %u, "
           "\"connectors\": %u, \"last_s\": %.3f, \"refused\": %u, \"timed_out\": %u, "
           "\"dropped\": %u, \"lost\": %u}\n",
           what, layout->devices, s.clients, s.connectors, s.last, s.refused, s.timed_out,
           s.dropped, s.lost);
    claim(what, layout->devices, (double)s.lost + (s.served + s.lost != s.clients), 0);
    return s;
}

static void machine_killed(const struct layout *layout, uint64_t seed)
{
    uint32_t gone = (uint32_t)constants.connectors_per_machine;
    /* What all brokers can have written, less a fifth, among the connectors that are left. */
    double writes_per_s = fmin(layout->brokers, constants.postgres_processors) * 1e6 /
                          constants.connect_postgres_us * 0.8;
    struct kind kind = {.clients = (uint32_t)(layout->cell_devices * gone / layout->connectors),
                        .connectors = layout->connectors - gone,
                        .spread_s = constants.jitter_s,
                        .handshake_us = constants.connect_tls_us,
                        .accepts_per_s = constants.accepts_per_s,
                        .postgres_us = constants.connect_postgres_us};
    struct storm s = happen(layout, seed, "clients without service: machine killed, TLS", &kind);

    claim("killed connector machine: seconds, TLS, clients spread", layout->devices, s.last,
          constants.jitter_s + 10);
    claim("killed connector machine: refused of a client, TLS", layout->devices,
          (double)s.refused / s.clients, 0.01);
    kind.spread_s = 0.2;
    kind.handshake_us = constants.connect_tcp_us;
    s = happen(layout, seed, "clients without service: TCP, all at once", &kind);
    kind.accepts_per_s = writes_per_s / kind.connectors;
    s = happen(layout, seed, "clients without service: TCP, all at once, accepts paced", &kind);
    claim("paced accepts: refused of a client, TCP, all at once", layout->devices,
          (double)s.refused / s.clients, 0.01);
    claim("paced accepts: seconds, TCP, all at once", layout->devices, s.last, 40);
}

/* After an outage of everything but the database: nobody is in memory. */
static void everybody_back(const struct layout *layout, uint64_t seed)
{
    struct kind kind = {.clients = (uint32_t)layout->cell_devices,
                        .connectors = layout->connectors,
                        .spread_s = constants.jitter_s,
                        .handshake_us = constants.connect_tls_us,
                        .accepts_per_s = constants.accepts_per_s,
                        .postgres_us = constants.load_us + constants.connect_postgres_us};
    struct storm s =
        happen(layout, seed, "clients without service: everybody comes back, TLS", &kind);

    /* Else refusals, which cost as much as service, take over, and it does not end. */
    claim("everybody comes back: let in a second, of what is served", layout->devices,
          kind.connectors * fmin(kind.accepts_per_s, 1e6 / kind.handshake_us) /
              (fmin(layout->brokers, constants.postgres_processors) * 1e6 / kind.postgres_us),
          1);
    claim("everybody comes back: seconds, TLS", layout->devices, s.last, 120);
}

void storm_check(const struct layout *layout, uint64_t seed)
{
    struct kind drained = {.clients = (uint32_t)(layout->cell_devices / layout->connectors),
                           .connectors = layout->connectors - 1,
                           .spread_s = 1,
                           .handshake_us = constants.connect_tls_us,
                           .accepts_per_s = constants.accepts_per_s,
                           .postgres_us = constants.connect_postgres_us};
    struct storm s;

    machine_killed(layout, seed);
    everybody_back(layout, seed);
    s = happen(layout, seed, "clients without service: one connector drained, TLS", &drained);
    claim("rolling restart: seconds a connector, TLS", layout->devices, s.last, 5);
}
