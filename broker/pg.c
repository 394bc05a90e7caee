/* pg - asynchronous libpq in pipeline mode.
 *
 * libpq answers queries in the order they were sent, so the callbacks wait in a ring: one entry a
 * query or sync. Nothing here ever waits: connecting is pg_connect's, sending goes through PQflush
 * and write readiness, results through PQconsumeInput. Statements are prepared at every new
 * connection, in the pipeline, before the owner hears that it is ready; before them the barrier:
 * what an earlier connection committed without hearing so may be visible here and not yet on a
 * synchronous standby, and what is seen must be as durable as what is acknowledged.
 *
 * A server that is silent is not a server that is lost: its transaction goes on, holds its locks,
 * and may be what everybody waits for (a standby that is away, a slow disk), so that a second
 * connection would wait behind the first, and a third behind both. What the connection is given up
 * for is a server with a newer history: after timeout_ms without an answer all hosts are asked who
 * they are, again and again. A machine that vanished is noticed by the kernel (keepalives,
 * tcp_user_timeout).
 *
 * PQconnectStart resolves host names with getaddrinfo, which may block for as long as the resolver
 * does; that is at (re)connection only, when this broker can't accept anything anyway. */
#include "broker/pg.h"

#include "broker/broker.h"
#include "broker/pg_connect.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First wait after a lost connection, doubling: a restarted server is found again quickly, one that
 * is gone is not hammered. */
#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 2000

enum pg_state { PG_WAITING, PG_CONNECTING, PG_PREPARING, PG_READY };

struct pg_pending {
    pg_result_fn on_result;
    pg_sync_fn on_sync;
    void *arg;
    bool sync;     /* ends a segment; else a query */
    bool answered; /* a query that has had its result: the NULL that ends it is awaited */
    bool warned;   /* the server sent a warning with it */
};

struct pg {
    TAILQ_ENTRY(pg) link; /* of its target */
    struct loop *loop;
    const char *name;
    struct pg_target *target;
    const struct pg_statement *statements;
    int statement_count;
    struct pg_events events;
    void *arg;

    PGconn *conn;
    enum pg_state state;
    unsigned host;            /* of conn, or the last one */
    bool connected_before;    /* ... and host is where */
    struct pg_server server;  /* of conn */
    struct pg_connect search; /* while there is no conn, or this one is silent */
    struct pg_watch watch;
    struct timer timer;            /* reconnect */
    uint64_t backoff_ms, ready_ms; /* since when; 0: it is not */
    struct timer silence;          /* runs while answers are awaited, and once more */
    uint64_t progress_ms; /* the last answer, or the first question after all were answered */
    bool hurry;
    bool silent;       /* no answer for timeout_ms */
    bool warned;       /* the answer that is being handed out had a warning */
    char warning[256]; /* the last one */
    bool losing;       /* lost, and not yet told to the owner */
    char lost_reason[256];
    struct loop_task lose_task;

    struct pg_pending *ring; /* pending answers, oldest at head */
    size_t ring_head, ring_count, ring_cap;
};

static size_t describe(const void *object, char *buf, size_t size)
{
    const struct pg *pg = object;

    return log_kv(buf, size, 0, "database", pg->name);
}

static struct log_subject subject(const struct pg *pg)
{
    return (struct log_subject){.describe = describe, .object = pg};
}

static void try_later(struct pg *pg)
{
    /* one that is let in and then fails at once is no better than one that is not let in */
    if (pg->hurry || (pg->ready_ms != 0 && loop_now_ms(pg->loop) - pg->ready_ms > RECONNECT_MAX_MS))
        pg->backoff_ms = RECONNECT_MIN_MS;
    pg->ready_ms = 0;
    pg->hurry = false;
    loop_timer_add(pg->loop, &pg->timer, pg->backoff_ms);
    pg->backoff_ms = pg->backoff_ms * 2 > RECONNECT_MAX_MS ? RECONNECT_MAX_MS : pg->backoff_ms * 2;
}

/* Forgets the connection and tells everyone who waits for an answer. */
static void drop(struct pg *pg, const char *reason)
{
    struct log_subject s = subject(pg);
    struct pg_pending *ring = pg->ring;
    size_t head = pg->ring_head, count = pg->ring_count, cap = pg->ring_cap;
    char text[sizeof(pg->lost_reason)];

    snprintf(text, sizeof(text), "%s", reason);
    text[strcspn(text, "\n")] = '\0';
    pg_watch_end(&pg->watch, pg->loop);
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->state = PG_WAITING;
    pg->ring = NULL;
    pg->ring_head = pg->ring_count = pg->ring_cap = 0;
    pg->silent = false;
    pg->target->metrics->database_connections_lost++;
    log_limited(loop_now_ms(pg->loop), LOG_WARNING, &s, "lost the database connection: %s", text);
    if (!pg_connect_busy(&pg->search))
        try_later(pg);
    for (size_t i = 0; i < count; i++) {
        struct pg_pending *p = &ring[(head + i) % cap];

        if (p->sync && p->on_sync)
            p->on_sync(p->arg, false);
        else if (!p->sync && !p->answered && p->on_result)
            p->on_result(p->arg, NULL);
    }
    free(ring);
    pg->events.on_lost(pg->arg, text);
}

