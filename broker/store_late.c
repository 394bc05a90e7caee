/* store_late - what rides in a batch and nobody waits for: cursors, the trace, unread counts.
 *
 * Problem: each is a row or two for each message, with statements of its own, and at low load every
 * batch would carry them: that is three times the work of the message, in front of its PUBACK.
 * Method: what moves many times is written once in a while with its newest value. Cursors and the
 * trace go every database.cursor_ms, a limited number in one batch, so that no message waits behind
 * all of them; unread counts every database.unread_ms, for they can be counted again from the
 * inbox. What somebody does wait for is taken at once: a person's with the op that ends a session
 * or answers a me/read, everything after store_flush. A batch that is tried again keeps the values
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
/* Cursors in one batch, and people with unread counts, or as many as it has messages: with what
 * they bring along some 15 us of the database each, so that a message is not a millisecond late
 * because it is their turn. */
#define LATE_ROWS 64

enum { CURSOR_USER, CURSOR_DEVICE, CURSOR_ACKED, CURSOR_SENT, CURSOR_ALERTED, CURSOR_COLUMNS };
enum { MOVE_USER, MOVE_DEVICE, MOVE_FROM, MOVE_TO, MOVE_STEP, MOVE_COLUMNS };
enum { UNREAD_USER, UNREAD_GROUP, UNREAD_OTHER, UNREAD_READ, UNREAD_COUNT, UNREAD_COLUMNS };
enum { HEAD_USER, HEAD_COUNTED, HEAD_UNTIL, HEAD_COLUMNS };
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

/* How each part becomes a statement. */
static const struct part {
    int statement;
    uint8_t first, count; /* columns */
} parts[LATE_PARTS] = {
    [LATE_CURSORS] = {SQL_CURSORS, 0, CURSOR_COLUMNS},
    [LATE_MOVES] = {SQL_MOVES, CURSOR_COLUMNS, MOVE_COLUMNS},
    [LATE_UNREAD] = {SQL_UNREAD, CURSOR_COLUMNS + MOVE_COLUMNS, UNREAD_COLUMNS},
    [LATE_HEADS] = {SQL_COUNTED, CURSOR_COLUMNS + MOVE_COLUMNS + UNREAD_COLUMNS, HEAD_COLUMNS},
    [LATE_TRACE] = {SQL_TRACE, STORE_LATE_COLUMNS - TRACE_COLUMNS, TRACE_COLUMNS},
};

struct pg_array *late_columns(struct batch *batch, enum late_part part)
{
    return batch->late + parts[part].first;
}

unsigned late_column_count(enum late_part part)
{
    return parts[part].count;
}

uint32_t late_rows(const struct batch *batch, enum late_part part)
{
    return batch->late[parts[part].first].count;
}

struct columns {
    struct pg_array *cursor, *move, *unread, *head, *trace;
};

static struct columns columns_of(struct batch *batch)
{
    return (struct columns){.cursor = late_columns(batch, LATE_CURSORS),
                            .move = late_columns(batch, LATE_MOVES),
                            .unread = late_columns(batch, LATE_UNREAD),
                            .head = late_columns(batch, LATE_HEADS),
                            .trace = late_columns(batch, LATE_TRACE)};
}

static void on_cursor_timer(struct timer *timer)
{
    CONTAINER_OF(timer, struct store, cursor_timer)->cursors_due = true;
}

static void on_unread_timer(struct timer *timer)
{
    CONTAINER_OF(timer, struct store, unread_timer)->unread_due = true;
}

void late_init(struct store *store)
{
    TAILQ_INIT(&store->dirty);
    TAILQ_INIT(&store->uncounted);
    timer_init(&store->cursor_timer, on_cursor_timer);
    timer_init(&store->unread_timer, on_unread_timer);
}

void late_fini(struct store *store)
{
    loop_timer_cancel(store->broker->loop, &store->cursor_timer);
    loop_timer_cancel(store->broker->loop, &store->unread_timer);
    free(store->traces);
}

bool late_pending(const struct store *store)
{
    return store->dirty_count > 0 || store->uncounted_count > 0 || store->trace_count > 0;
}

static bool cursors_due(const struct store *store)
{
    return (store->cursors_due || store->flush) &&
           (store->dirty_count > 0 || store->trace_count > 0);
}

static bool unread_due(const struct store *store)
{
    return (store->unread_due || store->flush) && store->uncounted_count > 0;
}

