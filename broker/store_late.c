/* store_late - what rides in a batch and nobody waits for: cursors, the trace, unread counts.
 *
 * Moved many times a second and worth one row in each batch: values are taken when the batch is
 * sent, at most database.cursor_ms after they moved. A batch that is tried again keeps the values
 * it has; newer ones come with a later batch. */
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "broker/trace.h"
#include "broker/unread.h"
#include "common/auto.h"

#include <stdlib.h>

/* Rows of the trace that wait: some seconds of a bad day. */
#define TRACE_MAX 65536
#define TRACE_FIRST 256

enum { CURSOR_USER, CURSOR_DEVICE, CURSOR_ACKED, CURSOR_SENT, CURSOR_ALERTED, CURSOR_COLUMNS };
enum { MOVE_USER, MOVE_DEVICE, MOVE_FROM, MOVE_TO, MOVE_STEP, MOVE_COLUMNS };
enum { UNREAD_USER, UNREAD_GROUP, UNREAD_OTHER, UNREAD_READ, UNREAD_COUNT, UNREAD_COLUMNS };
enum { HEAD_USER, HEAD_COUNTED, HEAD_COLUMNS };
enum {
    TRACE_USER,
    TRACE_DEVICE,
    TRACE_SEQ,
    TRACE_AT,
    TRACE_STEP,
    TRACE_OUTCOME,
    TRACE_REASON,
    TRACE_TOOK,
    TRACE_COLUMNS
};

_Static_assert(CURSOR_COLUMNS + MOVE_COLUMNS + UNREAD_COLUMNS + HEAD_COLUMNS + TRACE_COLUMNS ==
                   STORE_LATE_COLUMNS,
               "the arrays of struct batch");

struct columns {
    struct pg_array *cursor, *move, *unread, *head, *trace;
};

static struct columns columns_of(struct batch *batch)
{
    struct columns c = {.cursor = batch->late};

    c.move = c.cursor + CURSOR_COLUMNS;
    c.unread = c.move + MOVE_COLUMNS;
    c.head = c.unread + UNREAD_COLUMNS;
    c.trace = c.head + HEAD_COLUMNS;
    return c;
}

static void on_late_timer(struct timer *timer)
{
    CONTAINER_OF(timer, struct store, late_timer)->late_due = true;
}

void late_init(struct store *store)
{
    TAILQ_INIT(&store->dirty);
    TAILQ_INIT(&store->unread);
    timer_init(&store->late_timer, on_late_timer);
}

void late_fini(struct store *store)
{
    loop_timer_cancel(store->broker->loop, &store->late_timer);
    free(store->traces);
}

bool late_pending(const struct store *store)
{
    return store->dirty_count > 0 || store->unread_count > 0 || store->trace_count > 0;
}

static void soon(struct store *store)
{
    if (!timer_armed(&store->late_timer))
        loop_timer_add(store->broker->loop, &store->late_timer, store->broker->options.cursor_ms);
}

void store_cursor_moved(struct broker *broker, struct device *device)
{
    struct store *store = broker->store;

    if (device->cursor_dirty || device->no == 0)
        return;
    device->cursor_dirty = true;
    user_pin(broker, device->user); /* not forgotten, and read back stale, before it is written */
    TAILQ_INSERT_TAIL(&store->dirty, device, dirty_link);
    store->dirty_count++;
    soon(store);
}

void store_unread_moved(struct broker *broker, struct conversation *conversation)
{
    struct store *store = broker->store;

    if (conversation->dirty)
        return;
    conversation->dirty = true;
    user_pin(broker, conversation->user);
    TAILQ_INSERT_TAIL(&store->unread, conversation, dirty_link);
    store->unread_count++;
    soon(store);
}

void store_forget_unread(struct broker *broker, struct conversation *conversation)
{
    TAILQ_REMOVE(&broker->store->unread, conversation, dirty_link);
    broker->store->unread_count--;
    conversation->dirty = false;
}

struct trace_row *store_trace_row(struct broker *broker)
{
    struct store *store = broker->store;

    if (store->trace_count == store->trace_cap) {
        uint32_t cap = store->trace_cap ? store->trace_cap * 2 : TRACE_FIRST;
        struct trace_row *rows =
            cap > TRACE_MAX ? NULL : realloc(store->traces, cap * sizeof(*rows));

        if (!rows)
            return NULL;
        store->traces = rows;
        store->trace_cap = cap;
    }
    soon(store);
    return &store->traces[store->trace_count++];
}

/* --- taking --- */

static void begin(struct columns *c)
{
    static const enum pg_oid unread[] = {PG_INT8, PG_BOOL, PG_INT8, PG_INT8, PG_INT8};
    static const enum pg_oid trace[] = {PG_INT8, PG_INT8, PG_INT8, PG_TIMESTAMPTZ,
                                        PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8};

    for (int i = 0; i < CURSOR_COLUMNS; i++)
        pg_array_begin(&c->cursor[i], PG_INT8);
    for (int i = 0; i < MOVE_COLUMNS; i++)
        pg_array_begin(&c->move[i], i == MOVE_STEP ? PG_TEXT : PG_INT8);
    for (int i = 0; i < UNREAD_COLUMNS; i++)
        pg_array_begin(&c->unread[i], unread[i]);
    for (int i = 0; i < HEAD_COLUMNS; i++)
        pg_array_begin(&c->head[i], PG_INT8);
    for (int i = 0; i < TRACE_COLUMNS; i++)
        pg_array_begin(&c->trace[i], trace[i]);
}

