/* apns - what the files of this plugin share. Host loop thread, except resolve.c's own thread.
 *
 * A *lane* is one key at one endpoint (production or development): its own queue, connections,
 * backoff and breaker, so that one bad key or one endpoint that is away stalls nothing else. */
#ifndef BECKON_PLUGIN_APNS_H
#define BECKON_PLUGIN_APNS_H

#include "beckon/delivery_plugin.h"

#include <nghttp2/nghttp2.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/queue.h>

#define KEYS_MAX 16
#define TOPICS_MAX 64
#define CONNECTIONS_MAX 16
/* Answers are {"reason":"..","timestamp":..}. */
#define BODY_MAX 512

enum environment { PRODUCTION, DEVELOPMENT, ENVIRONMENTS };

struct apns;
struct connection;
struct lane;

struct key {
    char team[11], kid[11];
    EVP_PKEY *pkey;
    char *file; /* while settings are read */
    const char *where;
    char token[640]; /* "bearer ..." ; "" = not signed yet */
    uint64_t iat_s;
};

struct topic {
    char *name;
    size_t key;                /* index */
    uint64_t stopped_until_ms; /* TopicDisallowed */
};

struct endpoint {
    char *host;
    uint32_t port;
};

struct options {
    struct endpoint endpoint[ENVIRONMENTS];
    char *ca_file;
    uint32_t connections;
    uint32_t in_flight;
    uint32_t request_timeout_ms;
    uint32_t connect_timeout_ms;
    uint32_t ping_idle_ms, ping_timeout_ms;
    uint32_t token_refresh_s;
    uint32_t expiration_s;
    uint32_t reconnect_max_ms;
    uint32_t breaker_failures;
    uint32_t breaker_ms;
};

enum request_state { REQUEST_QUEUED, REQUEST_SENT };

/* One delivery on its way. Owned by its lane. */
struct request {
    TAILQ_ENTRY(request) link; /* the lane's queue, or the connection's list */
    struct lane *lane;
    struct connection *connection; /* REQUEST_SENT */
    struct topic *topic;
    char *topic_name; /* the device's: `topic` may stand for any */
    uint64_t id;
    uint64_t until_ms;     /* then it is a timeout */
    uint64_t sent_wall_ms; /* of the first try: a token registered later is another one */
    int32_t stream_id;
    enum request_state state;
    uint8_t tries;
    bool shrunk, resigned;
    uint64_t token_iat_s; /* of the provider token it was sent with */
    char apns_id[37], collapse_id[37];
    char expiration[24], priority[4];
    char *path; /* /3/device/TOKEN */
    char *payload;
    size_t payload_len, payload_sent;
    /* the answer */
    unsigned status;
    uint64_t retry_after_s;
    bool has_retry_after;
    size_t body_len;
    char body[BODY_MAX];
};
TAILQ_HEAD(request_list, request);

enum connection_state { CONNECTION_RESOLVING, CONNECTION_TCP, CONNECTION_TLS, CONNECTION_READY };

struct connection {
    struct lane *lane;
    enum connection_state state;
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    struct resolve *resolve;
    struct request_list sent;
    uint32_t streams;
    const uint8_t *out;
    size_t out_len;
    uint64_t began_ms, last_heard_ms, ping_ms; /* ping_ms: when sent, 0 = none is out */
    bool trusted;  /* a token was accepted on it: as many streams as the server allows */
    bool draining; /* takes no more requests */
    bool inside;   /* in its own callback: freeing waits */
    bool busy;     /* in nghttp2, which must not be entered twice */
    bool dead;
};

