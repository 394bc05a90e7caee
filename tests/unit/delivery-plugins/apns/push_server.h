/* push_server - a scripted push service on the loop of the test's host: TLS, HTTP/2, and whatever
 * answer the test wants. It keeps each request it saw. */
#ifndef BECKON_TESTS_PUSH_SERVER_H
#define BECKON_TESTS_PUSH_SERVER_H

#include "push_host.h"
#include "push_keys.h"

#include <nghttp2/nghttp2.h>

#define PUSH_REQUESTS_MAX 4096
#define PUSH_PEERS_MAX 128

struct push_server;

enum push_action {
    PUSH_ANSWER,     /* status, body, retry_after */
    PUSH_HOLD,       /* nothing, until push_server_answer */
    PUSH_RESET,      /* RST_STREAM error */
    PUSH_DISCONNECT, /* the socket is closed */
};

struct push_answer {
    enum push_action action;
    unsigned status;
    const char *body;        /* NULL = none */
    const char *retry_after; /* NULL = none */
    uint32_t error;
};

/* A connection, from when it was accepted until the server ends. */
struct push_peer {
    struct push_server *server;
    int fd; /* -1 = closed */
    SSL *ssl;
    nghttp2_session *session;
    bool ready;
    size_t requests;
    uint64_t accepted_ms;
    const uint8_t *out;
    size_t out_len;
};

struct push_request {
    struct push_peer *peer;
    size_t peer_index;
    int32_t stream_id;
    char path[128], authorization[600], topic[96], push_type[16];
    char apns_id[40], collapse_id[40], expiration[24], priority[8];
    char body[5000];
    size_t body_len;
    uint64_t at_ms;
    bool path_indexed; /* the header may enter a compression table */
    bool answered;
    /* of the answer */
    const char *out;
    size_t out_sent;
};

struct push_server {
    struct push_host *host;
    const struct push_keys *keys;
    BIO_METHOD *bio;
    int fd;           /* -1 = refuses connections */
    uint32_t address; /* 127.0.0.1; another one for the next push_server_listen */
    uint16_t port;
    struct push_peer peers[PUSH_PEERS_MAX];
    size_t peer_count;
    struct push_request *requests; /* PUSH_REQUESTS_MAX */
    size_t request_count;
    uint64_t priority_frames, pings, resets;
    /* Answers to the first requests, one each; then `always`. */
    const struct push_answer *script;
    size_t script_len;
    struct push_answer always;
    uint32_t max_streams; /* of connections to come */
    bool mute_pings;      /* of connections to come */
    bool goodbye;         /* each connection gets GOAWAY at once */
    bool hang_up;         /* each connection is closed as soon as it is accepted */
};

void push_server_init(struct push_server *server, struct push_host *host,
                      const struct push_keys *keys);
void push_server_fini(struct push_server *server);
/* Closes the listener; listens again on the same port. */
void push_server_refuse(struct push_server *server);
void push_server_listen(struct push_server *server);

void push_server_answer(struct push_request *request, unsigned status, const char *body);
void push_server_goaway(struct push_peer *peer, int32_t last_stream_id);
void push_server_limit(struct push_peer *peer, uint32_t max_streams);
/* abort: with RST instead of FIN. */
void push_server_disconnect(struct push_peer *peer, bool abort);
/* Bytes outside of the session: they must not be an HTTP/2 frame that belongs there. */
void push_server_garbage(struct push_peer *peer, const void *data, size_t len);

/* Runs until so many requests have come; fails the test after two minutes of its clock. */
void push_server_await(struct push_server *server, size_t requests);

#endif
