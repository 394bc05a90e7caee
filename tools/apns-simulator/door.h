/* door - where providers connect: accepts them, and knows all connections.
 * Loop thread only. Life cycle: door_create, door_stop (optional), door_destroy. */
#ifndef BECKON_APNS_SIMULATOR_DOOR_H
#define BECKON_APNS_SIMULATOR_DOOR_H

#include "common/err.h"

#include <stdint.h>

struct connection;
struct connection_setup;
struct simulator;
struct door;

struct door_counts {
    uint64_t open;     /* connections now */
    uint64_t accepted; /* since the start */
    uint64_t requests; /* under way now */
};

/* Listens and sets simulator->door. 0; ERR_CONFIG, ERR_SYSTEM or ERR_NO_MEMORY with et. */
MUST_CHECK int door_create(struct simulator *simulator, struct err_text *et);
/* Closes what is still open. NULL is allowed. */
void door_destroy(struct door *door);
/* The behaviour has changed: what concerns open connections takes effect. */
void door_apply_behaviour(struct door *door);
/* Accepts nobody any more and says GOAWAY to all; on_stopped(arg) when the last one is gone, or
 * max_ms later. */
void door_stop(struct door *door, uint64_t max_ms, void (*on_stopped)(void *arg), void *arg);
struct door_counts door_count(const struct door *door);

/* For connection.c: it is gone. */
void door_forget(struct door *door, struct connection *connection);
/* For connection.c: what its connections share. Lives as long as the door. */
const struct connection_setup *door_setup(const struct door *door);

#endif
