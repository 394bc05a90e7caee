/* request - the way a client's SUBSCRIBE, UNSUBSCRIBE, QoS 1 PUBLISH or me/... takes to a broker,
 * and from one broker to another. Loop thread only. */
#ifndef BECKON_CONNECTOR_REQUEST_H
#define BECKON_CONNECTOR_REQUEST_H

#include "common/link/link_requests.h"
#include "common/mid.h"
#include "common/wire.h"

struct broker;
struct conn;
struct connector;

/* The reply of a request whose client wants no answer (QoS 0). */
#define REPLY_NONE UINT32_MAX

/* Where to encode the request: the frame of the turn, or a spare buffer while there is no link. */
struct buf *request_buf(struct connector *connector, struct broker *broker);
/* Gives the broker a request and remembers it until it is answered: record was encoded at the end
 * of what request_buf returned, from offset start. reply and codes as in struct link_request.
 * Closes the connection when memory runs out (then false). */
bool request_add(struct conn *c, struct broker *broker, enum wire_type type, uint32_t reply,
                 const struct buf *out, size_t start, struct bytes codes);
/* Forgets it. c: its connection, NULL when that is gone. */
void request_done(struct broker *broker, uint64_t token, struct conn *c);
/* Its owner is `to` now (NULL: nobody waits for it, it is forgotten): asked there with `resend`. */
void request_move(struct broker *from, struct broker *to, uint64_t token,
                  const struct link_request *request);
/* A PUBLISH that was stored becomes the COPY of it, if its sender's owner is another broker.
 * stored: the MID that the answer named, or NULL. False: it is answered as it is. */
bool request_copy(struct broker *from, uint64_t token, const struct link_request *request,
                  const struct mid *stored);

#endif
