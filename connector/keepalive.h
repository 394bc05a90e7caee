/* keepalive - everything a connection waits for with a clock, on one timer each: CONNECT, the
 * broker's answer, the next packet (MQTT keep alive), the expiry of the token, the end of a pause
 * for a client that publishes too fast, the last answers before this process stops, the peer's
 * close. */
#ifndef BECKON_CONNECTOR_KEEPALIVE_H
#define BECKON_CONNECTOR_KEEPALIVE_H

#include "common/timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;

/* The timer callback of every connection; what it means depends on the state. */
void keepalive_on_timer(struct timer *timer);
/* Arms the timer of an open connection for the next time it has to be looked at. */
void keepalive_arm(struct conn *c);

/* What keepalive_next found. */
enum keepalive_verdict { KEEPALIVE_WAIT, KEEPALIVE_SILENT, KEEPALIVE_TOKEN_EXPIRED };

struct keepalive_view {
    uint64_t now_ms, wall_ms;
    uint64_t last_seen_ms;
    uint64_t token_ends_ms; /* wall clock, grace included */
    uint16_t keep_alive_s;  /* 0 = none */
    bool suspended;         /* we are not reading from the client */
};
/* Decides; with KEEPALIVE_WAIT *ret_delay_ms is when to decide again. No I/O, for tests too. */
enum keepalive_verdict keepalive_next(const struct keepalive_view *view, uint64_t *ret_delay_ms);

#endif
