/* store_ops - the small writes that ride in a batch: sessions, subscriptions, devices.
 *
 * Those of one person are executed in the order they came, because a session is cleared before it
 * is made again; across people the order does not matter, and what is of one kind becomes one
 * statement, so that ten thousand devices that reconnect cost a few. */
#include "broker/others.h"
#include "broker/ownership.h"
#include "broker/push.h"
#include "broker/store_internal.h"
#include "broker/store_plan.h"
#include "broker/store_sql.h"
#include "common/auto.h"

#include <stdio.h>
#include <stdlib.h>

struct store_op *store_op_create(enum store_op_type type, struct user *user,
                                 const struct device *device)
{
    struct store_op *op = calloc(1, sizeof(*op));

    if (!op)
        return NULL;
    op->type = type;
    op->user = user;
    if (device)
        snprintf(op->device_id, sizeof(op->device_id), "%s", device->id);
    return op;
}

/* The op that asked for this row, looked for from *at on, round the list: rows come back in the
 * order of the ops, though nothing promises it. */
static struct store_op *device_put_of(struct batch *batch, struct store_op **at, uint64_t user_no,
                                      struct bytes id)
{
    struct store_op *op = *at;

    do {
        if (op->type == STORE_DEVICE_PUT && op->user->no == user_no &&
            bytes_equal_string(id, op->device_id)) {
            *at = op;
            return op;
        }
        op = STAILQ_NEXT(op, link) ?: STAILQ_FIRST(&batch->ops);
    } while (op != *at);
    return NULL;
}

static void on_device_put(void *arg, const PGresult *result)
{
    struct batch *batch = arg;
    struct store_op *at = STAILQ_FIRST(&batch->ops);

    batch_on_statement(arg, result);
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK)
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct store_op *op =
            device_put_of(batch, &at, (uint64_t)pg_get_int8(result, row, DEVICE_PUT_USER),
                          pg_get_bytes(result, row, DEVICE_PUT_ID));

        if (!op)
            continue;
        op->device_no = (uint64_t)pg_get_int8(result, row, DEVICE_PUT_NO);
        op->acked_seq = (uint64_t)pg_get_int8(result, row, DEVICE_PUT_ACKED);
        op->sent_seq = (uint64_t)pg_get_int8(result, row, DEVICE_PUT_SENT);
    }
}

/* Rows in any order, looked for as device_put_of does. A person has one such op at most. */
static void on_session_first(void *arg, const PGresult *result)
{
    struct batch *batch = arg;
    struct store_op *at = STAILQ_FIRST(&batch->ops);

    batch_on_statement(arg, result);
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK)
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct bytes id = pg_get_bytes(result, row, SESSION_FIRST_USER);
        struct store_op *op = at;

        do {
            if (op->type == STORE_SESSION_FIRST && bytes_equal(id, user_id(op->user))) {
                op->user_no = (uint64_t)pg_get_int8(result, row, SESSION_FIRST_NO);
                at = op;
                break;
            }
            op = STAILQ_NEXT(op, link) ?: STAILQ_FIRST(&batch->ops);
        } while (op != at);
    }
}

/* How each kind of op becomes a statement: columns in order. */
static const struct op_kind {
    int statement;
    enum pg_oid types[8];
    pg_result_fn on_result;
} op_kinds[] = {
    [STORE_SESSION_CLEAR] = {SQL_SESSION_CLEAR, {PG_INT8, PG_TEXT}, batch_on_statement},
    [STORE_SESSION_PUT] = {SQL_SESSION_PUT, {PG_INT8, PG_TEXT, PG_INT8}, batch_on_statement},
    [STORE_SESSION_FIRST] = {SQL_SESSION_FIRST, {PG_TEXT, PG_TEXT, PG_INT8}, on_session_first},
    [STORE_SESSION_LEAVE] = {SQL_SESSION_LEAVE, {PG_INT8, PG_TEXT, PG_INT8}, batch_on_statement},
    [STORE_SUBSCRIPTION_PUT] = {SQL_SUBSCRIPTION_PUT,
                                {PG_INT8, PG_TEXT, PG_TEXT, PG_INT2, PG_INT2, PG_INT8},
                                batch_on_statement},
    [STORE_SUBSCRIPTION_DROP] = {SQL_SUBSCRIPTION_DROP,
                                 {PG_INT8, PG_TEXT, PG_TEXT},
                                 batch_on_statement},
    [STORE_DEVICE_PUT] = {SQL_DEVICE_PUT, {PG_INT8, PG_TEXT, PG_INT8}, on_device_put},
    [STORE_PUSH_PUT] = {SQL_PUSH_PUT,
                        {PG_INT8, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ},
                        batch_on_statement},
    [STORE_PUSH_DROP] = {SQL_PUSH_DROP,
                         {PG_INT8, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ},
                         batch_on_statement},
};

static void encode_push(struct pg_array *c, const struct push *push)
{
    pg_array_bytes(&c[2], bytes_of_string(push->provider));
    pg_array_bytes(&c[3], bytes_of_string(push->token));
    pg_array_bytes(&c[4], bytes_of_string(push->topic));
    pg_array_bytes(&c[5], bytes_of_string(push->environment));
    pg_array_time(&c[6], push->registered_at_ms);
}

