/* dispatch - record type -> handler. */
#ifndef BECKON_BROKER_DISPATCH_H
#define BECKON_BROKER_DISPATCH_H

#include "common/err.h"
#include "common/wire.h"

struct broker;
struct parked;
struct peer;

/* raw: the record as it lay in the frame; broker->record_generation is the frame's. 0;
 * ERR_PROTOCOL: a type that connectors do not send. */
MUST_CHECK int dispatch(struct broker *broker, struct peer *peer, const struct wire_record *record,
                        struct bytes raw);
/* A record that waited for a user who is in memory now; its connector may be gone. */
void dispatch_parked(struct broker *broker, const struct parked *parked);

#endif
