/* will - the Wills of this process's clients, while they are connected and afterwards.
 *
 * A connected client's Will hangs on its struct client. When the connection is lost the broker
 * waits out the Will Delay and publishes it; until it says WILL_DONE the connector keeps a copy,
 * under the handle of the closed connection, to announce it should another broker have to do it.
 * Loop thread only. */
#ifndef BECKON_CONNECTOR_WILL_H
#define BECKON_CONNECTOR_WILL_H

#include "common/err.h"
#include "common/hash.h"
#include "common/mid.h"
#include "common/wire.h"

#include <stddef.h>

/* One allocation; free() it. */
struct will {
    uint8_t kind, qos; /* as in struct wire_will */
    bool has_expiry;
    uint8_t to_len, key_len;
    uint32_t delay_s, expiry_s;
    uint32_t properties_len, payload_len;
    uint8_t data[]; /* to, key, properties, payload */
};

/* Copies. Returns owned, NULL when out of memory. */
struct will *will_create(const struct wire_will *wire);
/* A view of it; will may be NULL (present is false then). Valid as long as will. */
struct wire_will will_view(const struct will *will);
size_t will_size(const struct will *will);

struct brokers;
struct wills;

/* max_bytes: what is kept at most; a Will is a promise to publish later, which must not cost
 * unbounded memory. Returns owned, NULL when out of memory. */
struct wills *wills_create(size_t max_bytes);
void wills_destroy(struct wills *wills);

struct pending_will {
    uint64_t conn; /* the closed connection */
    uint8_t owner; /* slot of the person's broker */
    struct mid mid;
    uint64_t epoch;
    uint64_t due_ms;
    uint64_t session_ends_ms; /* UINT64_MAX: not by itself */
    struct bytes user, device;
};
/* Takes *will. pending is copied. 0; ERR_FULL, ERR_NO_MEMORY (then the Will is freed: only a new
 * broker would have missed it). */
MUST_CHECK int wills_add(struct wills *wills, const struct pending_will *pending,
                         struct will **will);
/* Forgets it; unknown handles are ignored, and those of people of another owner. */
void wills_remove(struct wills *wills, uint64_t conn, uint8_t owner);
size_t wills_count(const struct wills *wills);
/* Appends a WILL record for each of that owner's people, with what is left of its delay at now_ms.
 */
void wills_announce(const struct wills *wills, uint8_t owner, uint64_t now_ms, struct buf *frame);
/* As ended_move. */
void wills_move(struct wills *wills, const struct brokers *brokers, uint64_t now_ms);

#endif
