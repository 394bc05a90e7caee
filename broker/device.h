/* device - one (user, device id): cursor, window, stored session, current connection.
 *
 * Exists in memory while its user is. A client that only publishes has one too while it is
 * connected, with no = 0: it is not stored and has no cursor.
 *
 * What is in flight is a short ascending ring, owned only while something is in flight, so an idle
 * device costs its struct and its name. Loop thread. */
#ifndef BECKON_BROKER_DEVICE_H
#define BECKON_BROKER_DEVICE_H

#include "broker/user.h"

struct session;
struct will;

struct subscription {
    uint8_t qos;
    uint8_t options;
    uint32_t id;
    char *filter; /* owned */
};

enum flight_state {
    FLIGHT_SENT,    /* given to the plugin, outcome awaited */
    FLIGHT_ADOPTED, /* sent before this broker knew the device: no plugin has its id */
    FLIGHT_DONE
};
struct flight {
    uint64_t seq;
    uint64_t sent_ms; /* monotonic */
    struct mid mid;
    uint32_t bytes; /* of its body; 0 when this broker did not send it */
    uint8_t state;  /* enum flight_state */
};

struct device {
    struct hash_node node; /* by handle */
    TAILQ_ENTRY(device) link;
    TAILQ_ENTRY(device) dirty_link;
    STAILQ_ENTRY(device) fetch_link;
    struct user *user;
    struct session *session; /* current connection, or NULL */
    struct will *will;       /* of the last connection, its delay running; or NULL */
    uint64_t no;             /* 0 = not stored */
    uint64_t acked_seq;      /* contiguous */
    uint64_t sent_seq;       /* ever PUBLISHed in this session, up to here: later ones get no DUP */
    uint64_t next_seq;       /* next to deliver */
    uint64_t session_expires_at_ms; /* stored session of a client that is away; 0 = connected */
    uint32_t session_expiry_s;
    uint32_t handle; /* names this device in delivery ids */
    bool session_stored;
    bool inbox; /* subscribed to inbox/# with QoS 1 */
    bool tap;   /* subscribed to inbox/# with QoS 0 */
    bool cursor_dirty;
    bool fetching;
    bool fetch_stale; /* the fetch under way is for an earlier connection */
    uint32_t writes;  /* small writes under way that end with this device */
    uint16_t subscription_count;
    uint8_t id_len;
    struct subscription *subscriptions;

    struct flight *ring; /* ascending seq, oldest at head; NULL when empty */
    uint32_t head, count, cap, outstanding;
    uint32_t outstanding_bytes;
    uint64_t *done; /* acknowledged beyond a gap over an earlier connection, ascending */
    uint32_t done_count;
    struct message **ready; /* read back from the database, ascending, from ready_head */
    uint32_t ready_head, ready_count;
    char id[]; /* NUL-terminated */
};

/* Makes a device of user, not stored, cursor 0. NULL when out of memory. */
struct device *device_create(struct broker *broker, struct user *user, struct bytes id);
void device_destroy(struct broker *broker, struct device *device);
struct device *device_find(struct user *user, struct bytes id);
struct device *device_by_handle(struct broker *broker, uint32_t handle);
/* Forgets a device that is neither stored, connected, nor has a session or a Will. */
void device_release(struct broker *broker, struct device *device);
/* Drops what was read back and not delivered. */
void device_forget_ready(struct device *device);
/* How many stored devices the user has. */
unsigned user_stored_devices(const struct user *user);

MUST_CHECK int device_subscribe(struct device *device, struct bytes filter, uint8_t qos,
                                uint8_t options, uint32_t id);
/* False when there was none. */
bool device_unsubscribe(struct device *device, struct bytes filter);
void device_clear_subscriptions(struct device *device);
bool device_session_present(const struct device *device, uint64_t wall_ms);

#endif
