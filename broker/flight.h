/* flight - what was handed to one device over its socket and is not acknowledged, or is behind
 * something that is not. One ring of messages and one of notifications a device.
 *
 * Ascending by sequence, so the oldest deadline is at the front; owned only while something is in
 * flight. Loop thread. */
#ifndef BECKON_BROKER_FLIGHT_H
#define BECKON_BROKER_FLIGHT_H

#include "common/err.h"
#include "common/mid.h"

#include <stdbool.h>
#include <stdint.h>

enum flight_state {
    FLIGHT_SENT,    /* given to the plugin, outcome awaited */
    FLIGHT_ADOPTED, /* sent before this broker knew the device: no plugin has its id */
    FLIGHT_COVERED, /* of messages: a notification that carries all of it is in flight */
    FLIGHT_DONE
};

struct plugin;

struct flight {
    uint64_t seq;
    uint64_t sent_ms; /* monotonic */
    struct mid mid;
    struct plugin *plugin; /* that has it; NULL for FLIGHT_ADOPTED and FLIGHT_COVERED */
    uint32_t bytes;        /* of its body; 0 when this broker did not send it */
    uint32_t ack_ms;       /* the answer is due so long after sent_ms; 0 = no deadline */
    uint8_t state;         /* enum flight_state */
    bool timed_out;        /* the deadline passed: the next step of the route has it too */
    bool whole;            /* of notifications: the document carries the whole message */
};

struct flights {
    struct flight *ring; /* oldest at head; NULL when empty */
    uint32_t head, count, cap;
    uint32_t outstanding; /* not done, and not timed out */
    uint32_t outstanding_bytes;
};

static inline struct flight *flight_at(const struct flights *flights, uint32_t index)
{
    return &flights->ring[(flights->head + index) & (flights->cap - 1)];
}
/* A new one at the end; seq above all others. NULL when out of memory. */
struct flight *flight_push(struct flights *flights, uint64_t seq, enum flight_state state);
/* Takes the newest back: it was not sent after all. */
void flight_unpush(struct flights *flights);
void flight_done(struct flights *flights, struct flight *flight);
/* The window is for devices that answer: what timed out gives its place back. */
void flight_timed_out(struct flights *flights, struct flight *flight);
void flight_pop(struct flights *flights);
void flights_clear(struct flights *flights);
/* By sequence, or (in ids) its low half. NULL when there is none. */
struct flight *flight_find(const struct flights *flights, uint32_t seq_low);
static inline bool flight_open(const struct flight *flight)
{
    return flight && flight->state != FLIGHT_DONE;
}

#endif
