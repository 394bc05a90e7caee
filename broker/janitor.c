/* janitor - see the header.
 *
 * Problem: chores take locks that writers need, and may take long. Method: a connection of their
 * own, so that no read waits behind them; pieces of some milliseconds, each a transaction, which
 * give up when a lock takes longer than 100 ms and are tried again later; one broker at a time, by
 * an advisory lock. Cost: some queries an hour when there is nothing to do. */
#include "broker/janitor.h"

#include "broker/broker.h"
#include "broker/pg_array.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <endian.h>
#include <stdlib.h>

/* Clocks that are disciplined at all drift less than a millisecond in this time. */
#define CLOCK_INTERVAL_MS (60u * 1000)
/* A day's partition may live an hour longer. */
#define CHORES_INTERVAL_MS (60u * 60 * 1000)
/* After a piece that failed: a table that is read for long (a backup) is not asked all the time. */
#define RETRY_FIRST_MS (10u * 1000)
#define RETRY_MAX_MS (10u * 60 * 1000)
/* An answer that took longer says too little about when it was made. */
#define CLOCK_TRIP_MAX_MS 1000

struct janitor {
    struct timer timer;
    struct broker *broker;
    struct pg *pg;
    struct janitor_state state;
    uint64_t asked_ms; /* wall clock when the clock was asked for */
    uint64_t due_ms;   /* the chores, monotonic */
    uint64_t retry_ms; /* 0: the last run was without failure */
    unsigned chore;
    int did; /* the last piece; negative: failed */
    bool running, locked, failed, hurry;
};

/* Repeated while it does something; then the next, or after a partition was dropped the one before:
 * there may be another that is over. */
static const struct chore {
    enum sql_janitor statement;
    int params; /* days of retention, of the trace */
    const char *what;
    size_t metric; /* counts what was done; 0 = none */
    bool back;
} chores[] = {
    {SQL_MAKE_NEXT, 2, "make partitions", offsetof(struct metrics, partitions_made), false},
    {SQL_RETIRE_NEXT, 1, "keep sequences of old partitions", 0, false},
    {SQL_DROP_INBOX, 2, "drop old partitions of the inbox",
     offsetof(struct metrics, partitions_dropped), true},
    {SQL_DROP_DEDUPE, 2, "drop old KEYs", offsetof(struct metrics, partitions_dropped), false},
    {SQL_DROP_TRACE, 2, "drop old partitions of the trace",
     offsetof(struct metrics, partitions_dropped), false},
    {SQL_DROP_MOVES, 2, "drop old cursor moves", offsetof(struct metrics, partitions_dropped),
     false},
    {SQL_SWEEP_NEXT, 2, "sweep default partitions", 0, false},
    {SQL_DROP_SESSIONS, 0, "drop expired sessions", 0, false},
};

static void next_piece(struct janitor *j);

static void finish(struct janitor *j)
{
    uint64_t delay_ms = CHORES_INTERVAL_MS;

    j->running = j->locked = false;
    if (j->failed) {
        j->broker->metrics.janitor_failures++;
        j->retry_ms = j->retry_ms == 0 ? RETRY_FIRST_MS : j->retry_ms * 2;
        if (j->retry_ms > RETRY_MAX_MS)
            j->retry_ms = RETRY_MAX_MS;
        delay_ms = j->retry_ms;
    } else {
        j->retry_ms = 0;
    }
    if (j->hurry)
        delay_ms = 0;
    j->due_ms = loop_now_ms(j->broker->loop) + delay_ms;
    if (delay_ms < CLOCK_INTERVAL_MS)
        loop_timer_add(j->broker->loop, &j->timer, delay_ms);
}

/* --- questions --- */

static bool is_row(const PGresult *result)
{
    return result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
}

static void on_clock(void *arg, const PGresult *result)
{
    struct janitor *j = arg;
    uint64_t now_ms = loop_wall_clock_ms();

    if (!is_row(result) || now_ms < j->asked_ms || now_ms - j->asked_ms > CLOCK_TRIP_MAX_MS)
        return; /* the next minute's will do */
    j->broker->clock_ahead_ms =
        (int64_t)(pg_get_time(result, 0, 0) - (j->asked_ms + (now_ms - j->asked_ms) / 2));
}

static void on_state(void *arg, const PGresult *result)
{
    struct janitor *j = arg;

    if (is_row(result))
        j->state =
            (struct janitor_state){.oldest_ms = (uint64_t)pg_get_int8(result, 0, STATE_OLDEST_MS),
                                   .ahead_ms = pg_get_int8(result, 0, STATE_AHEAD_MS),
                                   .strays = (uint64_t)pg_get_int8(result, 0, STATE_STRAYS)};
}

static void on_lock(void *arg, const PGresult *result)
{
    struct janitor *j = arg;

    j->locked = is_row(result) && pg_get_bool(result, 0, 0);
}

