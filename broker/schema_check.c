/* schema_check - see the header. The only place of the broker that waits for PostgreSQL. */
#include "broker/schema_check.h"

#include "broker/broker.h"
#include "broker/pg_target.h"
#include "broker/sqlstate.h"
#include "broker/store_sql.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Between two tries while the database is away: soon enough for a stack that starts all at once. */
#define RETRY_MS 500
/* A line in the log at the first failed try and every so many after it. */
#define LOG_EVERY_TRIES 10

/* A failure that passes by itself is one to try again after. */
static int failed(const PGresult *result, struct err_text *et)
{
    int r =
        sqlstate_passes(PQresultErrorField(result, PG_DIAG_SQLSTATE)) ? ERR_AGAIN : ERR_DATABASE;

    err_format(et, "database: %.*s", (int)strcspn(PQresultErrorMessage(result), "\n"),
               PQresultErrorMessage(result));
    return r;
}

/* One value as text, owned. */
static int ask(PGconn *conn, const char *sql, char **ret_value, struct err_text *et)
{
    PGresult *result = PQexec(conn, sql);
    int r = 0;

    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        *ret_value = strdup(PQgetisnull(result, 0, 0) ? "" : PQgetvalue(result, 0, 0));
    else
        r = failed(result, et);
    PQclear(result);
    return r == 0 && !*ret_value ? err_set(et, ERR_NO_MEMORY, "out of memory") : r;
}

static int check_version(PGconn *conn, struct err_text *et)
{
    char *there = NULL, *version = NULL;
    long found;
    int r = ask(conn, "SELECT to_regclass('schema_version')::text", &there, et);

    if (r < 0)
        return r;
    if (there[0] == '\0') {
        free(there);
        return err_set(et, ERR_VERSION,
                       "database: there is no schema, expected version %d: run `beckonctl migrate`",
                       BECKON_SCHEMA_VERSION);
    }
    free(there);
    r = ask(conn, "SELECT coalesce(max(version), 0) FROM schema_version", &version, et);
    if (r < 0)
        return r;
    found = strtol(version, NULL, 10);
    free(version);
    if (found == BECKON_SCHEMA_VERSION)
        return 0;
    return err_set(et, ERR_VERSION, "database: schema version is %ld, this broker needs %d: %s",
                   found, BECKON_SCHEMA_VERSION,
                   found < BECKON_SCHEMA_VERSION ? "run `beckonctl migrate`"
                                                 : "use a newer beckon-broker");
}

/* What is decided by time is decided by PostgreSQL's; the janitor looks again and again. */
static int look_at_clock(PGconn *conn, int64_t *ret_ahead_ms, struct err_text *et)
{
    uint64_t asked_ms = loop_wall_clock_ms(), answered_ms;
    char *now = NULL;
    int r = ask(conn, "SELECT (1000 * extract(epoch FROM clock_timestamp()))::bigint", &now, et);

    if (r < 0)
        return r;
    answered_ms = loop_wall_clock_ms();
    *ret_ahead_ms = strtoll(now, NULL, 10) - (int64_t)(asked_ms + (answered_ms - asked_ms) / 2);
    free(now);
    return 0;
}

/* Those of now and of the next days, before the first message. One that can't be made now (somebody
 * reads the table for long) stops nothing: rows go to the default partition, and the janitor moves
 * them when it makes it. */
static void make_partitions(PGconn *conn, const struct options *options)
{
    struct err_text et = {""};
    char sql[96];
    bool more = true;

    snprintf(sql, sizeof(sql), "SELECT beckon_make_next(%u, %u)", options->retention_days,
             options->trace_days);
    while (more) {
        char *made = NULL;

        if (ask(conn, sql, &made, &et) < 0)
            log_warning(NULL, "could not make partitions, trying again later: %s", et.text);
        more = made && made[0] != '0';
        free(made);
    }
}

/* 0 done, ERR_AGAIN: it may work later, else final. */
static int attempt(PGconn *conn, struct broker *broker, struct err_text *et)
{
    int r = check_version(conn, et);

    if (r == 0)
        r = look_at_clock(conn, &broker->clock_ahead_ms, et);
    if (r == 0)
        make_partitions(conn, &broker->options);
    return r < 0 && PQstatus(conn) != CONNECTION_OK ? ERR_AGAIN : r;
}

/* Whoever says that it takes writes, and is not older than what was seen. NULL: why has one more
 * reason. */
static PGconn *try_host(struct pg_target *target, unsigned host, struct pg_server *ret_server,
                        char *why, size_t size)
{
    PGconn *conn = pg_target_connect(target, host);
    size_t len = strlen(why);
    struct err_text et = {""};
    PGresult *result;
    int r;

    if (PQstatus(conn) == CONNECTION_OK) {
        result = PQexec(conn, SQL_SERVER);
        r = pg_server_read(result, ret_server, &et);
        PQclear(result);
        if (r == 0 && pg_target_judge(target, ret_server, &et) == 0)
            return conn;
        snprintf(why + len, size - len, "%s%.100s port %.50s is %.200s", len > 0 ? "; " : "",
                 PQhost(conn) ?: "", PQport(conn) ?: "", et.text);
    } else {
        snprintf(why + len, size - len, "%s%.*s", len > 0 ? "; " : "",
                 (int)strcspn(PQerrorMessage(conn), "\n"), PQerrorMessage(conn));
    }
    PQfinish(conn);
    return NULL;
}

/* Of several servers that take writes, the one with the newest history: this process has seen none,
 * and one that was replaced may have come back. */
static PGconn *find(struct pg_target *target, struct err_text *et)
{
    struct pg_server server;
    PGconn *found = NULL;
    char why[sizeof(et->text)] = "";

    for (unsigned i = 0; i < target->host_count; i++) {
        PGconn *conn = try_host(target, i, &server, why, sizeof(why));

        if (!conn)
            continue;
        pg_target_accept(target, i, &server);
        PQfinish(found); /* accepted, so the new one is newer */
        found = conn;
    }
    if (!found)
        err_set(et, ERR_AGAIN, "%s", why);
    return found;
}

int schema_prepare(struct broker *broker, struct err_text *et)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};

    for (unsigned tries = 0;; tries++) {
        PGconn *conn = find(broker->database, et);
        int r = conn ? attempt(conn, broker, et) : ERR_AGAIN;

        PQfinish(conn);
        if (r != ERR_AGAIN)
            return r;
        if (tries % LOG_EVERY_TRIES == 0)
            log_warning(NULL, "waiting for the database: %s", et->text);
        /* an interrupted pause only means an earlier try */
        IGNORE_RESULT(nanosleep(&pause, NULL));
    }
}
