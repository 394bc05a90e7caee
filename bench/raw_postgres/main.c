/* beckon-raw-postgres: how many of the inbox's rows PostgreSQL takes when nothing stands before it.
 *
 * One connection in pipeline mode keeps --depth batches of --rows rows under way, each one INSERT
 * and a transaction of its own, parameters in binary: what the broker's writer does, without its
 * ownership, cursors, sessions and clients. The rows go into a table like the inbox, in a schema of
 * its own that is dropped at the end. Prints one JSON object. */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/load/histogram.h"
#include "bench/raw_postgres/rows.h"
#include "common/auto.h"

#define NS_PER_S 1000000000ull
/* Warm before the measurement, as beckon-load. */
#define WARM_S 1
#define DEPTH_MAX 16
#define PUT "put"

static const char set_up_sql[] =
    "DROP SCHEMA IF EXISTS bench_raw CASCADE; CREATE SCHEMA bench_raw;"
    "CREATE TABLE bench_raw.inbox (LIKE public.inbox INCLUDING DEFAULTS INCLUDING STORAGE)"
    " PARTITION BY RANGE (sent_at);"
    "CREATE TABLE bench_raw.inbox_default PARTITION OF bench_raw.inbox DEFAULT;"
    "CREATE UNIQUE INDEX inbox_default_key ON bench_raw.inbox_default (user_no, seq);"
    "SET search_path TO bench_raw";
static const char tear_down_sql[] = "DROP SCHEMA bench_raw CASCADE";

struct raw {
    PGconn *db;
    uint32_t rows_a_batch, depth, payload, inboxes, seconds;
    struct rows rows;
    uint64_t begun_ns[DEPTH_MAX]; /* of the batches under way, a ring */
    uint64_t sent, done;          /* batches */
    uint64_t from_ns, until_ns;   /* measured */
    uint64_t rows_done;           /* in that time */
    struct histogram commit;
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now); /* can't fail with these clocks */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int database_error(const struct raw *raw, const char *what)
{
    fprintf(stderr, "beckon-raw-postgres: could not %s: %s", what, PQerrorMessage(raw->db));
    return ERR_SYSTEM;
}

static int run_sql(struct raw *raw, const char *sql, const char *what)
{
    PGresult *result = PQexec(raw->db, sql);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;

    PQclear(result);
    return done ? 0 : database_error(raw, what);
}

static int open_database(struct raw *raw, const char *dsn)
{
    PGresult *result;
    bool prepared;
    int r;

    raw->db = PQconnectdb(dsn);
    if (PQstatus(raw->db) != CONNECTION_OK)
        return database_error(raw, "connect");
    r = run_sql(raw, "SET client_min_messages TO warning", "set up the connection");
    if (r == 0)
        r = run_sql(raw, set_up_sql, "make the table");
    if (r < 0)
        return r;
    result = PQprepare(raw->db, PUT, rows_insert_sql, ROWS_COLUMNS, NULL);
    prepared = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (!prepared)
        return database_error(raw, "prepare the INSERT");
    if (PQenterPipelineMode(raw->db) != 1 || PQsetnonblocking(raw->db, 1) != 0)
        return database_error(raw, "enter pipeline mode");
    return 0;
}

static int send_batch(struct raw *raw)
{
    const char *values[ROWS_COLUMNS];
    int lengths[ROWS_COLUMNS], formats[ROWS_COLUMNS];
    int r = rows_batch(&raw->rows, raw->rows_a_batch, now_ns(CLOCK_REALTIME) / 1000000);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < ROWS_COLUMNS; i++) {
        values[i] = (const char *)raw->rows.columns[i].buf.data;
        lengths[i] = (int)raw->rows.columns[i].buf.len;
        formats[i] = 1;
    }
    raw->begun_ns[raw->sent++ % DEPTH_MAX] = now_ns(CLOCK_MONOTONIC);
    if (PQsendQueryPrepared(raw->db, PUT, ROWS_COLUMNS, values, lengths, formats, 1) != 1 ||
        PQpipelineSync(raw->db) != 1)
        return database_error(raw, "send a batch");
    return 0;
}

/* A batch is committed when its Sync is answered. */
static void note_commit(struct raw *raw)
{
    uint64_t now = now_ns(CLOCK_MONOTONIC);

    if (now >= raw->from_ns && now < raw->until_ns) {
        raw->rows_done += raw->rows_a_batch;
        histogram_add(&raw->commit, now - raw->begun_ns[raw->done % DEPTH_MAX]);
    }
    raw->done++;
}

