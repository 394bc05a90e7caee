/* pg_target - where the database is, and which server is believed.
 *
 * A connection string may name several hosts. They are tried one by one, each as a connection of
 * its own, because libpq takes the first that lets it in: it can't know that a primary that was
 * replaced has come back and takes writes. What a server says of itself tells: its system
 * identifier is that of one installation and its copies, and a promotion begins a new timeline. A
 * server whose history is older than what was seen already is refused, for as long as this process
 * lives. Loop thread only. */
#ifndef BECKON_BROKER_PG_TARGET_H
#define BECKON_BROKER_PG_TARGET_H

#include "common/err.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct metrics;
struct pg;

/* What a server says of itself. */
struct pg_server {
    uint64_t system_id;
    uint32_t timeline;
    uint64_t flushed; /* position of the log that was on its disk */
    bool standby, read_only;
    bool synchronous; /* its commits wait for a standby */
};

struct pg_target {
    PQconninfoOption *parsed;
    struct pg_host *hosts;
    unsigned host_count;
    unsigned host; /* where it was found last */
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;     /* database.timeout_ms */
    struct metrics *metrics; /* borrowed */
    struct pg_server newest; /* system_id 0: none was seen */
    bool waited;             /* the last pg_target_waits */
    /* A server was promoted that may lack what was committed. May be NULL. */
    void (*on_history_lost)(void *arg);
    void *history_arg;
    TAILQ_HEAD(, pg) connections;
};

/* ERR_CONFIG: dsn is no connection string; et says why. */
MUST_CHECK int pg_target_init(struct pg_target *target, const char *dsn, uint32_t timeout_ms,
                              struct metrics *metrics, struct err_text *et);
/* Also after a failed pg_target_init, or of one that is all zeros. */
void pg_target_fini(struct pg_target *target);

/* As PQconnectStart and PQconnectdb, to one host. */
PGconn *pg_target_begin(const struct pg_target *target, unsigned host);
PGconn *pg_target_connect(const struct pg_target *target, unsigned host);

/* Reads the row of SQL_SERVER. */
MUST_CHECK int pg_server_read(const PGresult *result, struct pg_server *ret_server,
                              struct err_text *et);
/* Is this the database, at least as new as it was seen? ERR_DENIED: no, et says why. */
MUST_CHECK int pg_target_judge(const struct pg_target *target, const struct pg_server *server,
                               struct err_text *et);
/* Whether commits wait for a standby, as the server in use says now, after a commit: when they did
 * before it as well, the standby has that one and all older ones. */
void pg_target_waits(struct pg_target *target, bool synchronous);
/* What is older is refused from now on. */
void pg_target_accept(struct pg_target *target, unsigned host, const struct pg_server *server);

#endif