/* The loss is acted on after the callbacks of this turn, so that no owner is re-entered from its
 * own call; until then nothing is sent and nothing more is read. */
static void lose(struct pg *pg, const char *reason)
{
    if (pg->losing || !pg->conn)
        return;
    snprintf(pg->lost_reason, sizeof(pg->lost_reason), "%s", reason);
    pg->losing = true;
    loop_post(pg->loop, &pg->lose_task);
}

static void on_lose(void *arg)
{
    struct pg *pg = arg;

    pg->losing = false;
    drop(pg, pg->lost_reason);
}

/* --- silence --- */

static void on_silence(struct timer *timer)
{
    struct pg *pg = CONTAINER_OF(timer, struct pg, silence);
    struct log_subject s = subject(pg);
    uint64_t silent_ms = loop_now_ms(pg->loop) - pg->progress_ms;

    if (pg->ring_count == 0)
        return; /* all is answered; the next question starts it again */
    if (silent_ms < pg->target->timeout_ms) {
        loop_timer_add(pg->loop, &pg->silence, pg->target->timeout_ms - silent_ms);
        return;
    }
    loop_timer_add(pg->loop, &pg->silence, pg->target->timeout_ms);
    if (!pg->silent)
        pg->target->metrics->database_silences++;
    pg->silent = true;
    log_warning(&s, "no answer for %" PRIu64 " ms, looking whether another server was promoted",
                silent_ms);
    pg_connect_start(&pg->search, pg->host + 1);
}

static void heard(struct pg *pg)
{
    struct log_subject s = subject(pg);

    if (pg->silent)
        log_info(&s, "answers again, after %" PRIu64 " ms",
                 loop_now_ms(pg->loop) - pg->progress_ms);
    pg->silent = false;
    pg->progress_ms = loop_now_ms(pg->loop);
}

/* --- questions --- */

static int ring_push(struct pg *pg, struct pg_pending pending)
{
    if (pg->ring_count == pg->ring_cap) {
        size_t cap = pg->ring_cap ? pg->ring_cap * 2 : 64;
        struct pg_pending *ring = malloc(cap * sizeof(*ring));

        if (!ring)
            return ERR_NO_MEMORY;
        for (size_t i = 0; i < pg->ring_count; i++)
            ring[i] = pg->ring[(pg->ring_head + i) % pg->ring_cap];
        free(pg->ring);
        pg->ring = ring;
        pg->ring_head = 0;
        pg->ring_cap = cap;
    }
    if (pg->ring_count == 0) {
        pg->progress_ms = loop_now_ms(pg->loop);
        if (!timer_armed(&pg->silence))
            loop_timer_add(pg->loop, &pg->silence, pg->target->timeout_ms);
    }
    pg->ring[(pg->ring_head + pg->ring_count) % pg->ring_cap] = pending;
    pg->ring_count++;
    return 0;
}

static struct pg_pending ring_pop(struct pg *pg)
{
    struct pg_pending pending = pg->ring[pg->ring_head];

    pg->ring_head = (pg->ring_head + 1) % pg->ring_cap;
    pg->ring_count--;
    return pending;
}

static void want_write(struct pg *pg)
{
    int left = PQflush(pg->conn);
    uint32_t events = EPOLLIN | (left > 0 ? EPOLLOUT : 0);

    if (left < 0)
        lose(pg, PQerrorMessage(pg->conn));
    else if (loop_io_set(pg->loop, pg->watch.io, events) < 0)
        lose(pg, "could not watch the connection");
}

static void on_barrier(void *arg, const PGresult *result)
{
    struct pg *pg = arg;

    if (result && PQresultStatus(result) != PGRES_TUPLES_OK)
        lose(pg, PQresultErrorMessage(result));
}

static void on_prepared(void *arg, const PGresult *result)
{
    struct pg *pg = arg;

    if (result && PQresultStatus(result) != PGRES_COMMAND_OK)
        lose(pg, PQresultErrorMessage(result));
}

static void on_prepared_all(void *arg, bool ok)
{
    struct pg *pg = arg;

    if (!ok || pg->losing)
        return;
    pg->state = PG_READY;
    pg->ready_ms = loop_now_ms(pg->loop);
    pg->events.on_ready(pg->arg);
}

