/* conn_state - one table of allowed steps; every step moves the connection between two lists, O(1).
 */
#include "connector/conn_state.h"

#include <assert.h>

#include "connector/conn.h"

static const struct conn_step {
    enum conn_state from, to;
} steps[] = {
    {CONN_FREE, CONN_AWAIT_CONNECT},     /* accepted */
    {CONN_AWAIT_CONNECT, CONN_OPENING},  /* good CONNECT */
    {CONN_AWAIT_CONNECT, CONN_DRAINING}, /* refused */
    {CONN_AWAIT_CONNECT, CONN_CLOSED},
    {CONN_OPENING, CONN_ACTIVE},   /* the broker opened the session */
    {CONN_OPENING, CONN_DRAINING}, /* it did not */
    {CONN_OPENING, CONN_CLOSED},
    {CONN_ACTIVE, CONN_STALLED}, /* too many requests unanswered */
    {CONN_ACTIVE, CONN_DRAINING},
    {CONN_ACTIVE, CONN_CLOSED},
    {CONN_STALLED, CONN_ACTIVE}, /* room again */
    {CONN_STALLED, CONN_DRAINING},
    {CONN_STALLED, CONN_CLOSED},
    {CONN_ACTIVE, CONN_SLOWED}, /* MQTT 3.1.1: it published more than it may */
    {CONN_SLOWED, CONN_ACTIVE}, /* now it may */
    {CONN_SLOWED, CONN_DRAINING},
    {CONN_SLOWED, CONN_CLOSED},
    {CONN_ACTIVE, CONN_LEAVING}, /* its turn in a drain */
    {CONN_STALLED, CONN_LEAVING},
    {CONN_SLOWED, CONN_LEAVING},
    {CONN_LEAVING, CONN_DRAINING}, /* it has its answers, or waited long enough */
    {CONN_LEAVING, CONN_CLOSED},
    {CONN_DRAINING, CONN_CLOSED}, /* the peer closed too, or took too long */
    {CONN_CLOSED, CONN_FREE},     /* end of the turn */
};

bool conn_step_allowed(enum conn_state from, enum conn_state to)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (steps[i].from == from && steps[i].to == to)
            return true;
    }
    return false;
}

const char *conn_state_name(enum conn_state state)
{
    static const char *const names[CONN_STATE_COUNT] = {
        [CONN_FREE] = "free",       [CONN_AWAIT_CONNECT] = "await-connect",
        [CONN_OPENING] = "opening", [CONN_ACTIVE] = "active",
        [CONN_STALLED] = "stalled", [CONN_SLOWED] = "slowed",
        [CONN_LEAVING] = "leaving", [CONN_DRAINING] = "draining",
        [CONN_CLOSED] = "closed",
    };

    return names[state];
}

void conn_lists_init(struct conn_lists *lists)
{
    for (unsigned i = 0; i < CONN_STATE_COUNT; i++) {
        TAILQ_INIT(&lists->in[i]);
        lists->count[i] = 0;
    }
}

void conn_enter_free(struct conn_lists *lists, struct conn *c)
{
    c->state = CONN_FREE;
    TAILQ_INSERT_TAIL(&lists->in[CONN_FREE], c, state_link);
    lists->count[CONN_FREE]++;
}

void conn_set_state(struct conn_lists *lists, struct conn *c, enum conn_state to)
{
    assert(conn_step_allowed(c->state, to));
    TAILQ_REMOVE(&lists->in[c->state], c, state_link);
    lists->count[c->state]--;
    c->state = (uint8_t)to;
    /* A slot just freed is the next one used: its memory is in the cache. */
    if (to == CONN_FREE)
        TAILQ_INSERT_HEAD(&lists->in[to], c, state_link);
    else
        TAILQ_INSERT_TAIL(&lists->in[to], c, state_link);
    lists->count[to]++;
}
