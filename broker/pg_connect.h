/* pg_connect - finds the server that takes writes: hosts in turn, each asked who it is.
 *
 * One search at a time; it ends with on_found, once. Loop thread only. */
#ifndef BECKON_BROKER_PG_CONNECT_H
#define BECKON_BROKER_PG_CONNECT_H

#include "broker/pg_target.h"
#include "common/loop.h"

/* Watches what libpq calls its socket. libpq closes that by itself when it finds the connection
 * lost, and makes another one for the next address, so epoll is given a duplicate. */
struct pg_watch {
    loop_id io;
    int fd; /* ours */
};
MUST_CHECK int pg_watch_set(struct pg_watch *watch, struct loop *loop, const PGconn *conn,
                            uint32_t events, loop_io_fn fn, void *arg);
void pg_watch_end(struct pg_watch *watch, struct loop *loop);

/* conn: owned, idle, nonblocking; NULL: no host would do, and why says so of each. */
typedef void (*pg_found_fn)(void *arg, PGconn *conn, unsigned host, const struct pg_server *server,
                            const char *why);

struct pg_connect {
    struct loop *loop;
    struct pg_target *target;
    pg_found_fn on_found;
    void *arg;

    PGconn *conn; /* NULL: no search is under way */
    struct pg_watch watch;
    struct timer timer; /* of this host */
    unsigned first, tried;
    bool asking, answered;
    struct pg_server server;
    char why[512]; /* of all hosts up to now */
};

void pg_connect_init(struct pg_connect *search, struct loop *loop, struct pg_target *target,
                     pg_found_fn on_found, void *arg);
/* Begins with host `first`. No effect when a search is under way. May call on_found at once. */
void pg_connect_start(struct pg_connect *search, unsigned first);
bool pg_connect_busy(const struct pg_connect *search);
void pg_connect_cancel(struct pg_connect *search);

#endif
