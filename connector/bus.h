/* bus - the link to one broker: a DEALER's life cycle, HELLO and WELCOME, heartbeat, one frame a
 * turn. docs/wire.md describes the protocol.
 *
 * A DEALER lives for one TCP connection. When its monitor reports that gone, or the broker falls
 * silent or refuses us, the socket is closed and a new one made after a pause; what its queue still
 * held is lost with it, and the owner announces everything again when `welcomed` is called.
 * The bus knows records, not connections. Loop thread only. */
#ifndef BECKON_CONNECTOR_BUS_H
#define BECKON_CONNECTOR_BUS_H

#include "common/buf.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/wire.h"

#include "connector/curve_link.h"

struct bus;
struct metrics;

struct bus_events {
    /* The link is up: announce what is open. Records put now come before all others. */
    void (*welcomed)(void *arg, const struct wire_welcome *welcome);
    /* A record that is not about the link itself. Borrowed. */
    void (*received)(void *arg, const struct wire_record *record);
    /* The link was up and is not any more. */
    void (*lost)(void *arg, const char *why);
};

struct bus_config {
    const char *endpoint;
    const struct curve_link *curve; /* copied; NULL: without keys */
    const char *name;               /* "connector/0", for the broker's log */
    const struct bus_events *events;
    void *arg;
    struct metrics *metrics;
};

/* Copies config, borrows what it points to. Begins to connect. 0; ERR_NO_MEMORY; ERR_CONFIG (an
 * endpoint ZeroMQ does not understand), ERR_SYSTEM, with et. */
MUST_CHECK int bus_create(struct loop *loop, const struct bus_config *config, struct bus **ret_bus,
                          struct err_text *et);
/* Sends what is waiting, gives the socket up to a second to write it, frees everything. */
void bus_destroy(struct bus *bus);

/* Other keys, from the next link on: the one that is up has proved itself with the old ones. */
void bus_set_keys(struct bus *bus, const struct curve_link *curve);

/* The frame of this turn, to append one record to; NULL while the link is not up. It is sent at the
 * end of the turn, or as soon as the link has room. The pointer holds while the link does; asking
 * again before each record is what begins another frame when this one is full. */
struct buf *bus_frame(struct bus *bus);
/* A frame goes at the end of this turn: one record more in it costs next to nothing. */
bool bus_is_sending(const struct bus *bus);
/* True when the link takes no more and much is waiting: the moment to stop reading from clients. */
bool bus_congested(const struct bus *bus);

#endif
