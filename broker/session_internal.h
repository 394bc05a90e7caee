/* session_internal - shared by session.c, session_handlers.c and subscribe.c only. */
#ifndef BECKON_BROKER_SESSION_INTERNAL_H
#define BECKON_BROKER_SESSION_INTERNAL_H

#include "broker/session.h"

struct session_ending {
    bool send_will;    /* if the session has one */
    bool asked;        /* the connector said CLOSE: it waits for CLOSED, and for WILL_DONE */
    bool superseded;   /* a newer connection of the device follows at once: the MQTT session is its
                          business */
    bool keep_session; /* expiry as granted; else expiry_s counts */
    uint32_t expiry_s;
    const struct mid *will_mid; /* NULL = mint one */
};

uint64_t session_next_epoch(struct broker *broker);
/* Makes the device's current session (it has none). NULL when out of memory. */
struct session *session_add(struct broker *broker, struct peer *peer, struct device *device,
                            const struct wire_open *open);
/* Frees session; its device may go with it. */
void session_end(struct broker *broker, struct session *session,
                 const struct session_ending *ending);
/* A newer connection of the same device: kicks the old one and ends it. */
void session_take_over(struct broker *broker, struct session *old, bool clean_start);
/* The client says foreground or background, and how long (0 = it does not know). */
void session_set_state(struct broker *broker, struct session *session, uint8_t state,
                       uint32_t lease_s);
/* The MQTT session of a device without a connection lasts expiry_s from now, 0 ends it. peer: tell
 * it CLOSED for conn once that and the device's cursors are committed; 0 = nobody asked. */
void session_leave(struct broker *broker, struct device *device, uint32_t expiry_s, uint64_t peer,
                   uint64_t conn);
/* The same for a device whose MQTT session is not touched. */
void session_closed_when_stored(struct broker *broker, struct device *device, uint64_t peer,
                                uint64_t conn);
/* Sends CLOSED now: nothing of the device waits to be written. */
void session_closed(struct broker *broker, uint64_t peer, uint64_t conn);
/* Sends OPENED and starts delivery. */
void session_opened(struct broker *broker, struct session *session, uint8_t reason);

#endif
