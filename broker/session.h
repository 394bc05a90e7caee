/* session - client connections as the broker sees them: opened by a connector, superseded by a
 * newer connection of the same device, closed, or lost with their connector.
 *
 * The only writer of device->session. A session is found by (peer, connector's handle). Loop
 * thread. */
#ifndef BECKON_BROKER_SESSION_H
#define BECKON_BROKER_SESSION_H

#include "broker/device.h"
#include "broker/will.h"
#include "common/wire.h"

struct peer;

struct session {
    struct hash_node node;
    TAILQ_ENTRY(session) peer_link;
    struct peer *peer;
    struct device *device;
    uint64_t conn;
    uint64_t epoch;
    uint32_t expiry_s; /* granted Session Expiry Interval */
    uint32_t window;
    uint64_t opened_ms;      /* monotonic */
    uint64_t lease_until_ms; /* background: the system lets it run until then; 0 = no limit */
    uint8_t state;           /* enum wire_device_state */
    bool opened;             /* OPENED was sent */
    bool doubtful; /* it did not answer in time, or its background time is over, and nothing was
                      heard since */
    bool stale;    /* its link was replaced and it was not announced again yet */
    bool unlinked; /* the same, until the announcement is handled: what was sent last may be lost
                      with the old link, so nothing is sent before that */
    bool session_present;
    struct will *will; /* from OPEN, or NULL */
};
TAILQ_HEAD(session_list, session);
_Static_assert(sizeof(struct session) <= 128, "struct session is over its budget");

MUST_CHECK int sessions_create(struct broker *broker);
void sessions_destroy(struct broker *broker);

struct session *session_find(struct broker *broker, const struct peer *peer, uint64_t conn);

/* Keeps an OPEN or ANNOUNCE for when its user is in memory, and remembers which user the connection
 * waits for: whatever else comes from it meanwhile has to wait behind it. */
MUST_CHECK int session_park(struct broker *broker, struct peer *peer, uint64_t conn,
                            struct user *user, struct bytes raw);
/* The user whose loading that connection waits for, or NULL. */
struct user *session_parked_on(struct broker *broker, const struct peer *peer, uint64_t conn);
void session_unpark(struct broker *broker, uint64_t peer_id, uint64_t conn);

/* Record handlers. `raw` is the record itself, for parking. */
void session_on_open(struct broker *broker, struct peer *peer, const struct wire_open *open,
                     struct bytes raw);
void session_on_announce(struct broker *broker, struct peer *peer,
                         const struct wire_announce *announce, struct bytes raw);
void session_on_ended(struct broker *broker, struct peer *peer, const struct wire_ended *ended,
                      struct bytes raw);
void session_on_close(struct broker *broker, struct peer *peer, const struct wire_close *close);
void session_on_heard(struct broker *broker, struct peer *peer, const struct wire_session *heard);
void session_on_state(struct broker *broker, struct peer *peer, const struct wire_state *state);

/* The peer's link was replaced by a new one of the same process: sessions wait to be announced. */
void sessions_mark_stale(struct peer *peer);
/* Everything was announced: what is still stale is gone. */
void sessions_drop_stale(struct broker *broker, struct peer *peer);
/* The person is another broker's from now on: their connections are forgotten here, as if they had
 * never been. */
void sessions_forget(struct broker *broker, struct user *user);
/* The peer is dead: all its sessions are lost, their Wills due. */
void sessions_lose_all(struct broker *broker, struct peer *peer);

#endif
