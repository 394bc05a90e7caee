/* connection - one provider's connection: TLS, HTTP/2, its requests. */
#ifndef BECKON_APNS_SIMULATOR_CONNECTION_H
#define BECKON_APNS_SIMULATOR_CONNECTION_H

#include "common/loop.h"
#include "rules.h"
#include "simulator.h"

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

struct stream {
    LIST_ENTRY(stream) link;
    struct connection *connection;
    int32_t id;
    bool seen;     /* a header came, so that one that comes again is a duplicate */
    bool recorded; /* in pushes */
    struct timer delay;
    struct verdict verdict;
    char team[16];
    char id_text[40]; /* apns-id of the answer */
    char *answer;     /* body, owned */
    size_t answer_len, answer_sent;
    struct request request;
};

struct connection {
    TAILQ_ENTRY(connection) link;
    struct simulator *simulator;
    struct loop_garbage garbage;
    int fd;
    SSL *ssl;
    loop_id io;
    nghttp2_session *session;
    LIST_HEAD(, stream) streams;
    const uint8_t *out; /* nghttp2's, not written yet */
    size_t out_len;
    uint32_t answers;
    int32_t last_stream; /* GOAWAY: streams above are not looked at */
    char team[16];       /* of the first token accepted; "" = none yet */
    struct timer linger;
    bool handshaken, closed, going_away, lingering;
    void (*on_closed)(struct connection *connection);
};

/* Takes fd. NULL when out of memory (fd is closed). on_closed is called once, from
 * connection_close.
 */
struct connection *connection_create(struct simulator *simulator, SSL_CTX *ctx, int fd,
                                     void (*on_closed)(struct connection *connection));
/* Its memory lives until the end of the turn. */
void connection_close(struct connection *connection);
/* Announces the stream limit in force. */
void connection_limit(struct connection *connection);
void connection_go_away(struct connection *connection, const char *reason);
/* Sends what there is to send. */
void connection_flush(struct connection *connection);

/* answer.c: the whole request is there. */
void answer_request(struct stream *stream);
void stream_free(struct stream *stream);

#endif