static void take_device(struct batch *batch, struct columns *c, struct device *device)
{
    pg_array_int8(&c->cursor[CURSOR_USER], (int64_t)device->user->no);
    pg_array_int8(&c->cursor[CURSOR_DEVICE], (int64_t)device->no);
    pg_array_int8(&c->cursor[CURSOR_ACKED], (int64_t)device->acked_seq);
    pg_array_int8(&c->cursor[CURSOR_SENT], (int64_t)device->sent_seq);
    pg_array_int8(&c->cursor[CURSOR_ALERTED], (int64_t)device->alerted_seq);
    batch->late_users[batch->late_user_count++] = device->user;
    if (device->acked_seq <= device->moved_from)
        return;
    pg_array_int8(&c->move[MOVE_USER], (int64_t)device->user->no);
    pg_array_int8(&c->move[MOVE_DEVICE], (int64_t)device->no);
    pg_array_int8(&c->move[MOVE_FROM], (int64_t)device->moved_from);
    pg_array_int8(&c->move[MOVE_TO], (int64_t)device->acked_seq);
    pg_array_bytes(&c->move[MOVE_STEP], bytes_of_string(device->acked_by ?: ""));
    device->moved_from = device->acked_seq;
    batch->moved = true;
}

static void take_conversation(struct batch *batch, struct columns *c, struct conversation *conv)
{
    struct user *user = conv->user;

    pg_array_int8(&c->unread[UNREAD_USER], (int64_t)user->no);
    pg_array_bool(&c->unread[UNREAD_GROUP], conv->is_group);
    pg_array_int8(&c->unread[UNREAD_OTHER], (int64_t)conv->no);
    pg_array_int8(&c->unread[UNREAD_READ], (int64_t)conv->read_seq);
    pg_array_int8(&c->unread[UNREAD_COUNT], (int64_t)conv->unread);
    batch->late_users[batch->late_user_count++] = user;
    batch->unread = true;
    if (user->counted_batch == batch)
        return; /* its row is there */
    user->counted_batch = batch;
    pg_array_int8(&c->head[HEAD_USER], (int64_t)user->no);
    pg_array_int8(&c->head[HEAD_COUNTED], (int64_t)user->last_seq);
}

static void take_trace(struct columns *c, const struct trace_row *row)
{
    pg_array_int8(&c->trace[TRACE_USER], (int64_t)row->user_no);
    pg_array_int8(&c->trace[TRACE_DEVICE], (int64_t)row->device_no);
    pg_array_int8(&c->trace[TRACE_SEQ], (int64_t)row->seq);
    pg_array_time(&c->trace[TRACE_AT], row->at_ms);
    pg_array_bytes(&c->trace[TRACE_STEP], bytes_of_string(row->step));
    pg_array_bytes(&c->trace[TRACE_OUTCOME], bytes_of_string(row->outcome));
    pg_array_bytes(&c->trace[TRACE_REASON], bytes_of_string(row->reason));
    pg_array_int8(&c->trace[TRACE_TOOK], (int64_t)row->took_ms);
}

static int take(struct store *store, struct batch *batch)
{
    struct columns c = columns_of(batch);
    uint32_t users = store->dirty_count + store->unread_count;
    struct conversation *conversation;
    struct device *device;

    if (users > batch->late_user_cap) {
        struct user **grown = realloc(batch->late_users, users * sizeof(struct user *));

        if (!grown)
            return ERR_NO_MEMORY;
        batch->late_users = grown;
        batch->late_user_cap = users;
    }
    batch->late_taken = true;
    begin(&c);
    while ((device = TAILQ_FIRST(&store->dirty))) {
        TAILQ_REMOVE(&store->dirty, device, dirty_link);
        device->cursor_dirty = false;
        take_device(batch, &c, device);
        batch->cursor_count++;
    }
    while ((conversation = TAILQ_FIRST(&store->unread))) {
        TAILQ_REMOVE(&store->unread, conversation, dirty_link);
        conversation->dirty = false;
        take_conversation(batch, &c, conversation);
    }
    for (uint32_t i = 0; i < batch->late_user_count; i++)
        batch->late_users[i]->counted_batch = NULL; /* batches are used again */
    for (uint32_t i = 0; i < store->trace_count; i++)
        take_trace(&c, &store->traces[i]);
    batch->traced = store->trace_count > 0;
    store->dirty_count = store->unread_count = store->trace_count = 0;
    store->late_due = false;
    loop_timer_cancel(store->broker->loop, &store->late_timer);
    return 0;
}

int late_send(struct store *store, struct batch *batch)
{
    struct columns c = columns_of(batch);
    struct pg *pg = store->writer;
    int r = batch->late_taken || batch->piece ? 0 : take(store, batch);

    if (r == 0 && batch->cursor_count > 0)
        r = store_query(pg, SQL_CURSORS, c.cursor, CURSOR_COLUMNS, batch_on_statement, batch);
    if (r == 0 && batch->moved)
        r = store_query(pg, SQL_MOVES, c.move, MOVE_COLUMNS, batch_on_statement, batch);
    if (r == 0 && batch->unread)
        r = store_query(pg, SQL_UNREAD, c.unread, UNREAD_COLUMNS, batch_on_statement, batch);
    if (r == 0 && batch->unread)
        r = store_query(pg, SQL_COUNTED, c.head, HEAD_COLUMNS, batch_on_statement, batch);
    if (r == 0 && batch->traced)
        r = store_query(pg, SQL_TRACE, c.trace, TRACE_COLUMNS, batch_on_statement, batch);
    return r;
}

void late_committed(struct broker *broker, struct batch *batch)
{
    broker->metrics.cursor_writes += batch->cursor_count;
    late_forget(broker, batch);
}

void late_forget(struct broker *broker, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->late_user_count; i++)
        user_unpin(broker, batch->late_users[i]);
    batch->late_user_count = batch->cursor_count = 0;
    batch->late_taken = batch->moved = batch->unread = batch->traced = false;
}
