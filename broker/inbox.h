/* inbox - from a committed message to the sockets of the devices that take messages now: windows,
 * order, cursors. What is not for a socket is alert.c's.
 *
 * Each device gets its person's sequence in order, at most `window` unacknowledged at once. The
 * cursor passes a message when it was acknowledged, was too large, expired, or is not for this
 * device (a copy of what it sent itself). Loop thread. */
#ifndef BECKON_BROKER_INBOX_H
#define BECKON_BROKER_INBOX_H

#include "broker/device.h"
#include "broker/session.h"

struct dp_outcome;

/* A message was committed into user's inbox: remembered for devices that want it now; delivery
 * follows with inbox_pump_touched. Borrows message. */
void inbox_append(struct broker *broker, struct user *user, struct message *message);
/* Delivers to every device of the users touched since the last call. */
void inbox_pump_touched(struct broker *broker);
/* Delivers what the device's window has room for, and plans its alerts. */
void inbox_pump(struct broker *broker, struct device *device);

/* The store's answer for a feed; see feed_fetched. */
void inbox_fetched(struct broker *broker, struct feed *feed, struct message **ready, uint32_t count,
                   uint64_t none_up_to);

/* Record handlers. */
void inbox_on_ack(struct broker *broker, struct peer *peer, const struct wire_ack *ack);
void inbox_on_notified(struct broker *broker, struct peer *peer, const struct wire_ack *ack);
void inbox_on_skip(struct broker *broker, struct peer *peer, const struct wire_skip *skip);

/* The device is about to be forgotten: plugins let go of what is on its socket. */
void inbox_forget_flights(struct device *device);
/* The connection that had deliveries under way is gone: they are due again. */
void inbox_connection_lost(struct broker *broker, struct device *device);
/* A connector tells what a client has of what it was sent before this broker knew its session, or
 * before that ended. The device has no deliveries under way. */
void inbox_adopt(struct broker *broker, struct device *device, const struct wire_progress *messages,
                 const struct wire_progress *notified);
/* A new MQTT session begins on the device: nothing counts as sent. */
void inbox_restart(struct broker *broker, struct device *device);

/* The device acknowledged that message otherwise than as a message: a notification that carried
 * all of it. */
void inbox_acknowledged(struct broker *broker, struct device *device, uint64_t seq,
                        const char *step);
/* True when the device is past that message, or acknowledged it beyond a gap. */
bool inbox_has(const struct device *device, uint64_t seq);

/* What a plugin reported for a message it had for the socket. */
void inbox_outcome(struct broker *broker, uint64_t delivery_id, const struct dp_outcome *outcome);

#endif