static void prepare_all(struct pg *pg)
{
    pg->state = PG_PREPARING;
    if (PQsetnonblocking(pg->conn, 1) != 0 || PQenterPipelineMode(pg->conn) != 1) {
        lose(pg, PQerrorMessage(pg->conn));
        return;
    }
    if (PQsendQueryParams(pg->conn, SQL_BARRIER, 0, NULL, NULL, NULL, NULL, 1) != 1 ||
        ring_push(pg, (struct pg_pending){.on_result = on_barrier, .arg = pg}) < 0 ||
        pg_sync(pg, NULL, NULL) < 0) {
        lose(pg, PQerrorMessage(pg->conn));
        return;
    }
    for (int i = 0; i < pg->statement_count; i++) {
        const struct pg_statement *s = &pg->statements[i];
        struct pg_pending pending = {.on_result = on_prepared, .arg = pg};

        if (PQsendPrepare(pg->conn, s->name, s->sql, s->param_count, NULL) != 1 ||
            ring_push(pg, pending) < 0) {
            lose(pg, PQerrorMessage(pg->conn));
            return;
        }
    }
    if (pg_sync(pg, on_prepared_all, pg) < 0)
        lose(pg, PQerrorMessage(pg->conn));
}

/* Hands out what has arrived. */
static void take_results(struct pg *pg)
{
    while (pg->ring_count > 0 && !pg->losing && !PQisBusy(pg->conn)) {
        struct pg_pending *head = &pg->ring[pg->ring_head];
        PGresult *result = PQgetResult(pg->conn);

        if (result)
            heard(pg);
        if (!result) {
            /* ends one query; a NULL where none is awaited means that nothing is there yet */
            if (!head->answered)
                break;
            ring_pop(pg);
            continue;
        }
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            struct pg_pending sync = ring_pop(pg);

            if (!sync.sync)
                lose(pg, "unexpected end of a pipeline segment");
            else if (sync.warned)
                lose(pg, pg->warning); /* it commits what the segment did */
            else if (sync.on_sync)
                sync.on_sync(sync.arg, true);
        } else if (head->sync) {
            /* an error while committing at the sync itself */
            lose(pg, PQresultErrorMessage(result));
        } else if (!head->answered) {
            struct pg_pending query = *head;

            head->answered = true;
            pg->warned = query.warned;
            if (query.on_result)
                query.on_result(query.arg, result);
        }
        PQclear(result);
    }
}

/* However many came: what they are about is to be read in any case. */
static void take_notifies(struct pg *pg)
{
    PGnotify *notify;
    bool any = false;

    while ((notify = PQnotifies(pg->conn))) {
        any = true;
        PQfreemem(notify);
    }
    if (any && pg->events.on_notify && pg->state == PG_READY)
        pg->events.on_notify(pg->arg);
}

static void on_io(void *arg, uint32_t events)
{
    struct pg *pg = arg;

    (void)events; /* libpq finds out by itself */
    if (pg->losing)
        return;
    if (PQconsumeInput(pg->conn) != 1) {
        take_results(pg);
        lose(pg, PQerrorMessage(pg->conn));
        return;
    }
    take_results(pg);
    if (!pg->losing)
        take_notifies(pg);
    if (!pg->losing)
        want_write(pg);
}

/* A warning belongs to the question that is being answered. One with a COMMIT means that it is
 * committed here and perhaps nowhere else: the wait for a standby was cancelled. */
static void on_notice(void *arg, const PGresult *notice)
{
    struct pg *pg = arg;
    struct log_subject s = subject(pg);
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED) ?: "";
    const char *text = PQresultErrorMessage(notice);
    size_t place = 0;

    if (strcmp(severity, "WARNING") != 0) {
        log_debug(&s, "%.*s", (int)strcspn(text, "\n"), text);
        return;
    }
    log_limited(loop_now_ms(pg->loop), LOG_WARNING, &s, "%.*s", (int)strcspn(text, "\n"), text);
    snprintf(pg->warning, sizeof(pg->warning), "%.*s", (int)strcspn(text, "\n"), text);
    if (pg->ring_count > 0 && pg->ring[pg->ring_head].answered)
        place = 1;
    if (place < pg->ring_count)
        pg->ring[(pg->ring_head + place) % pg->ring_cap].warned = true;
}

/* --- connecting --- */

static void adopt(struct pg *pg, PGconn *conn, unsigned host, const struct pg_server *server)
{
    struct pg *other;

    loop_timer_cancel(pg->loop, &pg->timer);
    pg->conn = conn;
    pg->host = host;
    pg->connected_before = true;
    pg->server = *server;
    pg_target_accept(pg->target, host, server);
    /* whoever still talks to the server that was replaced reads what was */
    TAILQ_FOREACH(other, &pg->target->connections, link)
    {
        if (other->conn && other->server.timeline < server->timeline)
            lose(other, "another server was promoted");
    }
    PQsetNoticeReceiver(conn, on_notice, pg);
    if (pg_watch_set(&pg->watch, pg->loop, conn, EPOLLIN, on_io, pg) < 0)
        lose(pg, "could not watch the connection");
    else
        prepare_all(pg);
}

