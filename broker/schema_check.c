/* schema_check - see the header. The only place of the broker that waits for PostgreSQL. */
#include "broker/schema_check.h"

#include "broker/broker.h"
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

/* One value as text; NULL when the query failed or gave none. Owned. */
static char *ask(PGconn *conn, const char *sql, struct err_text *et)
{
    PGresult *result = PQexec(conn, sql);
    char *value = NULL;

    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        value = strdup(PQgetisnull(result, 0, 0) ? "" : PQgetvalue(result, 0, 0));
    else
        err_set(et, ERR_DATABASE, "database: %.*s",
                (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
    PQclear(result);
    return value;
}

static int run(PGconn *conn, const char *sql, struct err_text *et)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    int r = 0;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        r = err_set(et, ERR_DATABASE, "database: %.*s",
                    (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
    PQclear(result);
    return r;
}

static int check_version(PGconn *conn, struct err_text *et)
{
    char *there = ask(conn, "SELECT to_regclass('schema_version')::text", et);
    char *version;
    long found;

    if (!there)
        return ERR_DATABASE;
    if (there[0] == '\0') {
        free(there);
        return err_set(et, ERR_VERSION,
                       "database: there is no schema, expected version %d: run `beckonctl migrate`",
                       BECKON_SCHEMA_VERSION);
    }
    free(there);
    version = ask(conn, "SELECT coalesce(max(version), 0) FROM schema_version", et);
    if (!version)
        return ERR_DATABASE;
    found = strtol(version, NULL, 10);
    free(version);
    if (found == BECKON_SCHEMA_VERSION)
        return 0;
    return err_set(et, ERR_VERSION, "database: schema version is %ld, this broker needs %d: %s",
                   found, BECKON_SCHEMA_VERSION,
                   found < BECKON_SCHEMA_VERSION ? "run `beckonctl migrate`"
                                                 : "use a newer beckon-broker");
}

/* The exclusive lock waits for batches of the former owner that are under way; later ones are
 * refused by the new generation. */
static int claim(PGconn *conn, uint64_t *ret_generation, struct err_text *et)
{
    char *generation;
    int r = run(conn, "BEGIN", et);

    if (r == 0)
        r = run(conn, "SELECT pg_advisory_xact_lock(" SQL_OWNERSHIP_LOCK ")", et);
    if (r < 0)
        return r;
    generation =
        ask(conn, "UPDATE ownership SET generation = generation + 1 RETURNING generation", et);
    if (!generation)
        return ERR_DATABASE;
    r = run(conn, "COMMIT", et);
    if (r == 0)
        *ret_generation = strtoull(generation, NULL, 10);
    free(generation);
    return r;
}

/* What is decided by time is decided by PostgreSQL's; the janitor looks again and again. */
static int look_at_clock(PGconn *conn, int64_t *ret_ahead_ms, struct err_text *et)
{
    uint64_t asked_ms = loop_wall_clock_ms(), answered_ms;
    char *now = ask(conn, "SELECT (1000 * extract(epoch FROM clock_timestamp()))::bigint", et);

    if (!now)
        return ERR_DATABASE;
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
        char *made = ask(conn, sql, &et);

        if (!made)
            log_warning(NULL, "could not make partitions, trying again later: %s", et.text);
        more = made && made[0] != '0';
        free(made);
    }
}

/* 0 done, ERR_AGAIN: the connection went away, try again, else final. */
static int attempt(PGconn *conn, struct broker *broker, struct err_text *et)
{
    int r = check_version(conn, et);

    if (r == 0)
        r = claim(conn, &broker->generation, et);
    if (r == 0)
        r = look_at_clock(conn, &broker->clock_ahead_ms, et);
    if (r == 0)
        make_partitions(conn, &broker->options);
    return r < 0 && PQstatus(conn) != CONNECTION_OK ? ERR_AGAIN : r;
}

int schema_claim(struct broker *broker, struct err_text *et)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};

    for (unsigned tries = 0;; tries++) {
        PGconn *conn = PQconnectdb(broker->options.database_dsn);
        int r = ERR_AGAIN;

        if (PQstatus(conn) == CONNECTION_OK)
            r = attempt(conn, broker, et);
        else
            err_set(et, ERR_AGAIN, "%.*s", (int)strcspn(PQerrorMessage(conn), "\n"),
                    PQerrorMessage(conn));
        PQfinish(conn);
        if (r != ERR_AGAIN)
            return r;
        if (tries % LOG_EVERY_TRIES == 0)
            log_warning(NULL, "waiting for the database: %s", et->text);
        /* an interrupted pause only means an earlier try */
        IGNORE_RESULT(nanosleep(&pause, NULL));
    }
}
