/* link - the link to one broker, of a connector or of another broker: a DEALER's life cycle, HELLO
 * and WELCOME, heartbeat, one frame a turn. docs/wire.md describes the protocol.
 *
 * A DEALER lives for one TCP connection. When its monitor reports that gone, or the broker falls
 * silent or refuses us, the socket is closed and a new one made after a pause; what its queue still
 * held is lost with it, and the owner announces everything again when `welcomed` is called.
 * A link knows records, not connections. Loop thread only. */
#ifndef BECKON_COMMON_LINK_LINK_H
#define BECKON_COMMON_LINK_LINK_H

#include "common/buf.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/wire.h"

#include "common/link/link_keys.h"

struct link;

struct link_events {
    /* The link is up: announce what is open. Records put now come before all others. */
    void (*welcomed)(void *arg, const struct wire_welcome *welcome);
    /* MEMBERS: the broker has another view than it said before. */
    void (*members)(void *arg, const struct wire_members *members);
    /* A record that is not about the link itself. Borrowed. */
    void (*received)(void *arg, const struct wire_record *record);
    /* The link was up and is not any more. */
    void (*lost)(void *arg, const char *why);
};

/* The owner's counters; all its links may share them. */
struct link_counters {
    uint64_t *up, *lost; /* links */
    uint64_t *handshakes_failed;
    uint64_t *frames_sent, *frames_received;
    uint64_t *sends_blocked; /* frames that had to wait because the link was full */
};

struct link_config {
    void *context; /* ZeroMQ's */
    const char *endpoint;
    const struct link_keys *keys; /* copied; NULL: without keys */
    enum wire_peer_kind kind;     /* what we are */
    const char *name;             /* "connector/0", for the broker's log */
    const uint8_t *instance;      /* WIRE_INSTANCE_SIZE bytes: of this process, for all its links */
    uint64_t generation;          /* of ownership that the frames carry at first; 0: none known */
    const struct link_events *events;
    void *arg; /* of events */
    struct link_counters counters;
};

/* Copies config, borrows what it points to (the endpoint as well is copied). Begins to connect. 0;
 * ERR_NO_MEMORY; ERR_CONFIG (an endpoint ZeroMQ does not understand), ERR_SYSTEM, with et. */
MUST_CHECK int link_create(struct loop *loop, const struct link_config *config,
                           struct link **ret_link, struct err_text *et);
/* Sends what is waiting, and frees everything; zmq_ctx_term then gives the socket up to a second to
 * write it. Not from within an event of this link. */
void link_destroy(struct link *link);
/* The end of the turn, for the owner's hook: sends. */
void link_flush(struct link *link);

/* Ends the link; another socket is made after a pause. `lost` is called if it was up. */
void link_drop(struct link *link, const char *why);
/* The same after the longest pause: the broker is not one to link to, for now. */
void link_put_off(struct link *link, const char *why);
/* Frames carry that generation from now on; what was put before keeps its own. */
void link_set_generation(struct link *link, uint64_t generation);
/* Events go there from now on. */
void link_set_arg(struct link *link, void *arg);
const char *link_endpoint(const struct link *link);
/* WELCOME has come, and nothing has ended the link since. */
bool link_is_up(const struct link *link);

/* Other keys, from the next link on: the one that is up has proved itself with the old ones. */
void link_set_keys(struct link *link, const struct link_keys *keys);

/* The frame of this turn, to append one record to; NULL while the link is not up. It is sent at the
 * end of the turn, or as soon as the link has room. The pointer holds while the link does; asking
 * again before each record is what begins another frame when this one is full. */
struct buf *link_frame(struct link *link);
/* A frame goes at the end of this turn: one record more in it costs next to nothing. */
bool link_is_sending(const struct link *link);
/* A frame of so many bytes is worth the wake-ups that it costs, and does not wait for more. */
#define LINK_FRAME_WORTH 16384
/* How large it is by now. */
size_t link_frame_bytes(const struct link *link);
/* True when the link takes no more and much is waiting: the moment to stop reading from clients. */
bool link_congested(const struct link *link);

#endif
