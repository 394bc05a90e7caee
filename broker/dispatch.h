/* dispatch - record type -> handler. */
#ifndef BECKON_BROKER_DISPATCH_H
#define BECKON_BROKER_DISPATCH_H

#include "common/err.h"
#include "common/wire.h"

struct broker;
struct peer;

/* raw: the record as it lay in the frame. 0; ERR_PROTOCOL: a type that connectors do not send. */
MUST_CHECK int dispatch(struct broker *broker, struct peer *peer, const struct wire_record *record,
                        struct bytes raw);
/* A record that waited for a user who is in memory now. peer_id: its connector, maybe gone. */
void dispatch_parked(struct broker *broker, uint64_t peer_id, struct bytes raw);

#endif