static void on_piece(void *arg, const PGresult *result)
{
    struct janitor *j = arg;

    if (is_row(result)) {
        j->did = pg_get_int4(result, 0, 0);
        return;
    }
    j->did = -1;
    if (result)
        log_warning(NULL, "could not %s, trying again later: %.*s", chores[j->chore].what,
                    (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
}

/* --- a run --- */

static void on_end(void *arg, bool ok)
{
    struct janitor *j = arg;

    j->failed = j->failed || !ok;
    finish(j);
}

/* Lost connection: the next run begins again, where the database left off. */
static void ask_failed(struct janitor *j)
{
    j->failed = true;
    finish(j);
}

static void end(struct janitor *j)
{
    int r = 0;

    if (j->locked)
        r = pg_query(j->pg, SQL_JANITOR_UNLOCK, NULL, NULL, NULL, NULL);
    if (r == 0)
        r = pg_query(j->pg, SQL_RETENTION_STATE, NULL, NULL, on_state, j);
    if (r == 0)
        r = pg_sync(j->pg, on_end, j);
    if (r < 0)
        ask_failed(j);
}

static void count(struct janitor *j, const struct chore *chore)
{
    if (chore->metric != 0)
        *(uint64_t *)(void *)((char *)&j->broker->metrics + chore->metric) += (uint64_t)j->did;
    if (chore->statement != SQL_RETIRE_NEXT)
        log_info(NULL, "%s: %d", chore->what, j->did);
}

static void on_piece_end(void *arg, bool ok)
{
    struct janitor *j = arg;
    const struct chore *chore = &chores[j->chore];

    if (!ok) {
        ask_failed(j);
        return;
    }
    if (j->did > 0)
        count(j, chore);
    if (j->did < 0)
        j->failed = true;
    if (j->did > 0 && chore->back)
        j->chore--;
    else if (j->did <= 0)
        j->chore++;
    if (j->chore < ARRAY_LEN(chores))
        next_piece(j);
    else
        end(j);
}

static void next_piece(struct janitor *j)
{
    const struct chore *chore = &chores[j->chore];
    uint32_t days = htobe32(j->broker->options.retention_days);
    uint32_t trace_days = htobe32(j->broker->options.trace_days);
    const char *values[] = {(const char *)&days, (const char *)&trace_days};
    const int lengths[] = {sizeof(days), sizeof(trace_days)};
    int r = pg_query(j->pg, chore->statement, chore->params > 0 ? values : NULL,
                     chore->params > 0 ? lengths : NULL, on_piece, j);

    if (r == 0)
        r = pg_sync(j->pg, on_piece_end, j);
    if (r < 0)
        ask_failed(j);
}

static void on_locked(void *arg, bool ok)
{
    struct janitor *j = arg;

    if (!ok)
        ask_failed(j);
    else if (j->locked)
        next_piece(j);
    else
        end(j); /* another broker is at it */
}

static void run(struct janitor *j)
{
    int r;

    j->running = true;
    j->failed = j->hurry = false;
    j->chore = 0;
    r = pg_query(j->pg, SQL_JANITOR_LOCK, NULL, NULL, on_lock, j);
    if (r == 0)
        r = pg_sync(j->pg, on_locked, j);
    if (r < 0)
        ask_failed(j);
}

/* --- when --- */

static void on_timer(struct timer *timer)
{
    struct janitor *j = CONTAINER_OF(timer, struct janitor, timer);
    struct loop *loop = j->broker->loop;

    loop_timer_add(loop, &j->timer, CLOCK_INTERVAL_MS);
    if (j->running || !pg_ready(j->pg))
        return; /* its end, or the connection's beginning, comes back here */
    j->asked_ms = loop_wall_clock_ms();
    if (pg_query(j->pg, SQL_CLOCK, NULL, NULL, on_clock, j) < 0 || pg_sync(j->pg, NULL, NULL) < 0)
        return; /* lost, and found again: on_ready */
    if (loop_now_ms(loop) >= j->due_ms)
        run(j);
}

static void on_ready(void *arg)
{
    struct janitor *j = arg;

    loop_timer_add(j->broker->loop, &j->timer, 0);
}

static void on_lost(void *arg, const char *reason)
{
    (void)arg, (void)reason; /* a run under way has heard of it; on_ready goes on */
}

void janitor_hurry(struct broker *broker)
{
    struct janitor *j = broker->janitor;

    j->hurry = j->running; /* what is under way has begun with the old options */
    j->due_ms = loop_now_ms(broker->loop);
    if (!j->running)
        loop_timer_add(broker->loop, &j->timer, 0);
}

const struct janitor_state *janitor_state(const struct broker *broker)
{
    return &broker->janitor->state;
}

int janitor_create(struct broker *broker)
{
    static const struct pg_events events = {on_ready, on_lost, NULL};
    struct janitor *j = calloc(1, sizeof(*j));

    if (!j)
        return ERR_NO_MEMORY;
    j->broker = broker;
    timer_init(&j->timer, on_timer);
    j->pg = pg_create(broker->loop, "janitor", broker->database, sql_janitor, SQL_JANITOR_COUNT,
                      &events, j);
    if (!j->pg) {
        free(j);
        return ERR_NO_MEMORY;
    }
    broker->janitor = j;
    return 0;
}

void janitor_destroy(struct broker *broker)
{
    struct janitor *j = broker->janitor;

    if (!j)
        return;
    loop_timer_cancel(broker->loop, &j->timer);
    pg_destroy(j->pg);
    free(j);
    broker->janitor = NULL;
}
