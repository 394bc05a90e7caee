/* will - MQTT Wills: kept with the session, and after its loss until the delay is over, then
 * published like any message. The connector keeps a copy until WILL_DONE, so a Will survives either
 * process; a connector and its broker that die together may lose one. Loop thread. */
#ifndef BECKON_BROKER_WILL_H
#define BECKON_BROKER_WILL_H

#include "common/timer_wheel.h"
#include "common/wire.h"

struct broker;
struct device;

struct will {
    struct timer timer; /* the delay */
    struct broker *broker;
    struct device *device;
    uint64_t peer; /* bus peer id of the connector that waits for WILL_DONE, 0 = none */
    uint64_t conn;
    uint32_t delay_s;
    uint8_t qos;
    struct wire_publish publish; /* strings and bytes point into data */
    uint8_t data[];
};

/* Copies source (present) for a session of user/device. NULL when out of memory. */
struct will *will_create(struct broker *broker, const struct wire_will *source, struct bytes user,
                         struct bytes device);
/* No WILL_DONE is sent. NULL is allowed. */
void will_destroy(struct will *will);

/* The connection is lost: from now on the Will belongs to the device and its delay (at most
 * session_expiry_s) runs. Takes *taken. peer and conn: who gets WILL_DONE (0 = nobody). */
void will_start(struct broker *broker, struct device *device, struct will **taken, uint64_t peer,
                uint64_t conn, const struct mid *mid, uint32_t session_expiry_s);
/* The session goes on: the Will is not wanted any more. */
void will_withdraw(struct broker *broker, struct device *device);
/* The session ended: publish now, whatever the delay. */
void will_publish_now(struct broker *broker, struct device *device);
/* Record handler: a connector tells of a Will whose delay runs, after this broker started. */
void will_on_record(struct broker *broker, uint64_t peer_id, const struct wire_pending_will *record,
                    struct bytes raw);
/* The publish of that Will was answered. */
void will_done(struct broker *broker, uint64_t peer, uint64_t conn);

#endif
