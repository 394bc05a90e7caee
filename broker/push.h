/* push - push registrations: me/push, and tokens that died. A token belongs to the device that
 * registered it last. Loop thread. */
#ifndef BECKON_BROKER_PUSH_H
#define BECKON_BROKER_PUSH_H

#include "broker/device.h"
#include "common/wire.h"

struct store_op;

/* Returns owned (free), NULL when out of memory. */
struct push *push_create(struct bytes provider, struct bytes token, struct bytes topic,
                         struct bytes environment, uint64_t registered_at_ms);
/* WIRE_PUSH: answered when it is committed. */
void push_on_record(struct broker *broker, uint64_t peer, const struct wire_push *record,
                    struct bytes raw);
/* WIRE_PUSH_GONE, from another broker: answered when it is forgotten. */
void push_on_gone(struct broker *broker, uint64_t peer, const struct wire_push_gone *record,
                  struct bytes raw);
/* The token is dead. */
void push_forget(struct broker *broker, struct device *device);
/* Somebody else registered that token: the device named here has lost it. */
void push_taken_over(struct broker *broker, struct bytes user, uint64_t device_no);

#endif
