/* store_recheck - cursors of people gained from another broker, read a second time: what their
 * former owner wrote last counts. */
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

/* People in one statement: some 10 us each. */
#define RECHECK_MAX 1000

void store_read_cursors(struct broker *broker, struct user_list *list,
                        void (*done)(struct broker *broker, struct user *user))
{
    broker->store->recheck =
        (struct recheck){.list = list, .due = !TAILQ_EMPTY(list), .done = done};
}

static void raise(struct device *device, uint64_t acked, uint64_t alerted)
{
    if (device->alerted_seq < alerted)
        device->alerted_seq = alerted;
    if (device->session || acked <= device->acked_seq)
        return; /* the connection's own word is newer than any row */
    device->acked_seq = device->moved_from = acked;
    device->feed.next_seq = acked + 1;
    if (device->user->max_acked < acked)
        device->user->max_acked = acked;
}

static void on_cursors(void *arg, const PGresult *result)
{
    struct store *store = arg;
    struct user *user = TAILQ_FIRST(store->recheck.list);
    int64_t place = 1;

    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK) {
        store->read_failed = true;
        return;
    }
    for (int row = 0; row < PQntuples(result); row++) {
        struct device *device;

        for (; user && place < pg_get_int8(result, row, RECHECK_ORD); place++)
            user = TAILQ_NEXT(user, settling_link);
        if (!user)
            return;
        TAILQ_FOREACH(device, &user->devices, link)
        {
            if (device->no == (uint64_t)pg_get_int8(result, row, RECHECK_DEVICE))
                raise(device, (uint64_t)pg_get_int8(result, row, RECHECK_ACKED),
                      (uint64_t)pg_get_int8(result, row, RECHECK_ALERTED));
        }
    }
    store->recheck.answered = true;
}

int recheck_send(struct store *store)
{
    struct pg_array *users = &store->columns[0];
    struct user *user;

    store->recheck.asked = 0;
    store->recheck.answered = false;
    pg_array_begin(users, PG_INT8);
    TAILQ_FOREACH(user, store->recheck.list, settling_link)
    {
        if (store->recheck.asked == RECHECK_MAX)
            break;
        pg_array_int8(users, (int64_t)user->no);
        store->recheck.asked++;
    }
    return store_query(store->reader, SQL_RECHECK, users, 1, on_cursors, store);
}

void recheck_finish(struct store *store)
{
    struct recheck *recheck = &store->recheck;
    struct user *user;

    if (!recheck->due || !recheck->answered)
        return;
    for (uint32_t n = recheck->asked; n > 0 && (user = TAILQ_FIRST(recheck->list)); n--)
        recheck->done(store->broker, user);
    recheck->answered = false;
    recheck->due = !TAILQ_EMPTY(recheck->list);
}
