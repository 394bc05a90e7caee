/* drain - the orderly end of a connector: no new connections, then every client is disconnected,
 * spread over drain.ms so that not all of them reconnect in the same instant; then, when the broker
 * has committed what they acknowledged, the loop stops.
 *
 * MQTT 5 clients get DISCONNECT 0x8B. Their Wills are not sent: the person has not gone, this
 * process has, and the client is back through another connector in a moment. */
#ifndef BECKON_CONNECTOR_DRAIN_H
#define BECKON_CONNECTOR_DRAIN_H

#include "common/timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct connector;

struct drain {
    struct connector *connector;
    struct timer timer;
    uint64_t started_ms, ends_ms;
    uint64_t accepts_until_ms; /* then the listening sockets are closed */
    uint64_t broker_until_ms;  /* how long its confirmations are waited for; 0 = not begun */
    uint32_t let_go;           /* connections so far */
    bool running;
    bool closed; /* the listening sockets */
};

void drain_init(struct drain *drain, struct connector *connector);
/* Begins; a second call ends the loop at once. */
void drain_start(struct drain *drain);

#endif
