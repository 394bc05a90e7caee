/* limits - how often addresses and devices may connect and devices may publish, how many
 * connections this process takes on a second, and how much may come with a message: option values,
 * buckets (bucket.h), counters and log lines in one place.
 *
 * An address is an IPv4 address, or the /64 network of an IPv6 one: whoever has one address there
 * has them all. A device is counted only once its token is good, so that nobody uses up another
 * one's share. Each process counts for itself. Loop thread only. */
#ifndef BECKON_CONNECTOR_LIMITS_H
#define BECKON_CONNECTOR_LIMITS_H

#include "connector/peer_address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct connector;
struct limits;
struct mqtt_properties;

/* Only what has not filled up again takes a place, so these are the addresses and devices that were
 * busy within the last seconds. A mebibyte for each of three tables. */
#define LIMITS_ENTRIES 65536u

/* entries: of each table, a power of two. Returns owned, NULL when out of memory. */
struct limits *limits_create(uint32_t entries);
void limits_destroy(struct limits *limits);

/* Milliseconds until this process may accept a connection; 0: now. */
uint64_t limits_accept_wait_ms(const struct connector *connector);
void limits_accepted(struct connector *connector);

/* A connection of that address: false when there were too many. */
bool limits_address_connects(struct connector *connector, const struct peer_address *peer);
/* A good CONNECT of c's client: false when there were too many. */
bool limits_device_connects(struct conn *c);
/* The connection is over: its device's next one goes on with what is left. c->client is there. */
void limits_device_gone(struct conn *c);

/* Milliseconds until c's client may publish; 0: now. */
uint64_t limits_publish_wait_ms(const struct conn *c);
/* A publish was taken. */
void limits_published(struct conn *c);
/* A publish came too early. True when that goes on for limit.abuse_s, without a second's pause. */
bool limits_publish_refused(struct conn *c);

/* The properties of a message: false when there are too many, or too long ones. */
bool limits_properties_fit(const struct conn *c, const struct mqtt_properties *properties);
/* A Will of that size: false when it is too large to be kept. */
bool limits_will_fits(const struct conn *c, size_t bytes);

#endif
