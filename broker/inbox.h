/* inbox - from a committed message to the devices that are online: windows, order, cursors.
 *
 * Each device gets its person's sequence in order, at most `window` unacknowledged at once. What to
 * send comes from the person's tail in memory, or is read back from the database when the device is
 * behind it. The cursor passes a message when it was acknowledged, was too large, expired, or is
 * not for this device (a copy of what it sent itself). Loop thread. */
#ifndef BECKON_BROKER_INBOX_H
#define BECKON_BROKER_INBOX_H

#include "broker/device.h"
#include "broker/session.h"

/* A message was committed into user's inbox: remembered for devices that are online; delivery
 * follows with inbox_pump_touched. Borrows message. */
void inbox_append(struct broker *broker, struct user *user, struct message *message);
/* Delivers to every device of the users touched since the last call. */
void inbox_pump_touched(struct broker *broker);
/* Delivers what the device's window has room for. */
void inbox_pump(struct broker *broker, struct device *device);

/* The store's answer: messages after the device's cursor, ascending (ready and its references are
 * taken). none_up_to: nothing is left in the database up to there (expired with its partition). */
void inbox_fetched(struct broker *broker, struct device *device, struct message **ready,
                   uint32_t count, uint64_t none_up_to);

/* Record handlers. */
void inbox_on_ack(struct broker *broker, struct peer *peer, const struct wire_ack *ack);
void inbox_on_skip(struct broker *broker, struct peer *peer, const struct wire_skip *skip);

/* The connection that had deliveries under way is gone: they are due again. */
void inbox_connection_lost(struct broker *broker, struct device *device);
/* A connector tells what it sent before this broker knew the session. */
void inbox_adopt(struct broker *broker, struct device *device, uint64_t acked_seq,
                 struct wire_list sent);
/* A new MQTT session begins on the device: nothing counts as sent. */
void inbox_restart(struct broker *broker, struct device *device);

/* --- for the route --- */

/* What a plugin reported for a delivery. */
void inbox_outcome(struct broker *broker, uint64_t delivery_id, uint32_t kind, const char *reason);

#endif
