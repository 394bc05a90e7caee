/* pg_connect - see the header. PQconnectPoll, then one question, then the judgement of pg_target.
 */
#include "broker/pg_connect.h"

#include "broker/broker.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void pg_watch_end(struct pg_watch *watch, struct loop *loop)
{
    if (watch->io == 0)
        return;
    loop_io_remove(loop, watch->io);
    close(watch->fd);
    *watch = (struct pg_watch){.fd = -1};
}

int pg_watch_set(struct pg_watch *watch, struct loop *loop, const PGconn *conn, uint32_t events,
                 loop_io_fn fn, void *arg)
{
    int fd, r;

    pg_watch_end(watch, loop);
    fd = fcntl(PQsocket(conn), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    r = loop_io_add(loop, fd, events, fn, arg, &watch->io);
    if (r < 0) {
        close(fd);
        return r;
    }
    watch->fd = fd;
    return 0;
}

static void close_host(struct pg_connect *search)
{
    pg_watch_end(&search->watch, search->loop);
    loop_timer_cancel(search->loop, &search->timer);
    PQfinish(search->conn);
    search->conn = NULL;
}

/* This host is not the one. */
static void note(struct pg_connect *search, const char *text)
{
    size_t len = strlen(search->why);

    snprintf(search->why + len, sizeof(search->why) - len, "%s%.*s", len > 0 ? "; " : "",
             (int)strcspn(text, "\n"), text);
    close_host(search);
}

static unsigned host_of(const struct pg_connect *search)
{
    return (search->first + search->tried - 1) % search->target->host_count;
}

static void on_io(void *arg, uint32_t events);

static void on_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    log_debug(NULL, "database: %.*s", (int)strcspn(PQresultErrorMessage(notice), "\n"),
              PQresultErrorMessage(notice));
}

static void try_hosts(struct pg_connect *search)
{
    while (search->tried < search->target->host_count) {
        search->tried++;
        search->asking = search->answered = false;
        search->conn = pg_target_begin(search->target, host_of(search));
        if (!search->conn) {
            note(search, "out of memory");
            continue;
        }
        PQsetNoticeReceiver(search->conn, on_notice, search);
        if (PQstatus(search->conn) == CONNECTION_BAD) {
            note(search, PQerrorMessage(search->conn));
        } else if (pg_watch_set(&search->watch, search->loop, search->conn, EPOLLOUT, on_io,
                                search) < 0) {
            note(search, "could not watch the connection");
        } else {
            loop_timer_add(search->loop, &search->timer, search->target->connect_timeout_ms);
            return;
        }
    }
    search->on_found(search->arg, NULL, 0, NULL, search->why);
}

static void give_up_host(struct pg_connect *search, const char *text)
{
    note(search, text);
    try_hosts(search);
}

static void on_timer(struct timer *timer)
{
    struct pg_connect *search = CONTAINER_OF(timer, struct pg_connect, timer);
    const char *host = PQhost(search->conn), *port = PQport(search->conn);
    char text[320];

    snprintf(text, sizeof(text), "%s port %s: no answer within %u ms", host ?: "", port ?: "",
             search->target->connect_timeout_ms);
    give_up_host(search, text);
}

static void found(struct pg_connect *search)
{
    struct err_text et = {""};
    PGconn *conn = search->conn;
    char text[2 * sizeof(et.text)];

    if (pg_target_judge(search->target, &search->server, &et) < 0) {
        search->target->metrics->database_servers_refused++;
        snprintf(text, sizeof(text), "%.300s port %.100s is %s", PQhost(conn) ?: "",
                 PQport(conn) ?: "", et.text);
        give_up_host(search, text);
        return;
    }
    search->conn = NULL;
    close_host(search);
    search->on_found(search->arg, conn, host_of(search), &search->server, NULL);
}

static void answer_poll(struct pg_connect *search)
{
    PGresult *result;
    int r;

    if (PQconsumeInput(search->conn) != 1 || PQflush(search->conn) < 0) {
        give_up_host(search, PQerrorMessage(search->conn));
        return;
    }
    while (!PQisBusy(search->conn)) {
        struct err_text et = {""};

        result = PQgetResult(search->conn);
        if (!result && search->answered) {
            found(search);
            return;
        }
        r = pg_server_read(result, &search->server, &et);
        PQclear(result);
        if (r < 0) {
            give_up_host(search, et.text);
            return;
        }
        search->answered = true;
    }
}

static int ask(struct pg_connect *search)
{
    search->asking = true;
    if (PQsetnonblocking(search->conn, 1) != 0 || PQsendQuery(search->conn, SQL_SERVER) != 1 ||
        PQflush(search->conn) < 0)
        return ERR_DATABASE;
    /* the question is smaller than any socket's buffer: nothing is left to be flushed */
    return pg_watch_set(&search->watch, search->loop, search->conn, EPOLLIN, on_io, search);
}

static void connect_poll(struct pg_connect *search)
{
    int r = 0;

    switch (PQconnectPoll(search->conn)) {
    case PGRES_POLLING_READING:
        r = pg_watch_set(&search->watch, search->loop, search->conn, EPOLLIN, on_io, search);
        break;
    case PGRES_POLLING_WRITING:
        r = pg_watch_set(&search->watch, search->loop, search->conn, EPOLLOUT, on_io, search);
        break;
    case PGRES_POLLING_OK:
        r = ask(search);
        break;
    default:
        r = ERR_DATABASE;
        break;
    }
    if (r == ERR_DATABASE)
        give_up_host(search, PQerrorMessage(search->conn));
    else if (r < 0)
        give_up_host(search, "could not watch the connection");
}

static void on_io(void *arg, uint32_t events)
{
    struct pg_connect *search = arg;

    (void)events; /* libpq finds out by itself */
    if (search->asking)
        answer_poll(search);
    else
        connect_poll(search);
}

void pg_connect_init(struct pg_connect *search, struct loop *loop, struct pg_target *target,
                     pg_found_fn on_found, void *arg)
{
    *search = (struct pg_connect){
        .loop = loop, .target = target, .on_found = on_found, .arg = arg, .watch = {.fd = -1}};
    timer_init(&search->timer, on_timer);
}

void pg_connect_start(struct pg_connect *search, unsigned first)
{
    if (search->conn)
        return;
    search->first = first;
    search->tried = 0;
    search->why[0] = '\0';
    try_hosts(search);
}

bool pg_connect_busy(const struct pg_connect *search)
{
    return search->conn != NULL;
}

void pg_connect_cancel(struct pg_connect *search)
{
    if (search->conn)
        close_host(search);
}