static void encode_op(struct pg_array *c, const struct store_op *op)
{
    if (op->type == STORE_SESSION_FIRST)
        pg_array_bytes(&c[0], user_id(op->user));
    else
        pg_array_int8(&c[0], (int64_t)op->user->no);
    pg_array_bytes(&c[1], bytes_of_string(op->device_id));
    switch (op->type) {
    case STORE_SESSION_CLEAR:
        break;
    case STORE_SESSION_PUT:
    case STORE_SESSION_FIRST:
    case STORE_SESSION_LEAVE:
        pg_array_int8(&c[2], op->expiry_s);
        break;
    case STORE_DEVICE_PUT:
        pg_array_int8(&c[2], (int64_t)op->acked_seq);
        break;
    case STORE_PUSH_PUT:
        encode_push(c, op->push);
        break;
    case STORE_PUSH_DROP:
        if (op->push) {
            pg_array_bytes(&c[2], bytes_of_string(op->push->token));
            pg_array_time(&c[3], op->push->registered_at_ms);
        } else {
            pg_array_null(&c[2]);
            pg_array_null(&c[3]);
        }
        break;
    case STORE_NOTHING:
        break;
    case STORE_SUBSCRIPTION_PUT:
    case STORE_SUBSCRIPTION_DROP:
        pg_array_bytes(&c[2], bytes_of_string(op->filter));
        if (op->type == STORE_SUBSCRIPTION_DROP)
            break;
        pg_array_int2(&c[3], op->qos);
        pg_array_int2(&c[4], op->options);
        pg_array_int8(&c[5], op->subscription_id);
        break;
    }
}

static void encode_run(struct store *store, const struct store_op *first)
{
    const struct op_kind *kind = &op_kinds[first->type];

    for (int i = 0; i < sql_writer[kind->statement].param_count; i++)
        pg_array_begin(&store->columns[i], kind->types[i]);
    for (const struct store_op *op = first; op; op = op->next_in_run)
        encode_op(store->columns, op);
}

static void on_evicted(void *arg, const PGresult *result)
{
    struct batch *batch = arg;

    batch_on_statement(arg, result);
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK)
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct bytes user = pg_get_bytes(result, row, EVICTED_USER);
        uint64_t device_no = (uint64_t)pg_get_int8(result, row, EVICTED_DEVICE);

        if (ownership_has(batch->broker, user))
            push_taken_over(batch->broker, user, device_no);
        else
            others_push_taken(batch->broker, user, device_no,
                              pg_get_bytes(result, row, EVICTED_TOKEN));
    }
}

/* What goes before, from the same columns. */
static int send_before(struct store *store, struct batch *batch, const struct store_op *first)
{
    int statement;
    pg_result_fn on_result;

    if (first->type == STORE_PUSH_PUT) {
        statement = SQL_PUSH_EVICT;
        on_result = on_evicted;
    } else if (first->type == STORE_SESSION_FIRST) {
        statement = SQL_USERS_PUT;
        on_result = batch_on_statement;
    } else {
        return 0;
    }
    encode_run(store, first);
    return store_query(store->writer, statement, store->columns, sql_writer[statement].param_count,
                       on_result, batch);
}

static int send_run(struct store *store, struct batch *batch, const struct store_op *first)
{
    const struct op_kind *kind = &op_kinds[first->type];
    int r = send_before(store, batch, first);

    if (r < 0)
        return r;
    encode_run(store, first);
    return store_query(store->writer, kind->statement, store->columns,
                       sql_writer[kind->statement].param_count, kind->on_result, batch);
}

int ops_send(struct store *store, struct batch *batch)
{
    struct store_op *op = STAILQ_FIRST(&batch->ops);
    struct store_plan plan;
    int r = 0;

    while (op && r == 0) {
        struct store_op *next = store_plan_make(&plan, op);

        for (unsigned i = 0; i < STORE_PLAN_STATEMENTS && r == 0; i++) {
            if (plan.runs[i].first)
                r = send_run(store, batch, plan.runs[i].first);
        }
        op = next;
    }
    return r;
}

/* The row is committed: from now on the device has a cursor. */
static void device_stored(const struct store_op *op)
{
    struct device *device = device_find(op->user, bytes_of_string(op->device_id));

    if (!device || device->no != 0)
        return;
    device->no = op->device_no;
    device->acked_seq = op->acked_seq;
    device->sent_seq = op->sent_seq;
    device->moved_from = op->acked_seq;
    device->feed.next_seq = op->acked_seq + 1;
}

/* What waited for the person's number goes into a batch. */
static void take_behind(struct store *store, const struct user *user)
{
    struct store_op_list ops = STAILQ_HEAD_INITIALIZER(ops);
    struct store_op *op;

    STAILQ_CONCAT(&ops, &store->behind);
    while ((op = STAILQ_FIRST(&ops))) {
        STAILQ_REMOVE_HEAD(&ops, link);
        if (op->user == user)
            batches_take_op(store, op);
        else
            STAILQ_INSERT_TAIL(&store->behind, op, link);
    }
}

/* Also without a number, when the database refuses the row: then nothing is stored of a stranger.
 */
static void user_joined(struct broker *broker, struct user *user)
{
    take_behind(broker->store, user);
    user_loaded(broker, user);
}

void ops_finish(struct broker *broker, struct batch *batch)
{
    while (!STAILQ_EMPTY(&batch->ops)) {
        struct store_op *op = STAILQ_FIRST(&batch->ops);
        struct user *user = op->user;

        STAILQ_REMOVE_HEAD(&batch->ops, link);
        if (op->type == STORE_DEVICE_PUT && !op->failed)
            device_stored(op);
        if (op->type == STORE_SESSION_FIRST && !op->failed)
            user->no = op->user_no;
        if (op->done)
            op->done(broker, op);
        if (op->type == STORE_SESSION_FIRST)
            user_joined(broker, user);
        free(op->push);
        free(op);
        user_unpin(broker, user);
    }
}
