/* store_recount - unread counts that are made again from the inbox, because something that was
 * counted has ended: all people that were asked for since the last read, as one statement. */
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "broker/unread.h"
#include "common/auto.h"
#include "common/log.h"

/* People in one statement: few, for each may have a whole inbox to be counted. */
#define RECOUNT_MAX 16

void store_recount(struct broker *broker, struct user *user)
{
    user_pin(broker, user); /* not idle, and loaded: so it is in no other list of this link */
    TAILQ_INSERT_TAIL(&broker->store->recount_queue, user, link);
}

static void on_recounts(void *arg, const PGresult *result)
{
    struct store *store = arg;
    struct user *user;
    int64_t place = 1;

    store->recounted = result && PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!store->recounted) {
        if (result)
            log_limited(loop_now_ms(store->broker->loop), LOG_ERROR, NULL,
                        "could not count unread messages again: %.*s",
                        (int)strcspn(PQresultErrorMessage(result), "\n"),
                        PQresultErrorMessage(result));
        return;
    }
    TAILQ_FOREACH(user, &store->recounts, link)
    unread_recount_answered(user);
    user = TAILQ_FIRST(&store->recounts);
    for (int row = 0; row < PQntuples(result); row++) {
        for (; user && place < pg_get_int8(result, row, RECOUNT_ORD); place++)
            user = TAILQ_NEXT(user, link);
        if (user)
            unread_recounted(user, pg_get_bool(result, row, RECOUNT_GROUP),
                             (uint64_t)pg_get_int8(result, row, RECOUNT_OTHER),
                             (uint64_t)pg_get_int8(result, row, RECOUNT_READ),
                             (uint64_t)pg_get_int8(result, row, RECOUNT_COUNT),
                             pg_get_time(result, row, RECOUNT_END));
    }
}

int recounts_send(struct store *store)
{
    struct pg_array *users = &store->columns[0], *upto = &store->columns[1],
                    *days = &store->columns[2];
    struct user *user;

    pg_array_begin(users, PG_INT8);
    pg_array_begin(upto, PG_INT8);
    pg_array_begin(days, PG_INT4);
    pg_array_int4(days, (int32_t)store->broker->options.retention_days);
    for (unsigned n = 0; n < RECOUNT_MAX && (user = TAILQ_FIRST(&store->recount_queue)); n++) {
        TAILQ_REMOVE(&store->recount_queue, user, link);
        TAILQ_INSERT_TAIL(&store->recounts, user, link);
        unread_recount_begins(user);
        pg_array_int8(users, (int64_t)user->no);
        pg_array_int8(upto, (int64_t)user->last_seq);
    }
    store->recounted = false;
    return store_query(store->reader, SQL_RECOUNT, users, 3, on_recounts, store);
}

/* Without an answer they stay as they are: whoever waits to be alerted does not wait for a badge.
 */
void recounts_finish(struct store *store)
{
    struct user *user;

    while ((user = TAILQ_FIRST(&store->recounts))) {
        TAILQ_REMOVE(&store->recounts, user, link);
        unread_recount_done(store->broker, user, store->recounted);
        user_unpin(store->broker, user);
    }
}

void recounts_leave(struct store *store)
{
    struct user *user, *next;

    for (user = TAILQ_FIRST(&store->recount_queue); user; user = next) {
        next = TAILQ_NEXT(user, link);
        if (!user->leaving)
            continue;
        TAILQ_REMOVE(&store->recount_queue, user, link);
        user->pins--;
    }
}
