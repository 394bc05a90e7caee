/* store_ops - the small writes that ride in a batch: sessions, subscriptions, devices.
 *
 * They are executed in the order they came, because a session is cleared before it is made again; a
 * run of one kind is one statement, so that ten thousand devices that reconnect cost a few. */
#include "broker/store_internal.h"
#include "broker/store_sql.h"

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
    snprintf(op->device_id, sizeof(op->device_id), "%s", device->id);
    return op;
}

static void on_device_put(void *arg, const PGresult *result)
{
    struct batch *batch = arg;
    struct store_op *op;

    batch_on_statement(arg, result);
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK)
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        uint64_t user_no = (uint64_t)pg_get_int8(result, row, DEVICE_PUT_USER);
        struct bytes id = pg_get_bytes(result, row, DEVICE_PUT_ID);

        STAILQ_FOREACH(op, &batch->ops, link)
        {
            if (op->type != STORE_DEVICE_PUT || op->user->no != user_no ||
                !bytes_equal_string(id, op->device_id))
                continue;
            op->device_no = (uint64_t)pg_get_int8(result, row, DEVICE_PUT_NO);
            op->acked_seq = (uint64_t)pg_get_int8(result, row, DEVICE_PUT_ACKED);
            op->sent_seq = (uint64_t)pg_get_int8(result, row, DEVICE_PUT_SENT);
            break;
        }
    }
}

/* How each kind of op becomes a statement: columns in order. */
static int op_statement(enum store_op_type type)
{
    switch (type) {
    case STORE_SESSION_CLEAR:
        return SQL_SESSION_CLEAR;
    case STORE_SESSION_PUT:
        return SQL_SESSION_PUT;
    case STORE_SESSION_LEAVE:
        return SQL_SESSION_LEAVE;
    case STORE_SUBSCRIPTION_PUT:
        return SQL_SUBSCRIPTION_PUT;
    case STORE_SUBSCRIPTION_DROP:
        return SQL_SUBSCRIPTION_DROP;
    case STORE_DEVICE_PUT:
        break;
    }
    return SQL_DEVICE_PUT;
}

static const enum pg_oid *op_types(enum store_op_type type)
{
    static const enum pg_oid session[6] = {PG_INT8, PG_TEXT, PG_INT8};
    static const enum pg_oid subscription[6] = {PG_INT8, PG_TEXT, PG_TEXT,
                                                PG_INT2, PG_INT2, PG_INT8};

    return type == STORE_SUBSCRIPTION_PUT || type == STORE_SUBSCRIPTION_DROP ? subscription
                                                                             : session;
}

static void encode_op(struct pg_array *c, const struct store_op *op)
{
    pg_array_int8(&c[0], (int64_t)op->user->no);
    pg_array_bytes(&c[1], bytes_of_string(op->device_id));
    switch (op->type) {
    case STORE_SESSION_CLEAR:
        break;
    case STORE_SESSION_PUT:
    case STORE_SESSION_LEAVE:
        pg_array_int8(&c[2], op->expiry_s);
        break;
    case STORE_DEVICE_PUT:
        pg_array_int8(&c[2], (int64_t)op->acked_seq);
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

/* Same row again? An upsert may touch a row only once, and order matters between kinds. */
static bool same_row(const struct store_op *a, const struct store_op *b)
{
    return a->user == b->user && strcmp(a->device_id, b->device_id) == 0;
}

/* Runs of one kind become one statement. A run is cut where a device comes again; to keep that
 * check cheap a run is also cut at this many ops. */
#define OP_RUN_MAX 256

int ops_send(struct store *store, struct batch *batch)
{
    struct store_op *op = STAILQ_FIRST(&batch->ops);

    while (op) {
        struct store_op *first = op;
        const enum pg_oid *types = op_types(first->type);
        int columns = sql_writer[op_statement(first->type)].param_count;
        unsigned count = 0;
        int r;

        for (int i = 0; i < columns; i++)
            pg_array_begin(&store->columns[i], types[i]);
        for (; op && op->type == first->type && count < OP_RUN_MAX; op = STAILQ_NEXT(op, link)) {
            struct store_op *earlier;

            for (earlier = first; earlier != op; earlier = STAILQ_NEXT(earlier, link)) {
                if (same_row(earlier, op))
                    break;
            }
            if (earlier != op)
                break;
            encode_op(store->columns, op);
            count++;
        }
        r = store_query(store->writer, op_statement(first->type), store->columns, columns,
                        first->type == STORE_DEVICE_PUT ? on_device_put : batch_on_statement,
                        batch);
        if (r < 0)
            return r;
    }
    return 0;
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
    device->next_seq = op->acked_seq + 1;
}

void ops_finish(struct broker *broker, struct batch *batch)
{
    while (!STAILQ_EMPTY(&batch->ops)) {
        struct store_op *op = STAILQ_FIRST(&batch->ops);
        struct user *user = op->user;

        STAILQ_REMOVE_HEAD(&batch->ops, link);
        if (op->type == STORE_DEVICE_PUT)
            device_stored(op);
        if (op->done)
            op->done(broker, op);
        free(op);
        user_unpin(broker, user);
    }
}
