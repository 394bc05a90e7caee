/* session_internal - shared by session.c, session_handlers.c and subscribe.c only. */
#ifndef BECKON_BROKER_SESSION_INTERNAL_H
#define BECKON_BROKER_SESSION_INTERNAL_H

#include "broker/session.h"

struct session_ending {
    bool send_will;    /* if the session has one */
    bool will_done;    /* the connector waits for WILL_DONE */
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
/* Sends OPENED and starts delivery. */
void session_opened(struct broker *broker, struct session *session, uint8_t reason);

#endif
