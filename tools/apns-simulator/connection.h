/* connection - one provider's TLS connection with its HTTP/2 session.
 *
 * Closed is not freed: memory goes back at the end of the turn. Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_CONNECTION_H
#define BECKON_APNS_SIMULATOR_CONNECTION_H

#include "common/buf.h"
#include "common/loop.h"

#include "provider_auth.h"

#include <nghttp2/nghttp2.h>
#include <openssl/types.h>
#include <sys/queue.h>

struct door;
struct simulator;
struct stream;

enum connection_state {
    CONNECTION_HANDSHAKE, /* TLS is being set up */
    CONNECTION_OPEN,      /* HTTP/2 */
    CONNECTION_LINGER,    /* all was said; waits for the client to read it and close */
    CONNECTION_CLOSED,    /* freed at the end of the turn */
};

struct connection {
    TAILQ_ENTRY(connection) link; /* in its door's list */
    struct loop_garbage garbage;
    struct loop_task flush;
    struct timer timer; /* the deadline of the state */
    struct simulator *simulator;
    struct door *door;
    enum connection_state state;
    int fd;
    loop_id io;
    SSL *ssl;
    nghttp2_session *session; /* NULL before OPEN */
    struct buf out;           /* frames that TLS has not taken yet, from out_sent on */
    size_t out_sent;
    uint64_t active_ms;           /* when the last request or answer was */
    struct provider_session auth; /* what its tokens bound it to */
    TAILQ_HEAD(, stream) streams; /* open ones */
    uint32_t stream_count;
    uint32_t announced_streams; /* SETTINGS_MAX_CONCURRENT_STREAMS as last sent */
    uint64_t answers;
    int32_t last_answered; /* highest stream id with an answer */
    bool ending;           /* GOAWAY was sent */
    int32_t last_stream;   /* the id in it */
};

/* What all connections share; made by door.c. */
struct connection_setup {
    struct simulator *simulator;
    struct door *door;
    SSL_CTX *tls;
    const nghttp2_session_callbacks *callbacks;
};

/* Takes fd in any case. Returns owned by itself until connection_close; NULL when out of memory. */
struct connection *connection_create(const struct connection_setup *setup, int fd);
/* At once, without a word. No callback follows. */
void connection_close(struct connection *connection);
/* As last_stream: whatever has come by now. */
#define CONNECTION_ALL_STREAMS (-1)
/* Says GOAWAY with {"reason":...}; streams above last_stream get no answer, and when the others
 * have theirs the connection ends. Only the first call has an effect. */
void connection_goaway(struct connection *connection, int32_t last_stream, const char *reason);
/* Something was submitted to the session: it is sent in this turn. */
void connection_flush_later(struct connection *connection);
/* Announces as many streams as the configuration, the behaviour and Apple's rule (one before the
 * first valid token) say, if that has changed. */
void connection_announce_streams(struct connection *connection);

#endif