static void on_found(void *arg, PGconn *conn, unsigned host, const struct pg_server *server,
                     const char *why)
{
    struct pg *pg = arg;
    struct log_subject s = subject(pg);

    if (pg->conn && (!conn || server->timeline <= pg->server.timeline)) {
        log_info(&s, "goes on waiting: %s", conn ? "no other server was promoted" : why);
        PQfinish(conn);
        return;
    }
    if (pg->conn) {
        loop_unpost(pg->loop, &pg->lose_task);
        pg->losing = false;
        drop(pg, "another server was promoted");
    }
    if (conn) {
        adopt(pg, conn, host, server);
        return;
    }
    log_limited(loop_now_ms(pg->loop), LOG_WARNING, &s,
                "no database, trying again in %" PRIu64 " ms: %s", pg->backoff_ms, why);
    pg->state = PG_WAITING;
    try_later(pg);
    pg->events.on_lost(pg->arg, why);
}

/* The host that was lost comes last: if it is still there, and another one takes writes, then it
 * was replaced. */
static void on_timer(struct timer *timer)
{
    struct pg *pg = CONTAINER_OF(timer, struct pg, timer);

    pg->state = PG_CONNECTING;
    pg_connect_start(&pg->search, pg->connected_before ? pg->host + 1 : pg->target->host);
}

struct pg *pg_create(struct loop *loop, const char *name, struct pg_target *target,
                     const struct pg_statement *statements, int statement_count,
                     const struct pg_events *events, void *arg)
{
    struct pg *pg = calloc(1, sizeof(*pg));

    if (!pg)
        return NULL;
    pg->loop = loop;
    pg->name = name;
    pg->target = target;
    pg->statements = statements;
    pg->statement_count = statement_count;
    pg->events = *events;
    pg->arg = arg;
    pg->backoff_ms = RECONNECT_MIN_MS;
    pg->watch.fd = -1;
    pg->lose_task = (struct loop_task){.fn = on_lose, .arg = pg};
    timer_init(&pg->timer, on_timer);
    timer_init(&pg->silence, on_silence);
    pg_connect_init(&pg->search, loop, target, on_found, pg);
    TAILQ_INSERT_TAIL(&target->connections, pg, link);
    loop_timer_add(loop, &pg->timer, 0);
    return pg;
}

void pg_destroy(struct pg *pg)
{
    if (!pg)
        return;
    loop_timer_cancel(pg->loop, &pg->timer);
    loop_timer_cancel(pg->loop, &pg->silence);
    loop_unpost(pg->loop, &pg->lose_task);
    pg_connect_cancel(&pg->search);
    TAILQ_REMOVE(&pg->target->connections, pg, link);
    pg_watch_end(&pg->watch, pg->loop);
    PQfinish(pg->conn);
    free(pg->ring);
    free(pg);
}

bool pg_ready(const struct pg *pg)
{
    return pg->state == PG_READY && !pg->losing;
}

bool pg_silent(const struct pg *pg)
{
    return pg->silent;
}

bool pg_warned(const struct pg *pg)
{
    return pg->warned;
}

int pg_query(struct pg *pg, int statement, const char *const *values, const int *lengths,
             pg_result_fn fn, void *arg)
{
    static const int all_binary[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                       1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const struct pg_statement *s = &pg->statements[statement];
    struct pg_pending pending = {.on_result = fn, .arg = arg};

    if (!pg_ready(pg))
        return ERR_DATABASE;
    if (PQsendQueryPrepared(pg->conn, s->name, s->param_count, values, lengths, all_binary, 1) !=
            1 ||
        ring_push(pg, pending) < 0) {
        lose(pg, PQerrorMessage(pg->conn));
        return ERR_DATABASE;
    }
    return 0;
}

int pg_sync(struct pg *pg, pg_sync_fn fn, void *arg)
{
    struct pg_pending pending = {.on_sync = fn, .arg = arg, .sync = true};

    if (!pg->conn || pg->losing)
        return ERR_DATABASE;
    if (PQpipelineSync(pg->conn) != 1 || ring_push(pg, pending) < 0) {
        lose(pg, PQerrorMessage(pg->conn));
        return ERR_DATABASE;
    }
    want_write(pg); /* a failure here reaches fn as not ok */
    return 0;
}

void pg_reset(struct pg *pg, const char *reason)
{
    lose(pg, reason);
}

void pg_hurry(struct pg *pg)
{
    pg->hurry = true;
}
