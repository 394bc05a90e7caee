/* pg - one connection to PostgreSQL as a source of the loop: asynchronous, pipeline mode, prepared
 * statements, binary parameters and results.
 *
 * Life cycle: connecting -> preparing -> ready -> (lost -> connecting, with backoff) ... All
 * queries sent between two pg_sync calls are one pipeline segment: after an error the rest of the
 * segment is aborted by the server. When the connection is lost every outstanding query and sync
 * gets its callback with NULL, then on_lost runs. Loop thread only. */
#ifndef BECKON_BROKER_PG_H
#define BECKON_BROKER_PG_H

#include "broker/pg_target.h"
#include "common/err.h"
#include "common/loop.h"

#include <libpq-fe.h>

struct pg;

struct pg_statement {
    const char *name;
    const char *sql;
    int param_count;
};

struct pg_events {
    void (*on_ready)(void *arg);                    /* connected and prepared */
    void (*on_lost)(void *arg, const char *reason); /* may be called again and again while the
                                                       database is away; reconnecting goes on */
    void (*on_notify)(void *arg);                   /* NOTIFY on a channel that was listened to;
                                                       NULL when none was */
};

/* result: NULL when the connection was lost; else any status, PGRES_PIPELINE_ABORTED and
 * PGRES_FATAL_ERROR included; borrowed. */
typedef void (*pg_result_fn)(void *arg, const PGresult *result);
/* ok: the segment was synchronised; false: the connection was lost first. */
typedef void (*pg_sync_fn)(void *arg, bool ok);

/* target and statements are borrowed for the connection's life. name is for logs. Starts connecting
 * in the next turn. Returns owned or NULL. */
struct pg *pg_create(struct loop *loop, const char *name, struct pg_target *target,
                     const struct pg_statement *statements, int statement_count,
                     const struct pg_events *events, void *arg);
void pg_destroy(struct pg *pg);

bool pg_ready(const struct pg *pg);
/* Something is unanswered for longer than the target's timeout_ms. */
bool pg_silent(const struct pg *pg);
/* In a pg_result_fn: the server sent a warning with this answer. With COMMIT it means that it is
 * not known whether a standby has it. (A sync with a warning ends as a lost connection.) */
bool pg_warned(const struct pg *pg);

/* Queues execution of a prepared statement. values/lengths: binary parameters, NULL value = SQL
 * NULL; copied. Only while ready. 0, or ERR_DATABASE (the connection is then lost, fn is not called
 * for this query). */
MUST_CHECK int pg_query(struct pg *pg, int statement, const char *const *values, const int *lengths,
                        pg_result_fn fn, void *arg);
/* Ends the segment and flushes. fn may be NULL. ERR_DATABASE: fn is not called. */
MUST_CHECK int pg_sync(struct pg *pg, pg_sync_fn fn, void *arg);

/* Drops the connection, as if it had been lost: after an error inside an explicit transaction. */
void pg_reset(struct pg *pg, const char *reason);
/* The next connection is made soon, however short-lived this one was: it is for something else. */
void pg_hurry(struct pg *pg);

#endif
