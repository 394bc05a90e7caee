/* store_leave - people who are another broker's from now on leave the store's queues. Nothing is
 * under way: neither a batch nor a read.
 *
 * What they were to have written is not written here: nobody was answered for it, so connectors say
 * it again to the new owner. Except cursors: what a device has, it has, whoever says so; they are
 * written by a statement that can only raise them, without the fence. Values of people who stay,
 * taken by a batch that was not committed, are taken again. */
#include "broker/publish.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <assert.h>
#include <stdlib.h>

enum { LEFT_USER, LEFT_DEVICE, LEFT_ACKED, LEFT_SENT, LEFT_ALERTED, LEFT_COLUMNS };

/* A copy comes right after its original: what happens to that one decides about both. A copy whose
 * reader leaves is made by the new owner, whom the connector asks. */
static void puts_leave(struct broker *broker, struct batch *batch, struct parked_list *parked)
{
    bool original_left = false;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < batch->put_count; i++) {
        struct put *put = &batch->puts[i];
        bool copy = put->copy_of >= 0;

        assert(!copy || put->copy_of == (int32_t)i - 1);
        if (put->to->leaving || (copy && original_left)) {
            publish_dropped(broker, put, parked);
        } else {
            if (copy)
                put->copy_of = (int32_t)kept - 1;
            batch->puts[kept++] = *put;
        }
        original_left = !copy && put->to->leaving;
    }
    batch->put_count = kept;
}

static void ops_leave(struct broker *broker, struct store_op_list *ops)
{
    struct store_op_list kept = STAILQ_HEAD_INITIALIZER(kept);

    while (!STAILQ_EMPTY(ops)) {
        struct store_op *op = STAILQ_FIRST(ops);
        struct user *user = op->user;

        STAILQ_REMOVE_HEAD(ops, link);
        if (!user->leaving) {
            STAILQ_INSERT_TAIL(&kept, op, link);
            continue;
        }
        free(op->push);
        free(op);
        user_unpin(broker, user);
    }
    STAILQ_CONCAT(ops, &kept);
}

/* --- cursors --- */

static void add_cursor(struct pg_array *c, const struct device *device)
{
    if (device->no == 0)
        return;
    pg_array_int8(&c[LEFT_USER], (int64_t)device->user->no);
    pg_array_int8(&c[LEFT_DEVICE], (int64_t)device->no);
    pg_array_int8(&c[LEFT_ACKED], (int64_t)device->acked_seq);
    pg_array_int8(&c[LEFT_SENT], (int64_t)device->sent_seq);
    pg_array_int8(&c[LEFT_ALERTED], (int64_t)device->alerted_seq);
}

static void pinned_leave(struct store *store, struct late_users *users, struct pg_array *c)
{
    struct broker *broker = store->broker;

    for (uint32_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        struct device *device;

        TAILQ_FOREACH(device, &user->devices, link)
        {
            if (user->leaving)
                add_cursor(c, device);
            else
                store_cursor_moved(broker, device);
        }
        if (!user->leaving)
            unread_write_again(broker, user);
        user_unpin(broker, user);
    }
    users->count = 0;
}

/* What a batch that was not committed has taken. Its rows of the trace stay in it: they say what
 * happened, whoever owns whom. */
static void late_leave(struct store *store, struct batch *batch, struct pg_array *c)
{
    static const enum late_part left[] = {LATE_CURSORS, LATE_UNREAD, LATE_HEADS};

    pinned_leave(store, &batch->late_cursors, c);
    pinned_leave(store, &batch->late_heads, c);
    for (size_t i = 0; i < ARRAY_LEN(left); i++)
        late_columns(batch, left[i])->count = 0;
}

static void on_cursors(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (result && PQresultStatus(result) != PGRES_COMMAND_OK)
        log_limited(loop_now_ms(store->broker->loop), LOG_WARNING, NULL,
                    "could not write the cursors of people who left, their devices may be alerted "
                    "again: %.*s",
                    (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
}

/* Once, and if there is a connection: without one the new owner learns what counts from the
 * connectors. */
static void write_cursors(struct store *store, struct pg_array *c)
{
    if (c[LEFT_USER].count == 0 || !pg_ready(store->writer))
        return;
    if (store_query(store->writer, SQL_CURSORS_LEFT, c, LEFT_COLUMNS, on_cursors, store) == 0)
        IGNORE_RESULT(pg_sync(store->writer, NULL, NULL)); /* a lost connection is told elsewhere */
}

static void lookups_leave(struct store *store)
{
    struct lookup_list kept = STAILQ_HEAD_INITIALIZER(kept);

    while (!STAILQ_EMPTY(&store->lookup_queue)) {
        struct lookup *lookup = STAILQ_FIRST(&store->lookup_queue);
        struct user *user = lookup->user;

        STAILQ_REMOVE_HEAD(&store->lookup_queue, link);
        if (!user->leaving) {
            STAILQ_INSERT_TAIL(&kept, lookup, link);
            continue;
        }
        free(lookup);
        user_unpin(store->broker, user);
    }
    STAILQ_CONCAT(&store->lookup_queue, &kept);
}

/* What nobody waits for is about numbers that may be somebody else's by now. */
static void forget_numbers(struct store *store)
{
    struct batch *batch;

    store->trace_count = 0;
    TAILQ_FOREACH(batch, &store->batches, link)
    late_forget(store->broker, batch);
}

void store_people_leave(struct broker *broker, bool numbers, struct parked_list *parked)
{
    struct store *store = broker->store;
    struct pg_array columns[LEFT_COLUMNS] = {0};
    struct device *device;
    struct batch *batch;

    assert(store_quiet(store));
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        pg_array_begin(&columns[i], PG_INT8);
    TAILQ_FOREACH(device, &store->dirty, dirty_link)
    {
        if (device->user->leaving)
            add_cursor(columns, device);
    }
    TAILQ_FOREACH(batch, &store->batches, link)
    {
        if (batch->late_taken)
            late_leave(store, batch, columns);
        puts_leave(broker, batch, parked);
        ops_leave(broker, &batch->ops);
    }
    ops_leave(broker, &store->behind);
    lookups_leave(store);
    recounts_leave(store);
    if (numbers)
        write_cursors(store, columns);
    else
        forget_numbers(store);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        pg_array_fini(&columns[i]);
}
