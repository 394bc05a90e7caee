/* alert - getting a device's attention: notifications on its background socket, pushes, and the
 * moments between routes: deadlines, leases, doubt.
 *
 * Problem: a socket that looks alive may not be, and a push and a socket must not both ring.
 * Method: each device has one sequence of alerts, in order, with a cursor (alerted_seq) beside the
 * cursor of its messages. What is next is either carried by a notification on the socket (a window
 * of them), or by one push at a time; what is in flight on the socket is pushed only when its own
 * deadline, or the device's background time, is over. One timer a device, for whatever it waits for
 * first. Nothing of this is stored but the cursor: after a crash it follows from the cursors and
 * from what connectors announce. Loop thread. */
#ifndef BECKON_BROKER_ALERT_H
#define BECKON_BROKER_ALERT_H

#include "broker/device.h"
#include "common/timer_wheel.h"
#include "common/wire.h"

struct dp_outcome;
struct plugin;
struct session;

MUST_CHECK int alerts_create(struct broker *broker);
void alerts_destroy(struct broker *broker);
void alert_destroy(struct broker *broker, struct device *device);

/* Plans again: after anything that may change how the device is reached, or that there is something
 * to tell it. Cheap when there is nothing to do. */
void alert_run(struct broker *broker, struct device *device);
/* Something was heard from the device: it is not doubtful. */
void alert_heard(struct broker *broker, struct device *device);
/* For the store. NULL when there is none. */
struct feed *alert_feed(struct device *device);
/* The next sequence to be alerted. */
uint64_t alert_next_seq(const struct device *device);
/* A notification that carries that whole message is in flight. */
bool alert_carries(const struct device *device, uint64_t seq);
/* The person read a conversation up to there: alerts for it are not needed any more. */
void alert_seen(struct broker *broker, struct device *device, uint64_t seq);
/* The device showed that message to the person, however it got it. */
void alert_shown(struct broker *broker, struct device *device, uint64_t seq);

/* The socket's answers to notifications. */
void alert_on_notified(struct device *device, const struct wire_ack *ack);
void alert_on_skip(struct device *device, uint64_t seq);
/* The socket is gone: what was in flight on it is due. */
void alert_connection_lost(struct device *device);
/* A connector tells what notifications it has in flight. */
void alert_adopt(struct broker *broker, struct device *device,
                 const struct wire_progress *notified);

/* --- outcomes, from delivery.c --- */

void alert_notify_outcome(struct broker *broker, uint64_t delivery_id,
                          const struct dp_outcome *outcome);
void alert_push_outcome(struct broker *broker, struct plugin *plugin, uint64_t delivery_id,
                        const struct dp_outcome *outcome);
void alert_plugin_ready(struct broker *broker, struct plugin *plugin);

#endif
