/* drain - a timer that, each time, closes as many connections as the elapsed share of drain.ms asks
 * for. Afterwards it waits until the last DISCONNECTs are out: at most the linger time of a
 * closing connection. */
#include "connector/drain.h"

#include "common/auto.h"
#include "common/log.h"

#include "connector/conn.h"
#include "connector/handle.h"
#include "connector/listener.h"

/* Steps small enough to be even for the clients, and for us. */
#define STEP_MS 10

/* The next connection to close: one that only began first, as it has least to lose. */
static struct conn *next_conn(const struct conns *conns)
{
    static const enum conn_state order[] = {CONN_AWAIT_CONNECT, CONN_OPENING, CONN_STALLED,
                                            CONN_ACTIVE};

    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        struct conn *c = TAILQ_FIRST(&conns->lists.in[order[i]]);

        if (c != NULL)
            return c;
    }
    return NULL;
}

static uint32_t undrained(const struct conns *conns)
{
    return conns_open_count(conns) - conns->lists.count[CONN_DRAINING];
}

static void on_step(struct timer *timer)
{
    struct drain *drain = CONTAINER_OF(timer, struct drain, timer);
    struct conns *conns = drain->connector->conns;
    uint64_t now_ms = loop_now_ms(drain->connector->loop);
    uint64_t span_ms = drain->ends_ms - drain->started_ms;
    uint64_t may_stay = 0;

    if (now_ms < drain->ends_ms)
        may_stay = drain->total * (drain->ends_ms - now_ms) / span_ms;
    while (undrained(conns) > may_stay) {
        struct conn *c = next_conn(conns);

        if (c->state == CONN_OPENING)
            connect_refuse(c, MQTT_SERVER_SHUTTING_DOWN, "this server stops");
        else
            conn_close(c, CLOSE_DRAIN, NULL);
    }
    if (conns_open_count(conns) == 0)
        loop_stop(drain->connector->loop);
    else
        loop_timer_add(drain->connector->loop, &drain->timer, STEP_MS);
}

void drain_init(struct drain *drain, struct connector *connector)
{
    *drain = (struct drain){.connector = connector};
    timer_init(&drain->timer, on_step);
}

void drain_start(struct drain *drain)
{
    struct connector *connector = drain->connector;

    if (drain->running) {
        log_info(NULL, "stopping at once");
        loop_stop(connector->loop);
        return;
    }
    drain->running = true;
    drain->started_ms = loop_now_ms(connector->loop);
    drain->ends_ms = drain->started_ms + connector->options.drain_ms;
    listeners_close(connector);
    drain->total = undrained(connector->conns);
    log_info(NULL, "stopping: disconnecting %u clients over %u ms", drain->total,
             connector->options.drain_ms);
    loop_timer_add(connector->loop, &drain->timer, 0);
}