bool late_is_due(const struct store *store)
{
    return cursors_due(store) || unread_due(store);
}

void store_flush(struct store *store)
{
    store->flush = true;
}

/* The first that waits starts the clock. */
static void start(struct store *store, struct timer *timer, bool due, uint32_t delay_ms)
{
    if (!due && !timer_armed(timer))
        loop_timer_add(store->broker->loop, timer, delay_ms);
}

static void start_cursors(struct store *store)
{
    start(store, &store->cursor_timer, store->cursors_due, store->broker->options.cursor_ms);
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
    start_cursors(store);
}

void store_unread_moved(struct broker *broker, struct conversation *conversation)
{
    struct store *store = broker->store;
    struct user *user = conversation->user;

    if (conversation->dirty || user->counts_refused)
        return;
    conversation->dirty = true;
    if (SLIST_EMPTY(&user->uncounted)) {
        user_pin(broker, user);
        TAILQ_INSERT_TAIL(&store->uncounted, user, uncounted_link);
        store->uncounted_count++;
    }
    SLIST_INSERT_HEAD(&user->uncounted, conversation, dirty_link);
    start(store, &store->unread_timer, store->unread_due, broker->options.unread_ms);
}

void store_forget_unread(struct broker *broker, struct user *user)
{
    if (SLIST_EMPTY(&user->uncounted))
        return;
    SLIST_INIT(&user->uncounted);
    TAILQ_REMOVE(&broker->store->uncounted, user, uncounted_link);
    broker->store->uncounted_count--;
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
    start_cursors(store);
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
        pg_array_begin(&c->head[i], i == HEAD_UNTIL ? PG_TIMESTAMPTZ : PG_INT8);
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
    batch->late_cursors.list[batch->late_cursors.count++] = device->user;
    if (device->acked_seq <= device->moved_from)
        return;
    pg_array_int8(&c->move[MOVE_USER], (int64_t)device->user->no);
    pg_array_int8(&c->move[MOVE_DEVICE], (int64_t)device->no);
    pg_array_int8(&c->move[MOVE_FROM], (int64_t)device->moved_from);
    pg_array_int8(&c->move[MOVE_TO], (int64_t)device->acked_seq);
    pg_array_bytes(&c->move[MOVE_STEP], bytes_of_string(device->acked_by ?: ""));
    device->moved_from = device->acked_seq;
}

/* The head says up to where all of the person's counts go, so they are taken together. */
static void take_counts(struct store *store, struct batch *batch, struct columns *c,
                        struct user *user)
{
    struct conversation *conversation;

