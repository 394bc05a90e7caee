/* device - one (user, device id): cursor, window, stored session, current connection.
 *
 * Exists in memory while its user is. A client that only publishes has one too while it is
 * connected, with no = 0: it is not stored and has no cursor.
 *
 * An idle device costs its struct and its name. Loop thread. */
#ifndef BECKON_BROKER_DEVICE_H
#define BECKON_BROKER_DEVICE_H

#include "broker/feed.h"
#include "broker/flight.h"
#include "broker/seq_set.h"
#include "broker/user.h"

struct alert;
struct session;
struct will;

struct subscription {
    uint8_t qos;
    uint8_t options;
    uint32_t id;
    char *filter; /* owned */
};

/* Where the device can be pushed to. One allocation. */
struct push {
    uint64_t registered_at_ms; /* wall clock */
    const char *provider;      /* name of the delivery plugin; these point into text */
    const char *token, *topic, *environment;
    char text[];
};

struct device {
    struct hash_node node; /* by handle */
    TAILQ_ENTRY(device) link;
    TAILQ_ENTRY(device) dirty_link;
    struct user *user;
    struct session *session; /* current connection, or NULL */
    struct push *push;       /* registration, or NULL */
    struct alert *alert;     /* what alerts this device; NULL until something does */
    struct will *will;       /* of the last connection, its delay running; or NULL */
    uint64_t no;             /* 0 = not stored */
    uint64_t acked_seq;      /* contiguous */
    uint64_t sent_seq;       /* ever PUBLISHed in this session, up to here: later ones get no DUP */
    uint64_t alerted_seq;    /* as the database's device.alerted_seq; may be below acked_seq */
    uint64_t newest_epoch;   /* of its connections, as far as this process knows; 0 = none */
    uint64_t moved_from;     /* acked_seq as last written: where the next row of the trace begins */
    const char *acked_by;    /* plugin of the newest acknowledgement, NULL = none */
    uint64_t session_expires_at_ms; /* stored session of a client that is away; 0 = connected */
    uint32_t session_expiry_s;
    uint32_t handle; /* names this device in delivery ids */
    bool session_stored;
    bool inbox;    /* subscribed to inbox/# with QoS 1 */
    bool tap;      /* subscribed to inbox/# with QoS 0 */
    bool no_local; /* the subscription's No Local: nothing that this device published itself */
    bool cursor_dirty;
    uint32_t writes; /* small writes under way that end with this device */
    uint16_t subscription_count;
    uint8_t id_len;
    struct subscription *subscriptions;

    struct feed feed;       /* of messages on the socket */
    struct flights flights; /* messages on the socket */
    struct seq_set done;    /* acknowledged beyond a gap over an earlier connection, or as a
                               notification */
    char id[];              /* NUL-terminated */
};
_Static_assert(sizeof(struct device) <= 320, "struct device is over its budget");

/* Makes a device of user, not stored, cursor 0. NULL when out of memory. */
struct device *device_create(struct broker *broker, struct user *user, struct bytes id);
void device_destroy(struct broker *broker, struct device *device);
struct device *device_find(struct user *user, struct bytes id);
struct device *device_by_handle(struct broker *broker, uint32_t handle);
/* Forgets a device that is neither stored, connected, nor has a session or a Will. */
void device_release(struct broker *broker, struct device *device);
/* Nothing is under way for it any more: what is to be alerted is, or it is forgotten. */
void device_idle(struct broker *broker, struct device *device);
/* Plans the alerts of all devices again that have any. */
void devices_alert_all(struct broker *broker);
/* How many stored devices the user has. */
unsigned user_stored_devices(const struct user *user);

/* NULL when there is none with that filter. */
struct subscription *device_subscription(const struct device *device, struct bytes filter);
MUST_CHECK int device_subscribe(struct device *device, struct bytes filter, uint8_t qos,
                                uint8_t options, uint32_t id);
/* False when there was none. */
bool device_unsubscribe(struct device *device, struct bytes filter);
void device_clear_subscriptions(struct device *device);
bool device_session_present(const struct device *device, uint64_t wall_ms);

#endif
