/* http_api - see the header. */
#include "broker/http_api.h"

#include "broker/broker.h"
#include "broker/pg.h"
#include "broker/store_sql.h"
#include "common/auto.h"

#include <endian.h>
#include <stdlib.h>

/* Questions that wait at once: an operator has a few. */
#define WAITING_MAX 64

struct question {
    STAILQ_ENTRY(question) link;
    struct http_api *api;
    struct http_call *call;
    void (*done)(struct http_call *call, const PGresult *result);
};

struct http_api {
    struct broker *broker;
    struct pg *pg;
    STAILQ_HEAD(, question) questions; /* oldest first */
    unsigned waiting;
};

static void on_ready(void *arg)
{
    (void)arg; /* questions are only taken while it is ready */
}

static void on_lost(void *arg, const char *reason)
{
    (void)arg, (void)reason; /* each question gets its own answer: none */
}

struct http_api *http_api_create(struct broker *broker)
{
    static const struct pg_events events = {on_ready, on_lost, NULL};
    struct http_api *api = calloc(1, sizeof(*api));

    if (!api)
        return NULL;
    api->broker = broker;
    STAILQ_INIT(&api->questions);
    api->pg =
        pg_create(broker->loop, "api", broker->database, sql_api, SQL_API_COUNT, &events, api);
    if (api->pg)
        return api;
    free(api);
    return NULL;
}

static void finish(struct question *question, const PGresult *result)
{
    struct http_call *call = question->call;
    void (*done)(struct http_call *, const PGresult *) = question->done;

    STAILQ_REMOVE(&question->api->questions, question, question, link);
    question->api->waiting--;
    free(question);
    done(call, result);
}

static void on_result(void *arg, const PGresult *result)
{
    finish(arg, result && PQresultStatus(result) == PGRES_TUPLES_OK ? result : NULL);
}

bool http_api_trace(struct http_api *api, struct http_call *call, const struct mid *mid,
                    void (*done)(struct http_call *call, const PGresult *result))
{
    /* PostgreSQL's epoch is 2000-01-01, in microseconds */
    int64_t sent_us = (int64_t)mid_time_ms(mid) * 1000 - 946684800000000;
    uint64_t sent_at = htobe64((uint64_t)sent_us);
    uint32_t days = htobe32(api->broker->options.retention_days);
    const char *values[] = {(const char *)mid->octets, (const char *)&sent_at, (const char *)&days};
    const int lengths[] = {MID_SIZE, sizeof(sent_at), sizeof(days)};
    struct question *question;

    if (api->waiting >= WAITING_MAX || !pg_ready(api->pg))
        return false;
    question = calloc(1, sizeof(*question));
    if (!question)
        return false;
    *question = (struct question){.api = api, .call = call, .done = done};
    STAILQ_INSERT_TAIL(&api->questions, question, link);
    api->waiting++;
    if (pg_query(api->pg, SQL_API_TRACE, values, lengths, on_result, question) == 0) {
        if (pg_sync(api->pg, NULL, NULL) < 0)
            pg_reset(api->pg, "could not send a question"); /* which answers it: none */
        return true;
    }
    STAILQ_REMOVE(&api->questions, question, question, link);
    api->waiting--;
    free(question);
    return false;
}

void http_api_destroy(struct http_api *api)
{
    if (!api)
        return;
    pg_destroy(api->pg);
    while (!STAILQ_EMPTY(&api->questions))
        finish(STAILQ_FIRST(&api->questions), NULL);
    free(api);
}