    while ((conversation = SLIST_FIRST(&user->uncounted))) {
        SLIST_REMOVE_HEAD(&user->uncounted, dirty_link);
        conversation->dirty = false;
        pg_array_int8(&c->unread[UNREAD_USER], (int64_t)user->no);
        pg_array_bool(&c->unread[UNREAD_GROUP], conversation->is_group);
        pg_array_int8(&c->unread[UNREAD_OTHER], (int64_t)conversation->no);
        pg_array_int8(&c->unread[UNREAD_READ], (int64_t)conversation->read_seq);
        pg_array_int8(&c->unread[UNREAD_COUNT], (int64_t)conversation->unread);
    }
    TAILQ_REMOVE(&store->uncounted, user, uncounted_link);
    store->uncounted_count--;
    pg_array_int8(&c->head[HEAD_USER], (int64_t)user->no);
    pg_array_int8(&c->head[HEAD_COUNTED], (int64_t)user->last_seq);
    if (user->counts_end_s != 0)
        pg_array_time(&c->head[HEAD_UNTIL], (uint64_t)user->counts_end_s * 1000);
    else
        pg_array_null(&c->head[HEAD_UNTIL]);
    batch->late_heads.list[batch->late_heads.count++] = user;
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

static void take_cursor(struct store *store, struct batch *batch, struct columns *c,
                        struct device *device)
{
    TAILQ_REMOVE(&store->dirty, device, dirty_link);
    store->dirty_count--;
    device->cursor_dirty = false;
    take_device(batch, c, device);
}

/* How many rows of one kind this batch takes. */
static uint32_t allowed(const struct store *store, const struct batch *batch)
{
    if (store->flush)
        return UINT32_MAX;
    return batch->put_count > LATE_ROWS ? batch->put_count : LATE_ROWS;
}

static void take_cursors(struct store *store, struct batch *batch, struct columns *c)
{
    uint32_t left = allowed(store, batch);

    for (; left > 0 && store->dirty_count > 0; left--)
        take_cursor(store, batch, c, TAILQ_FIRST(&store->dirty));
    for (uint32_t i = 0; i < store->trace_count; i++)
        take_trace(c, &store->traces[i]);
    store->trace_count = 0;
    store->cursors_due = store->dirty_count > 0;
    loop_timer_cancel(store->broker->loop, &store->cursor_timer);
}

static void take_unread(struct store *store, struct batch *batch, struct columns *c)
{
    uint32_t left = allowed(store, batch);

    for (; left > 0 && store->uncounted_count > 0; left--)
        take_counts(store, batch, c, TAILQ_FIRST(&store->uncounted));
    store->unread_due = store->uncounted_count > 0;
    loop_timer_cancel(store->broker->loop, &store->unread_timer);
}

/* A place for each user that this batch may have to unpin. */
static int reserve_users(struct late_users *users, uint32_t count)
{
    struct user **grown;

    if (count <= users->cap)
        return 0;
    grown = realloc(users->list, count * sizeof(struct user *));
    if (!grown)
        return ERR_NO_MEMORY;
    users->list = grown;
    users->cap = count;
    return 0;
}

static bool is_awaited(const struct store_op *op)
{
    return op->type == STORE_NOTHING || op->type == STORE_SESSION_LEAVE ||
           op->type == STORE_SESSION_CLEAR;
}

/* Who is told of such an op forgets what was acknowledged or read: all of that person's. */
static void take_awaited(struct store *store, struct batch *batch, struct columns *c)
{
    const struct store_op *op;

    STAILQ_FOREACH(op, &batch->ops, link)
    {
        struct device *device;

        if (!is_awaited(op))
            continue;
        TAILQ_FOREACH(device, &op->user->devices, link)
        {
            if (device->cursor_dirty)
                take_cursor(store, batch, c, device);
        }
        if (!SLIST_EMPTY(&op->user->uncounted))
            take_counts(store, batch, c, op->user);
    }
}

static int take(struct store *store, struct batch *batch)
{
    struct columns c = columns_of(batch);
    int r = reserve_users(&batch->late_cursors, store->dirty_count);

    if (r == 0)
        r = reserve_users(&batch->late_heads, store->uncounted_count);
    if (r < 0)
        return r;
    batch->late_taken = true;
    begin(&c);
    take_awaited(store, batch, &c);
    if (cursors_due(store))
        take_cursors(store, batch, &c);
    if (unread_due(store))
        take_unread(store, batch, &c);
    store->cursors_due = store->cursors_due && cursors_due(store);
    store->unread_due = store->unread_due && unread_due(store);
    store->flush = false;
    return 0;
}

int late_send(struct store *store, struct batch *batch)
{
    bool wanted = late_is_due(store) || !STAILQ_EMPTY(&batch->ops);
    int r = batch->late_taken || batch->piece || !wanted ? 0 : take(store, batch);

    for (int part = 0; part < LATE_PARTS && r == 0; part++) {
        if (late_rows(batch, part) > 0)
            r = store_query(store->writer, parts[part].statement, late_columns(batch, part),
                            parts[part].count, batch_on_statement, batch);
    }
    return r;
}

void late_committed(struct broker *broker, struct batch *batch)
{
    broker->metrics.cursor_writes += late_rows(batch, LATE_CURSORS);
    late_forget(broker, batch);
}

static void unpin(struct broker *broker, struct late_users *users)
{
    for (uint32_t i = 0; i < users->count; i++)
        user_unpin(broker, users->list[i]);
    users->count = 0;
}

void late_forget(struct broker *broker, struct batch *batch)
{
    unpin(broker, &batch->late_cursors);
    unpin(broker, &batch->late_heads);
    for (size_t i = 0; i < ARRAY_LEN(batch->late); i++)
        batch->late[i].count = 0;
    batch->late_taken = false;
}

void late_refuse_counts(struct store *store, struct user *user)
{
    user->counts_refused = true;
    if (SLIST_EMPTY(&user->uncounted))
        return;
    while (!SLIST_EMPTY(&user->uncounted)) {
        SLIST_FIRST(&user->uncounted)->dirty = false;
        SLIST_REMOVE_HEAD(&user->uncounted, dirty_link);
    }
    TAILQ_REMOVE(&store->uncounted, user, uncounted_link);
    store->uncounted_count--;
    user_unpin(store->broker, user);
}
