/* pg - asynchronous libpq in pipeline mode.
 *
 * libpq answers queries in the order they were sent, so the callbacks wait in a ring: one entry a
 * query or sync. Nothing here ever waits: connecting goes through PQconnectPoll, sending through
 * PQflush and write readiness, results through PQconsumeInput. Statements are prepared at every new
 * connection, in the pipeline, before the owner hears that it is ready.
 *
 * PQconnectStart resolves host names with getaddrinfo, which may block for as long as the resolver
 * does; that is at (re)connection only, when this broker can't accept anything anyway. */
#include "broker/pg.h"

#include "common/auto.h"
#include "common/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* First wait after a lost connection, doubling: a restarted server is found again quickly, one that
 * is gone is not hammered. */
#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 2000
/* A server that accepts TCP and then says nothing must not hold us for ever. */
#define CONNECT_TIMEOUT_MS 10000

enum pg_state { PG_WAITING, PG_CONNECTING, PG_PREPARING, PG_READY };

struct pg_pending {
    pg_result_fn on_result;
    pg_sync_fn on_sync;
    void *arg;
    bool sync;     /* ends a segment; else a query */
    bool answered; /* a query that has had its result: the NULL that ends it is awaited */
};

struct pg {
    struct loop *loop;
    const char *name, *dsn;
    const struct pg_statement *statements;
    int statement_count;
    struct pg_events events;
    void *arg;

    PGconn *conn;
    enum pg_state state;
    loop_id io;
    int io_fd;          /* a duplicate of libpq's descriptor, ours */
    struct timer timer; /* reconnect, or connect timeout */
    uint64_t backoff_ms;
    bool losing; /* lost, and not yet told to the owner */
    char lost_reason[256];
    struct loop_task lose_task;

    struct pg_pending *ring; /* pending answers, oldest at head */
    size_t ring_head, ring_count, ring_cap;
};

static void connect_start(struct pg *pg);

static size_t describe(const void *object, char *buf, size_t size)
{
    const struct pg *pg = object;

    return log_kv(buf, size, 0, "database", pg->name);
}

static struct log_subject subject(const struct pg *pg)
{
    return (struct log_subject){.describe = describe, .object = pg};
}

static void unwatch(struct pg *pg)
{
    if (pg->io == 0)
        return;
    loop_io_remove(pg->loop, pg->io);
    close(pg->io_fd);
    pg->io = 0;
    pg->io_fd = -1;
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
    unwatch(pg);
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->state = PG_WAITING;
    pg->ring = NULL;
    pg->ring_head = pg->ring_count = pg->ring_cap = 0;
    loop_timer_add(pg->loop, &pg->timer, pg->backoff_ms);
    log_limited(loop_now_ms(pg->loop), LOG_WARNING, &s,
                "lost the database connection, trying again in %llu ms: %s",
                (unsigned long long)pg->backoff_ms, text);
    pg->backoff_ms = pg->backoff_ms * 2 > RECONNECT_MAX_MS ? RECONNECT_MAX_MS : pg->backoff_ms * 2;
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
    else if (loop_io_set(pg->loop, pg->io, events) < 0)
        lose(pg, "could not watch the connection");
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
    pg->backoff_ms = RECONNECT_MIN_MS;
    loop_timer_cancel(pg->loop, &pg->timer);
    pg->events.on_ready(pg->arg);
}

static void prepare_all(struct pg *pg)
{
    pg->state = PG_PREPARING;
    if (PQsetnonblocking(pg->conn, 1) != 0 || PQenterPipelineMode(pg->conn) != 1) {
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
            else if (sync.on_sync)
                sync.on_sync(sync.arg, true);
        } else if (head->sync) {
            /* an error while committing at the sync itself */
            lose(pg, PQresultErrorMessage(result));
        } else if (!head->answered) {
            struct pg_pending query = *head;

            head->answered = true;
            if (query.on_result)
                query.on_result(query.arg, result);
        }
        PQclear(result);
    }
}

static void connect_poll(struct pg *pg);