/* Takes what has come. */
static int take_results(struct raw *raw)
{
    if (PQconsumeInput(raw->db) != 1)
        return database_error(raw, "read");
    while (raw->done < raw->sent && PQisBusy(raw->db) == 0) {
        PGresult *result = PQgetResult(raw->db);
        ExecStatusType status = result != NULL ? PQresultStatus(result) : PGRES_COMMAND_OK;

        PQclear(result); /* NULL: the end of one command's results */
        if (status == PGRES_PIPELINE_SYNC)
            note_commit(raw);
        else if (status != PGRES_COMMAND_OK)
            return database_error(raw, "insert");
    }
    return 0;
}

static int wait_for_database(struct raw *raw)
{
    int unsent = PQflush(raw->db);
    struct pollfd ready = {.fd = PQsocket(raw->db),
                           .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0))};

    if (unsent < 0)
        return database_error(raw, "send");
    if (poll(&ready, 1, -1) < 0 && errno != EINTR) {
        perror("beckon-raw-postgres: could not wait");
        return ERR_SYSTEM;
    }
    return 0;
}

static int insert(struct raw *raw)
{
    raw->from_ns = now_ns(CLOCK_MONOTONIC) + WARM_S * NS_PER_S;
    raw->until_ns = raw->from_ns + raw->seconds * NS_PER_S;
    for (;;) {
        bool more = now_ns(CLOCK_MONOTONIC) < raw->until_ns;
        int r = 0;

        if (!more && raw->done == raw->sent)
            return 0;
        while (more && r == 0 && raw->sent - raw->done < raw->depth)
            r = send_batch(raw);
        if (r == 0)
            r = wait_for_database(raw);
        if (r == 0)
            r = take_results(raw);
        if (r < 0)
            return r;
    }
}

static int close_database(struct raw *raw)
{
    if (PQsetnonblocking(raw->db, 0) != 0 || PQexitPipelineMode(raw->db) != 1)
        return database_error(raw, "leave pipeline mode");
    return run_sql(raw, tear_down_sql, "drop the table");
}

static void report(const struct raw *raw)
{
    json_t *result =
        json_pack("{s:f,s:I,s:I,s:f,s:f}", "rows_per_s", (double)raw->rows_done / raw->seconds,
                  "rows_a_batch", (json_int_t)raw->rows_a_batch, "depth", (json_int_t)raw->depth,
                  "commit_p50_us", (double)histogram_percentile(&raw->commit, 0.5) / 1000,
                  "commit_p99_us", (double)histogram_percentile(&raw->commit, 0.99) / 1000);

    if (result == NULL || json_dumpf(result, stdout, JSON_REAL_PRECISION(9)) < 0)
        fputs("could not write the report\n", stderr);
    putchar('\n');
    json_decref(result);
}

static int read_number(const char *text, uint32_t max, uint32_t *ret)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value == 0 || value > max)
        return ERR_CONFIG;
    *ret = (uint32_t)value;
    return 0;
}

static int read_options(int argc, char **argv, struct raw *raw)
{
    const struct {
        const char *name;
        uint32_t max;
        uint32_t *at;
    } options[] = {
        {"--rows", 65536, &raw->rows_a_batch}, {"--depth", DEPTH_MAX, &raw->depth},
        {"--payload", 131072, &raw->payload},  {"--inboxes", 1000000, &raw->inboxes},
        {"--seconds", 3600, &raw->seconds},
    };

    for (int i = 1; i < argc; i += 2) {
        size_t at = 0;

        while (at < ARRAY_LEN(options) && strcmp(argv[i], options[at].name) != 0)
            at++;
        if (at == ARRAY_LEN(options) || i + 1 == argc ||
            read_number(argv[i + 1], options[at].max, options[at].at) < 0) {
            fprintf(stderr,
                    "beckon-raw-postgres: \"%s\" is unknown, or has no number above 0 and within "
                    "its limit; expected --rows, --depth, --payload, --inboxes or --seconds N\n",
                    argv[i]);
            return ERR_CONFIG;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct raw raw = {
        .rows_a_batch = 800, .depth = 2, .payload = 256, .inboxes = 200, .seconds = 5};
    const char *dsn = getenv("BECKON_DSN"); /* it has a password: not for a command line */
    int r;

    if (read_options(argc, argv, &raw) < 0)
        return 2;
    if (dsn == NULL) {
        fputs("beckon-raw-postgres: BECKON_DSN is not set, expected a database\n", stderr);
        return 2;
    }
    r = rows_init(&raw.rows, raw.inboxes, raw.payload);
    if (r == 0)
        r = open_database(&raw, dsn);
    if (r == 0)
        r = insert(&raw);
    if (r == 0)
        r = close_database(&raw);
    if (r == 0)
        report(&raw);
    rows_fini(&raw.rows);
    PQfinish(raw.db);
    return r < 0;
}
