/* janitor - see the header. The chores ride on the reader's connection, hourly; the functions they
 * call wait at most five seconds for a lock and do nothing when there is nothing to do. */
#include "broker/janitor.h"

#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <endian.h>

#define JANITOR_INTERVAL_MS (60u * 60 * 1000)
#define FIRST_AFTER_MS (60u * 1000)
/* Two weeks of inbox partitions ahead: a broker may stand still for as long. */
#define WEEKS_AHEAD 2

struct janitor {
    struct timer timer;
    struct broker *broker;
};

static void on_janitor_timer(struct timer *timer)
{
    struct janitor *j = CONTAINER_OF(timer, struct janitor, timer);

    j->broker->store->janitor_due = true;
    loop_timer_add(j->broker->loop, &j->timer, JANITOR_INTERVAL_MS);
}

int janitor_create(struct broker *broker)
{
    struct janitor *janitor = calloc(1, sizeof(*janitor));

    if (!janitor)
        return ERR_NO_MEMORY;
    janitor->broker = broker;
    broker->janitor = janitor;
    timer_init(&janitor->timer, on_janitor_timer);
    /* at start the partitions were made already; old ones are dropped soon after */
    loop_timer_add(broker->loop, &janitor->timer, FIRST_AFTER_MS);
    return 0;
}

void janitor_destroy(struct broker *broker)
{
    if (!broker->janitor)
        return;
    loop_timer_cancel(broker->loop, &broker->janitor->timer);
    free(broker->janitor);
    broker->janitor = NULL;
}

static void on_chore(void *arg, const PGresult *result)
{
    const char *what = arg;

    if (!result)
        return; /* lost connection: the next hour does it */
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        log_error(NULL, "could not %s: %.*s", what,
                  (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
    else if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
             pg_get_int4(result, 0, 0) > 0)
        log_info(NULL, "%s: %d", what, pg_get_int4(result, 0, 0));
}

int janitor_send(struct store *store, struct pg *pg)
{
    uint32_t weeks = htobe32(WEEKS_AHEAD);
    uint32_t days = htobe32(store->broker->options.retention_days);
    uint32_t trace_days = htobe32(store->broker->options.trace_days);
    const char *values[1] = {(const char *)&weeks};
    const int lengths[1] = {sizeof(uint32_t)};
    int r;

    store->janitor_due = false;
    /* each in a segment of its own: one that fails must not undo the others, or the reads before */
    r = pg_sync(pg, NULL, NULL);
    if (r == 0)
        r = pg_query(pg, SQL_MAKE_PARTITIONS, values, lengths, on_chore, (void *)"make partitions");
    if (r == 0)
        r = pg_sync(pg, NULL, NULL);
    values[0] = (const char *)&days;
    if (r == 0)
        r = pg_query(pg, SQL_DROP_PARTITIONS, values, lengths, on_chore,
                     (void *)"drop old partitions");
    if (r == 0)
        r = pg_sync(pg, NULL, NULL);
    values[0] = (const char *)&trace_days;
    if (r == 0)
        r = pg_query(pg, SQL_DROP_TRACE_PARTITIONS, values, lengths, on_chore,
                     (void *)"drop old partitions of the trace");
    if (r == 0)
        r = pg_sync(pg, NULL, NULL);
    if (r == 0)
        r = pg_query(pg, SQL_MAKE_TRACE_PARTITIONS, NULL, NULL, on_chore,
                     (void *)"make partitions of the trace");
    if (r == 0)
        r = pg_sync(pg, NULL, NULL);
    if (r == 0)
        r = pg_query(pg, SQL_DROP_SESSIONS, NULL, NULL, on_chore, (void *)"drop expired sessions");
    return r;
}