static void on_io(void *arg, uint32_t events)
{
    struct pg *pg = arg;

    (void)events; /* libpq finds out by itself */
    if (pg->losing)
        return;
    if (pg->state == PG_CONNECTING) {
        connect_poll(pg);
        return;
    }
    if (PQconsumeInput(pg->conn) != 1) {
        take_results(pg);
        lose(pg, PQerrorMessage(pg->conn));
        return;
    }
    take_results(pg);
    if (!pg->losing)
        want_write(pg);
}

/* libpq closes its descriptor by itself when it finds the connection lost, and makes another one
 * for the next address. What epoll watches is therefore a duplicate, which is ours to remove and
 * close. */
static int watch(struct pg *pg, uint32_t events)
{
    int fd, r;

    unwatch(pg);
    fd = fcntl(PQsocket(pg->conn), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    r = loop_io_add(pg->loop, fd, events, on_io, pg, &pg->io);
    if (r < 0) {
        close(fd);
        return r;
    }
    pg->io_fd = fd;
    return 0;
}

static void connect_poll(struct pg *pg)
{
    PostgresPollingStatusType status = PQconnectPoll(pg->conn);
    int r = 0;

    switch (status) {
    case PGRES_POLLING_READING:
        r = watch(pg, EPOLLIN);
        break;
    case PGRES_POLLING_WRITING:
        r = watch(pg, EPOLLOUT);
        break;
    case PGRES_POLLING_OK:
        r = watch(pg, EPOLLIN);
        if (r == 0)
            prepare_all(pg);
        break;
    default:
        lose(pg, PQerrorMessage(pg->conn));
        return;
    }
    if (r < 0)
        lose(pg, "could not watch the connection");
}

static void on_timer(struct timer *timer)
{
    struct pg *pg = CONTAINER_OF(timer, struct pg, timer);

    if (pg->state == PG_WAITING)
        connect_start(pg);
    else
        lose(pg, "timed out while connecting");
}

static void on_notice(void *arg, const char *message)
{
    struct pg *pg = arg;
    struct log_subject s = subject(pg);

    log_debug(&s, "notice: %.*s", (int)strcspn(message, "\n"), message);
}

static void connect_start(struct pg *pg)
{
    pg->conn = PQconnectStart(pg->dsn);
    if (!pg->conn) {
        /* out of memory: the same backoff as for a server that is away */
        loop_timer_add(pg->loop, &pg->timer, RECONNECT_MAX_MS);
        return;
    }
    pg->state = PG_CONNECTING;
    if (PQstatus(pg->conn) == CONNECTION_BAD) {
        lose(pg, PQerrorMessage(pg->conn));
        return;
    }
    PQsetNoticeProcessor(pg->conn, on_notice, pg);
    loop_timer_add(pg->loop, &pg->timer, CONNECT_TIMEOUT_MS);
    if (watch(pg, EPOLLOUT) < 0)
        lose(pg, "could not watch the connection");
}

struct pg *pg_create(struct loop *loop, const char *name, const char *dsn,
                     const struct pg_statement *statements, int statement_count,
                     const struct pg_events *events, void *arg)
{
    struct pg *pg = calloc(1, sizeof(*pg));

    if (!pg)
        return NULL;
    pg->loop = loop;
    pg->name = name;
    pg->dsn = dsn;
    pg->statements = statements;
    pg->statement_count = statement_count;
    pg->events = *events;
    pg->arg = arg;
    pg->backoff_ms = RECONNECT_MIN_MS;
    pg->io_fd = -1;
    pg->lose_task = (struct loop_task){.fn = on_lose, .arg = pg};
    timer_init(&pg->timer, on_timer);
    loop_timer_add(loop, &pg->timer, 0);
    return pg;
}

void pg_destroy(struct pg *pg)
{
    if (!pg)
        return;
    loop_timer_cancel(pg->loop, &pg->timer);
    loop_unpost(pg->loop, &pg->lose_task);
    unwatch(pg);
    PQfinish(pg->conn);
    free(pg->ring);
    free(pg);
}

bool pg_ready(const struct pg *pg)
{
    return pg->state == PG_READY && !pg->losing;
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
