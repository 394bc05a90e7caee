/* beckonctl migrate: brings a database to the newest schema.
 *
 * Each migration and the row that says it was applied are one transaction, so wherever this process
 * dies the next run goes on where it was. An advisory lock, held for the whole run, makes several
 * at once (one a container, say) wait for each other and find nothing left to do. What is in the
 * database must be the beginning of what is in the folder, byte for byte: else two databases of
 * "the same version" would differ, and nobody would know. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "common/auto.h"
#include "migration.h"

/* Of the session lock: "beckonmg" in ASCII. Only its being ours matters. */
#define LOCK_KEY "7090182501446872423"
/* libpq's own default is to wait for ever; the DSN can say otherwise. */
#define CONNECT_TIMEOUT_S "10"

#define CREATE_VERSION_TABLE                                                                       \
    "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, name text NOT NULL, " \
    "sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
#define SELECT_VERSIONS                                                                            \
    "SELECT version, name, sha256, to_char(applied_at AT TIME ZONE 'UTC', "                        \
    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM schema_version ORDER BY version"
#define INSERT_VERSION "INSERT INTO schema_version (version, name, sha256) VALUES ($1, $2, $3)"

static const struct option options[] = {
    {"dsn", required_argument, NULL, 'd'},
    {"schema", required_argument, NULL, 's'},
    {"status", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: beckonctl migrate [--dsn DSN] [--schema DIR] [--status]\n"
    "Applies the migrations that the database does not have yet, in order. Safe to run again, and\n"
    "by several at once.\n\n"
    "  --dsn DSN     PostgreSQL connection string or URI (default: BECKON_DSN in the environment)\n"
    "  --schema DIR  folder that has migrations/ (default: " BECKON_SCHEMA_DIR ")\n"
    "  --status      only tell what is applied and what is pending\n";

struct run {
    const struct command *self;
    const char *folder; /* for messages */
    const struct migrations *migrations;
    PGconn *conn;
};

/* libpq ends its messages with a newline. */
static int text_len(const char *text)
{
    size_t len = strlen(text);

    while (len > 0 && text[len - 1] == '\n')
        len--;
    return (int)len;
}

static int failed_query(const struct run *run, const char *what)
{
    const char *error = PQerrorMessage(run->conn);

    return command_failed(run->self, "could not %s: %.*s", what, text_len(error), error);
}

/* Runs statement and drops its result. `what` for the message. */
static int execute(const struct run *run, const char *statement, const char *what)
{
    PGresult *result = PQexec(run->conn, statement);
    ExecStatusType status = PQresultStatus(result);

    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? COMMAND_OK
                                                                   : failed_query(run, what);
}

/* One boolean. */
static int ask(const struct run *run, const char *query, const char *what, bool *ret_answer)
{
    PGresult *result = PQexec(run->conn, query);
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;

    if (good)
        *ret_answer = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return good ? COMMAND_OK : failed_query(run, what);
}

/* Row `row` of the database against what the folder has in its place. */
static int check_row(const struct run *run, const PGresult *rows, int row)
{
    const struct migration *migration = &run->migrations->list[row];
    const char *version = PQgetvalue(rows, row, 0), *sha256 = PQgetvalue(rows, row, 2);

    if (strtoul(version, NULL, 10) != migration->number)
        return command_failed(run->self,
                              "the database has schema version %s but not %u: its table "
                              "schema_version was changed by hand",
                              version, migration->number);
    if (strcmp(sha256, migration->sha256) != 0)
        return command_failed(run->self,
                              "\"%s\" was edited after it was applied to this database (SHA-256 "
                              "%.12s..., applied was %.12s...): restore it and put the change into "
                              "a new migration",
                              migration->name, migration->sha256, sha256);
    return COMMAND_OK;
}

/* Reads what was applied, and checks it. On COMMAND_OK the caller clears *ret_rows. */
static int read_applied(const struct run *run, PGresult **ret_rows)
{
    PGresult *rows = PQexec(run->conn, SELECT_VERSIONS);
    int status = COMMAND_OK;

    if (PQresultStatus(rows) != PGRES_TUPLES_OK) {
        PQclear(rows);
        return failed_query(run, "read schema_version");
    }
    int count = PQntuples(rows);
    if (count > 0) {
        const char *newest = PQgetvalue(rows, count - 1, 0);
        if (strtoul(newest, NULL, 10) > run->migrations->count)
            status = command_failed(run->self,
                                    "the database has schema version %s, newer than the %zu that "
                                    "\"%s\" has: use the release that made it, or a newer one",
                                    newest, run->migrations->count, run->folder);
    }
    for (int row = 0; row < count && status == COMMAND_OK; row++)
        status = check_row(run, rows, row);
    if (status != COMMAND_OK) {
        PQclear(rows);
        return status;
    }
    *ret_rows = rows;
    return COMMAND_OK;
}

/* The line of the statement that failed: PostgreSQL counts characters of the whole text, from 1.
 * 0 when it doesn't say. */
static unsigned error_line(const PGresult *result, const char *sql)
{
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    unsigned long left = position == NULL ? 0 : strtoul(position, NULL, 10);
    unsigned line = 1;

    if (left == 0)
        return 0;
    for (; *sql != '\0' && left > 1; sql++) {
        if ((sql[1] & 0xC0) != 0x80) /* the next byte starts another character */
            left--;
        if (*sql == '\n')
            line++;
    }
    return line;
}

static int failed_migration(const struct run *run, const struct migration *migration,
                            const PGresult *result)
{
    const char *error = PQresultErrorMessage(result);
    unsigned line = error_line(result, migration->sql);
    char where[16] = "";

    if (*error == '\0') /* COPY, or no result at all */
        error = *PQerrorMessage(run->conn) != '\0' ? PQerrorMessage(run->conn)
                                                   : "a migration can't COPY from or to its client";
    if (line != 0)
        snprintf(where, sizeof(where), ":%u", line);
    return command_failed(run->self, "could not apply \"%s\"%s: %.*s", migration->name, where,
                          text_len(error), error);
}

/* The file's statements, inside the transaction that is open. */
static int run_statements(const struct run *run, const struct migration *migration)
{
    PGresult *result = PQexec(run->conn, migration->sql);
    ExecStatusType status = PQresultStatus(result);
    int outcome = COMMAND_OK;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
        outcome = failed_migration(run, migration, result);
    else if (PQtransactionStatus(run->conn) != PQTRANS_INTRANS)
        outcome = command_failed(run->self,
                                 "\"%s\" ended the transaction that it runs in: take its COMMIT or "
                                 "ROLLBACK out; the database may have a part of it now",
                                 migration->name);
    PQclear(result);
    return outcome;
}

/* What was open when this fails is rolled back: the caller closes the connection. */
static int apply(const struct run *run, const struct migration *migration)
{
    char version[16];
    const char *const values[] = {version, migration->name, migration->sha256};

    snprintf(version, sizeof(version), "%u", migration->number);
    int status = execute(run, "BEGIN", "begin a transaction");
    if (status == COMMAND_OK)
        status = run_statements(run, migration);
    if (status != COMMAND_OK)
        return status;

    PGresult *result =
        PQexecParams(run->conn, INSERT_VERSION, ARRAY_LEN(values), NULL, values, NULL, NULL, 0);
    bool inserted = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (!inserted)
        return failed_query(run, "record the migration");

    result = PQexec(run->conn, "COMMIT");
    /* A transaction that failed before answers COMMIT with success and ROLLBACK. */
    bool committed =
        PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    if (!committed)
        return failed_query(run, "commit the migration");
    printf("applied %s\n", migration->name);
    /* At once: the lines are the progress of a long run. */
    fflush(stdout);
    return COMMAND_OK;
}

static int take_lock(const struct run *run)
{
    bool taken = false;
    int status = ask(run, "SELECT pg_try_advisory_lock(" LOCK_KEY ")", "take the lock", &taken);

    if (status != COMMAND_OK || taken)
        return status;
    fputs("waiting for another migration of this database to end\n", stderr);
    return execute(run, "SELECT pg_advisory_lock(" LOCK_KEY ")", "take the lock");
}

static int apply_pending(const struct run *run)
{
    PGresult *rows = NULL;
    int status = take_lock(run);

    if (status == COMMAND_OK)
        status = execute(run, CREATE_VERSION_TABLE, "create schema_version");
    if (status == COMMAND_OK)
        status = read_applied(run, &rows);
    if (status != COMMAND_OK)
        return status;
    size_t applied = (size_t)PQntuples(rows);
    PQclear(rows);
    for (size_t i = applied; i < run->migrations->count && status == COMMAND_OK; i++)
        status = apply(run, &run->migrations->list[i]);
    if (status == COMMAND_OK)
        printf("schema version %zu\n", run->migrations->count);
    return status;
}

static int report_status(const struct run *run)
{
    PGresult *rows = NULL;
    bool exists = false;
    int status = ask(run, "SELECT to_regclass('schema_version') IS NOT NULL",
                     "look for schema_version", &exists);

    if (status == COMMAND_OK && exists)
        status = read_applied(run, &rows);
    if (status != COMMAND_OK)
        return status;
    size_t applied = rows == NULL ? 0 : (size_t)PQntuples(rows);
    for (size_t i = 0; i < run->migrations->count; i++) {
        if (i < applied)
            printf("%s applied %s\n", run->migrations->list[i].name, PQgetvalue(rows, (int)i, 3));
        else
            printf("%s pending\n", run->migrations->list[i].name);
    }
    printf("schema version %zu\n", applied);
    PQclear(rows);
    return COMMAND_OK;
}

/* Connects and runs step. */
static int with_database(struct run *run, const char *dsn, int (*step)(const struct run *run))
{
    /* What dbname says, a whole connection string, overrides what stands before it. */
    const char *const names[] = {"connect_timeout", "fallback_application_name", "dbname",
                                 "client_encoding", NULL};
    const char *const values[] = {CONNECT_TIMEOUT_S, "beckonctl", dsn, "UTF8", NULL};

    run->conn = PQconnectdbParams(names, values, 1);
    int status;
    if (run->conn == NULL || PQstatus(run->conn) != CONNECTION_OK)
        status = failed_query(run, "connect");
    else
        status = execute(run, "SET client_min_messages = warning", "prepare the connection");
    if (status == COMMAND_OK)
        status = step(run);
    PQfinish(run->conn);
    return status;
}

static int run_command(const struct command *self, int argc, char **argv)
{
    const char *dsn = getenv("BECKON_DSN"), *schema = BECKON_SCHEMA_DIR;
    bool only_status = false;
    int option;

    while ((option = command_next(self, argc, argv)) >= 0) {
        switch (option) {
        case 'd':
            dsn = optarg;
            break;
        case 's':
            schema = optarg;
            break;
        default:
            only_status = true;
        }
    }
    if (option != COMMAND_END)
        return command_ended(option);
    if (dsn == NULL || *dsn == '\0')
        return command_misused(self, "no database, expected --dsn DSN or BECKON_DSN in the "
                                     "environment");

    AUTO_FREE char *folder = NULL;
    struct migrations migrations = {0};
    struct err_text et;
    if (asprintf(&folder, "%s/migrations", schema) < 0)
        return command_failed(self, "out of memory");
    if (migrations_read(folder, &migrations, &et) != 0)
        return command_failed(self, "%s", et.text);
    struct run run = {.self = self, .folder = folder, .migrations = &migrations};
    int status = with_database(&run, dsn, only_status ? report_status : apply_pending);
    migrations_fini(&migrations);
    return status;
}

const struct command migrate_command = {
    .name = "migrate",
    .summary = "bring the database to the newest schema",
    .help = help,
    .options = options,
    .run = run_command,
};
