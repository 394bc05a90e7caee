/* subscribe - SUBSCRIBE and UNSUBSCRIBE from connectors, answered after their commit. */
#ifndef BECKON_BROKER_SUBSCRIBE_H
#define BECKON_BROKER_SUBSCRIBE_H

#include "common/wire.h"

struct broker;
struct peer;

void subscribe_on_request(struct broker *broker, struct peer *peer,
                          const struct wire_subscribe *record, bool unsubscribe, struct bytes raw);

#endif
