/* session - a client's session as the broker knows it: OPEN to CLOSE, acknowledgements, and the
 * announcement of everything when a link comes up. docs/wire.md, "Sessions". */
#ifndef BECKON_CONNECTOR_SESSION_H
#define BECKON_CONNECTOR_SESSION_H

#include "common/wire.h"

struct broker;
struct conn;
struct connector;

/* Asks the broker to open the session of c (CONN_OPENING). Without a link it is asked when one
 * comes up. */
void session_open(struct conn *c);
/* The broker's answer: CONNACK, and the packets that came meanwhile. */
void session_on_opened(struct broker *broker, const struct wire_opened *opened);
/* The connection ends: tells the broker (unless it was the broker who ended it), keeps the Will
 * until the broker has dealt with it. No effect on a connection without a session. */
void session_end(struct conn *c, uint8_t mqtt_reason, bool will_due, bool tell_broker);
/* True while a broker has not answered something that this client asked. */
bool session_awaits_answers(const struct conn *c);
/* The broker doubts that the client is there. */
void session_on_doubt(struct broker *broker, const struct wire_session *doubt);
/* A doubtful client spoke. */
void session_heard(struct conn *c);
/* Tells the broker what was acknowledged since the last time. */
void session_send_ack(struct conn *c);
/* Reads again from clients that waited for room among the requests. */
void session_resume_stalled(struct connector *connector);
/* Stops reading from c: its next packet needs room among the requests to that broker, and there is
 * none. */
void session_stall(struct conn *c, struct broker *broker);

/* A link is up: everything the broker can't know, in the order of docs/wire.md. */
void session_announce_all(struct broker *broker, const struct wire_welcome *welcome);
/* Tells c's owner of it, if there is a link. */
void session_announce(struct conn *c);

#endif