enum breaker { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct lane {
    struct apns *apns;
    struct key *key;
    const struct endpoint *endpoint;
    struct connection *connections[CONNECTIONS_MAX];
    struct request_list queue;
    uint32_t requests; /* queued and sent */
    uint64_t moved_ms; /* last time that it was empty or had an answer */
    uint32_t connect_failures;
    uint64_t connect_not_before_ms;
    enum breaker breaker;
    uint32_t failures;
    uint64_t breaker_until_ms;
    uint32_t breaker_opened; /* in a row: each time for longer */
    uint64_t timer;
    uint64_t seed;
};

struct apns {
    const struct dp_host *host;
    struct options options;
    struct key keys[KEYS_MAX];
    size_t key_count;
    struct topic topics[TOPICS_MAX];
    size_t topic_count;
    struct lane lanes[KEYS_MAX][ENVIRONMENTS];
    SSL_CTX *ssl_ctx;
    BIO_METHOD *bio;
    bool closing;
};

static inline uint64_t now_ms(const struct apns *apns)
{
    return apns->host->now_ms(apns->host->ctx);
}
void apns_count(const struct apns *apns, const char *name);
void apns_log(const struct apns *apns, uint32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t apns_random(struct lane *lane, uint64_t below);

/* settings.c: fills apns from settings. 0, or -1 with error. */
int settings_read(struct apns *apns, const struct dp_setting *settings, size_t count, char *error,
                  size_t size);
void settings_free(struct apns *apns);

/* token.c: the value of the authorization header, valid until the next call; NULL when it can't be
 * signed. */
const char *token_get(struct apns *apns, struct key *key);
/* The server says that it is too old. */
void token_expired(struct key *key);

/* request.c */
struct request *request_create(struct lane *lane, struct topic *topic,
                               const struct dp_delivery *delivery);
/* Reports and frees. */
void request_complete(struct request *request, uint32_t kind, uint64_t retry_after_ms,
                      uint64_t gone_at_ms, const char *reason);
/* The first whose time is over; NULL. */
struct request *request_first_late(const struct request_list *list, uint64_t now);
/* Drops the message's content from the document. False: there is nothing to drop. */
bool request_shrink(struct request *request);
/* answer.c: the server's answer is complete: decides. */
void request_answered(struct request *request);

/* lane.c */
void lane_init(struct lane *lane, struct apns *apns, struct key *key,
               const struct endpoint *endpoint);
void lane_fini(struct lane *lane);
void lane_add(struct lane *lane, struct request *request);
/* Sends what can be sent, connects where that helps, sets the timer. */
void lane_run(struct lane *lane);
/* The request goes again, first. Too often: RETRY with reason. */
void lane_again(struct request *request, const char *reason);
/* One failure more, which opens the breaker when there were enough, or at once. least_ms: for no
 * less than that, 0 = as the options say. */
void lane_failed(struct lane *lane, const char *why, bool at_once, uint64_t least_ms);
void lane_worked(struct lane *lane);
/* A connection could not be made, or broke, or was of no use: the next one waits. */
void lane_connect_failed(struct lane *lane);

/* connection.c */
struct connection *connection_create(struct lane *lane);
/* Its requests go again; its memory is freed now, or when its callback returns. */
void connection_close(struct connection *connection, const char *why);
/* It takes no more requests, and closes after the last answer. */
void connection_drain(struct connection *connection);
/* How many more requests it takes now. */
uint32_t connection_room(const struct connection *connection);
/* Takes request. 0; -1: this connection can't any more, the request goes again. */
int connection_send(struct connection *connection, struct request *request);
void connection_flush(struct connection *connection);
/* Deadlines: of the connection, its pings, its requests. */
void connection_check(struct connection *connection);
void connection_reset(struct connection *connection, struct request *request);

/* quiet_bio.c: the method returned is owned; NULL when out of memory. */
BIO_METHOD *quiet_bio_create(void);
bool quiet_bio_attach(const BIO_METHOD *method, SSL *ssl, int fd);

/* resolve.c: getaddrinfo on a thread of its own; an address in figures is there at once. Of several
 * addresses the attempt'th is tried first. done is called later, once, unless cancelled. NULL when
 * out of memory. */
struct resolve;
struct resolve *resolve_start(const struct dp_host *host, const struct endpoint *endpoint,
                              unsigned attempt, void (*done)(void *arg, int fd, const char *error),
                              void *arg);
void resolve_cancel(struct resolve *resolve);

#endif
