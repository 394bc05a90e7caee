/* keepalive - heartbeats that cost nothing while packets flow.
 *
 * A packet only stores last_seen_ms. The connection's one timer fires when silence could have
 * become too long, compares, and is armed again for what is left: at most one wheel operation per
 * keep alive interval and client, whatever the traffic. Packets between two looks cost a store. */
#include "connector/keepalive.h"

#include "common/auto.h"

#include "connector/conn.h"
#include "connector/handle.h"

/* Token expiry is wall-clock time, timers are not: looking again within an hour bounds what a
 * corrected clock can do. */
#define LOOK_AGAIN_MS 3600000

enum keepalive_verdict keepalive_next(const struct keepalive_view *view, uint64_t *ret_delay_ms)
{
    /* MQTT-3.1.2-22 (3.1.1: -24): one and a half times the interval. */
    uint64_t allowed_ms = (uint64_t)view->keep_alive_s * 1500;
    uint64_t delay_ms = LOOK_AGAIN_MS;

    if (view->wall_ms >= view->token_ends_ms)
        return KEEPALIVE_TOKEN_EXPIRED;
    if (view->token_ends_ms - view->wall_ms < delay_ms)
        delay_ms = view->token_ends_ms - view->wall_ms;
    if (allowed_ms != 0) {
        uint64_t silent_ms = view->suspended ? 0 : view->now_ms - view->last_seen_ms;

        if (silent_ms >= allowed_ms)
            return KEEPALIVE_SILENT;
        if (allowed_ms - silent_ms < delay_ms)
            delay_ms = allowed_ms - silent_ms;
    }
    *ret_delay_ms = delay_ms;
    return KEEPALIVE_WAIT;
}

void keepalive_arm(struct conn *c)
{
    const struct options *options = &c->connector->options;
    struct loop *loop = c->connector->loop;
    struct keepalive_view view = {
        .now_ms = loop_now_ms(loop),
        .wall_ms = loop_wall_ms(loop),
        .last_seen_ms = c->last_seen_ms,
        .token_ends_ms = (c->client->token_expires_s + options->auth_expiry_grace_s) * 1000,
        .keep_alive_s = c->client->keep_alive_s,
        .suspended = !conn_can_read(c),
    };
    uint64_t delay_ms;

    switch (keepalive_next(&view, &delay_ms)) {
    case KEEPALIVE_WAIT:
        loop_timer_add(loop, &c->timer, delay_ms);
        break;
    case KEEPALIVE_SILENT:
        conn_close(c, CLOSE_KEEP_ALIVE, NULL);
        break;
    case KEEPALIVE_TOKEN_EXPIRED:
        conn_close(c, CLOSE_TOKEN_EXPIRED, NULL);
        break;
    }
}

void keepalive_on_timer(struct timer *timer)
{
    struct conn *c = CONTAINER_OF(timer, struct conn, timer);

    switch ((enum conn_state)c->state) {
    case CONN_AWAIT_CONNECT:
        conn_close_explained(c, CLOSE_CONNECT_TIMEOUT);
        break;
    case CONN_OPENING:
        connect_refuse(c, MQTT_SERVER_UNAVAILABLE, "no broker answered in time");
        break;
    case CONN_ACTIVE:
    case CONN_STALLED:
        keepalive_arm(c);
        break;
    case CONN_SLOWED:
        conn_set_state(&c->connector->conns->lists, c, CONN_ACTIVE);
        c->last_seen_ms = loop_now_ms(c->connector->loop); /* the silence was ours */
        keepalive_arm(c);
        conn_update_reading(c);
        break;
    case CONN_LEAVING:
        c->connector->metrics.drain_unanswered++; /* it waited long enough */
        conn_close(c, CLOSE_DRAIN, NULL);
        break;
    case CONN_DRAINING:
        conn_close_now(c);
        break;
    case CONN_FREE:
    case CONN_CLOSED:
    case CONN_STATE_COUNT:
        break;
    }
}
