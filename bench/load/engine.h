/* engine - many MQTT clients on one loop: connects them, keeps them alive, carries their publishes
 * with a window each. What they do and what is measured is a scenario's business.
 *
 * What a client produces in a turn of the loop goes out with one send at its end. One thread. */
#ifndef BECKON_BENCH_LOAD_ENGINE_H
#define BECKON_BENCH_LOAD_ENGINE_H

#include "bench/load/pace.h"
#include "bench/load/packet.h"
#include "bench/load/stream.h"
#include "bench/load/websocket.h"
#include "common/loop.h"

struct engine;

enum client_state {
    CLIENT_WAITING, /* its turn to connect has not come */
    CLIENT_CONNECTING,
    CLIENT_UPGRADING, /* to WebSocket */
    CLIENT_CONNACK,   /* CONNECT is out */
    CLIENT_SUBACK,    /* SUBSCRIBE is out */
    CLIENT_OPEN,
    CLIENT_CLOSED,
};

/* A publish that is not acknowledged. */
struct sent {
    uint64_t at_ns; /* when it was due; 0: the place is free */
    uint64_t seq;   /* the scenario's */
};

struct client {
    struct engine *engine;
    uint32_t number;
    enum client_state state;
    struct stream stream;
    loop_id io;
    struct timer ping; /* while closed: to try again */
    struct buf in;     /* an incomplete packet; empty most of the time */
    struct buf out;
    struct websocket *websocket; /* NULL without */
    size_t framed;               /* with it: so much of out is in frames already */
    bool dirty;                  /* in the list of those that have something to send */
    bool blocked;                /* the socket takes no more until epoll says so */
    struct client *next_dirty;
    bool resumed;        /* its last CONNACK said so: Session Present */
    uint64_t due_ns;     /* when it was to connect */
    struct sent *window; /* by packet identifier less 1; NULL until it publishes */
    uint16_t *unused;    /* identifiers, the next one last */
    uint32_t window_size, unused_count;
    uint16_t receive_max; /* the server's */
};

/* What a scenario gets. Each may be NULL but for all_begun. */
struct engine_events {
    void (*connack)(struct client *client, uint64_t now_ns);
    /* Subscribed too, if it subscribes. */
    void (*open)(struct client *client, uint64_t now_ns);
    /* Each client of the batch is open or has failed. */
    void (*all_begun)(void *arg);
    /* Was open, and it was not us who closed it. */
    void (*lost)(struct client *client);
    void (*acked)(struct client *client, const struct sent *sent, uint8_t reason, uint64_t now_ns);
    void (*message)(struct client *client, const struct packet *publish, uint64_t now_ns);
};

/* How a client introduces itself; text must live as long as the engine. */
struct client_setup {
    const char *user;
    const char *filter; /* to subscribe to, or NULL */
    bool service;       /* its token is a backend's */
    bool clean;         /* its session ends with the connection, whatever --session-expiry says */
    bool resumes;       /* no SUBSCRIBE when the server still has the session */
};

struct engine {
    struct loop *loop;
    const struct load_options *options;
    struct target target;
    const struct engine_events *events;
    void *arg; /* of events */
    void (*setup)(void *arg, uint32_t number, struct client_setup *ret);
    struct client *clients;
    char **tokens; /* a client each; NULL without */
    uint32_t count;
    uint32_t batch, batch_failed;   /* how many are to connect now, and never got open; of these: */
    uint32_t next, end, connecting; /* next to begin, one behind the last, under way */
    uint32_t open;
    uint32_t failed;   /* never got open */
    uint32_t lost;     /* were open, and not closed by us */
    uint32_t retry_ms; /* who can't get open tries again after so long; 0: has failed */
    uint64_t retried;
    char reason[128]; /* of the first of those */
    bool closing, filling;
    struct client *dirty;
    struct pace connect_pace;
    uint64_t connect_from_ns, connect_until_ns; /* of the batch: first begun, last open */
    uint8_t *scratch;
};

uint64_t engine_now_ns(void);

/* setup, events and arg must be set by now; so are loop and options. 0; ERR_* with et. */
MUST_CHECK int engine_init(struct engine *engine, uint32_t count, struct err_text *et);
void engine_fini(struct engine *engine);
/* Begins to connect a batch: `count` clients from number `first` on, which are waiting or closed.
 * One batch at a time; not from within a client's own events. ERR_*. */
MUST_CHECK int engine_connect(struct engine *engine, uint32_t first, uint32_t count);
/* Says DISCONNECT on all of them and closes. */
void engine_close(struct engine *engine);

/* Says DISCONNECT and closes. No effect unless it is open. */
void client_leave(struct client *client);
/* Resets the connection, as when a machine on the way dies. No effect unless it is open. */
void client_cut(struct client *client);

/* True when the client's window and the server's let one more out. */
bool client_can_publish(const struct client *client);
/* QoS 1. Only when client_can_publish. ERR_NO_MEMORY. */
MUST_CHECK int client_publish(struct client *client, struct bytes topic, struct bytes payload,
                              const struct sent *sent);

#endif
