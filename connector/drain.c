/* drain - a timer that, each time, lets as many connections go as the elapsed share of drain.ms
 * asks for.
 *
 * A connection that is let go (CONN_LEAVING) is disconnected when nothing is half done: what it
 * published is answered, and what it was sent is acknowledged. What it publishes meanwhile is not
 * taken, and it is sent nothing new. So a client that comes back repeats nothing, and is sent
 * nothing again, unless drain.wait_ms was too short for it or for the broker. The process ends when
 * the brokers have confirmed that everything acknowledged here is committed: until then only this
 * process could tell a new broker (ended.h). Cost: each connection that leaves is looked at every
 * STEP_MS. */
#include "connector/drain.h"

#include "common/auto.h"
#include "common/log.h"

#include "connector/conn.h"
#include "connector/ended.h"
#include "connector/handle.h"
#include "connector/listener.h"
#include "connector/session.h"

/* Steps small enough to be even for the clients, and for us. */
#define STEP_MS 10
/* For handshakes under way: a round trip of a mobile network. A client that comes meanwhile is
 * delayed by a second, so not longer. */
#define LAST_ACCEPTS_MS 200

/* The next connection to let go: the one that has been here longest, and those that have begun to
 * connect at last, so that as few as possible have to try twice. */
static struct conn *next_conn(const struct conns *conns)
{
    static const enum conn_state order[] = {CONN_ACTIVE, CONN_STALLED, CONN_SLOWED, CONN_OPENING,
                                            CONN_AWAIT_CONNECT};

    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        struct conn *c = TAILQ_FIRST(&conns->lists.in[order[i]]);

        if (c != NULL)
            return c;
    }
    return NULL;
}

static uint32_t staying(const struct conns *conns)
{
    return conns_open_count(conns) - conns->lists.count[CONN_LEAVING] -
           conns->lists.count[CONN_DRAINING];
}

static void let_go(struct conn *c)
{
    struct connector *connector = c->connector;

    switch ((enum conn_state)c->state) {
    case CONN_OPENING:
        /* CONNACK has no "server shutting down" (MQTT 5.0 section 3.2.2.2) */
        connect_refuse(c, MQTT_USE_ANOTHER_SERVER, "this server stops");
        break;
    case CONN_ACTIVE:
    case CONN_STALLED:
    case CONN_SLOWED:
        conn_set_state(&connector->conns->lists, c, CONN_LEAVING);
        loop_timer_add(connector->loop, &c->timer, connector->options.drain_wait_ms);
        conn_update_reading(c); /* acknowledgements may lie behind what made it stall */
        break;
    default:
        conn_close(c, CLOSE_DRAIN, NULL);
        break;
    }
}

/* Nothing is half done. An acknowledgement of this turn goes to the broker first, so that it can't
 * come after the client's next connection. */
static bool may_leave(const struct conn *c)
{
    return !session_awaits_answers(c) && c->inflight.count == 0 && c->client->notified.count == 0 &&
           (c->turn_flags & TURN_ACK) == 0;
}

static void disconnect_finished(struct conns *conns)
{
    struct conn *c, *next;

    for (c = TAILQ_FIRST(&conns->lists.in[CONN_LEAVING]); c != NULL; c = next) {
        next = TAILQ_NEXT(c, state_link);
        if (may_leave(c))
            conn_close(c, CLOSE_DRAIN, NULL);
    }
}

static bool broker_has_all(const struct connector *connector)
{
    return ended_count(connector->ended) == 0 && brokers_unanswered(connector->brokers) == 0;
}

/* All sessions have ended: true when the broker has everything, or had its time. */
static bool told_broker(struct drain *drain, uint64_t now_ms)
{
    if (drain->broker_until_ms == 0)
        drain->broker_until_ms = now_ms + drain->connector->options.drain_wait_ms;
    return broker_has_all(drain->connector) || now_ms >= drain->broker_until_ms;
}

static void stop(const struct connector *connector)
{
    if (!broker_has_all(connector))
        log_warning(NULL,
                    "the broker has not confirmed %zu ended sessions and %u requests in time: "
                    "clients may get again what they acknowledged last",
                    ended_count(connector->ended), brokers_unanswered(connector->brokers));
    loop_stop(connector->loop);
}

static void on_step(struct timer *timer)
{
    struct drain *drain = CONTAINER_OF(timer, struct drain, timer);
    struct conns *conns = drain->connector->conns;
    uint64_t now_ms = loop_now_ms(drain->connector->loop);
    uint64_t total = drain->let_go + (uint64_t)staying(conns);
    uint64_t may_stay = 0;

    if (!drain->closed && now_ms >= drain->accepts_until_ms) {
        listeners_close(drain->connector);
        drain->closed = true;
    }
    if (now_ms < drain->ends_ms)
        may_stay = total * (drain->ends_ms - now_ms) / (drain->ends_ms - drain->started_ms);
    for (; staying(conns) > may_stay; drain->let_go++)
        let_go(next_conn(conns));
    disconnect_finished(conns);
    if (drain->closed && staying(conns) == 0 && conns->lists.count[CONN_LEAVING] == 0 &&
        told_broker(drain, now_ms) && conns_open_count(conns) == 0)
        stop(drain->connector);
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
    uint32_t span_ms = connector->options.drain_ms;

    if (drain->running) {
        log_info(NULL, "stopping at once");
        loop_stop(connector->loop);
        return;
    }
    drain->running = true;
    drain->started_ms = loop_now_ms(connector->loop);
    drain->ends_ms = drain->started_ms + span_ms;
    drain->accepts_until_ms =
        drain->started_ms + (span_ms < LAST_ACCEPTS_MS ? span_ms : LAST_ACCEPTS_MS);
    listeners_end(connector);
    log_info(NULL, "stopping: disconnecting %u clients over %u ms", staying(connector->conns),
             span_ms);
    loop_timer_add(connector->loop, &drain->timer, 0);
}
