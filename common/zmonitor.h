/* zmonitor - what a ZeroMQ socket's monitor says about its connections. No state. */
#ifndef BECKON_COMMON_ZMONITOR_H
#define BECKON_COMMON_ZMONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zmonitor_event {
    uint16_t event; /* ZMQ_EVENT_* */
    uint32_t value; /* what it means depends on the event */
};

/* Takes one event off the PAIR socket that is connected to a monitor. False when there is none. */
bool zmonitor_read(void *monitor, struct zmonitor_event *ret_event);

/* Why a handshake failed, seen from the side that connected to a broker, with_keys (CURVE) or
 * without. Writes into buf and returns it, NULL when the event is no failed handshake. */
const char *zmonitor_why(const struct zmonitor_event *event, bool with_keys, char *buf,
                         size_t size);

#endif
