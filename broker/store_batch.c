/* store_batch - the write path: puts, small ops and cursors become transactions.
 *
 * Problem: a commit costs an fsync and a round trip, and each message needs one before its PUBACK.
 * Method: one batch is under way at a time; everything that arrives meanwhile is the next one. At
 * low load a batch is one message and costs what one commit costs; under load it grows until the
 * database is the limit. Sequences are given in memory when a batch is sent, from the last
 * committed one, so a batch that fails leaves nothing to undo. Cost: two copies of a payload
 * (array, libpq) and no allocation a message: buffers are kept. */
#include "broker/inbox.h"
#include "broker/ownership.h"
#include "broker/publish.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <endian.h>
#include <stdio.h>

/* Recycled batches: one under way, one forming, one for a backlog. */
#define SPARE_BATCHES 3

void batches_init(struct store *store)
{
    TAILQ_INIT(&store->batches);
    TAILQ_INIT(&store->spare);
    STAILQ_INIT(&store->behind);
    late_init(store);
}

static void free_ops(struct store_op_list *ops)
{
    while (!STAILQ_EMPTY(ops)) {
        struct store_op *op = STAILQ_FIRST(ops);

        STAILQ_REMOVE_HEAD(ops, link);
        free(op->push);
        free(op);
    }
}

static void batch_free(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->put_count; i++)
        message_unref(batch->puts[i].message);
    free_ops(&batch->ops);
    for (size_t i = 0; i < ARRAY_LEN(batch->late); i++)
        pg_array_fini(&batch->late[i]);
    free(batch->late_cursors.list);
    free(batch->late_heads.list);
    free(batch->puts);
    free(batch);
}

static void free_list(struct batch_list *list)
{
    while (!TAILQ_EMPTY(list)) {
        struct batch *batch = TAILQ_FIRST(list);

        TAILQ_REMOVE(list, batch, link);
        batch_free(batch);
    }
}

void batches_fini(struct store *store)
{
    free_list(&store->batches);
    free_list(&store->spare);
    free_ops(&store->behind);
    for (size_t i = 0; i < ARRAY_LEN(store->columns); i++)
        pg_array_fini(&store->columns[i]);
    late_fini(store);
}

/* The batch that is forming: the last, unless that is under way, has failed before or is full. */
static struct batch *forming(struct store *store, bool continues)
{
    const struct options *o = &store->broker->options;
    struct batch *last = TAILQ_LAST(&store->batches, batch_list);
    bool usable =
        last && !(store->busy && last == TAILQ_FIRST(&store->batches)) && !last->reconcile;

    if (usable && (continues || (last->put_count < o->batch_rows && last->bytes < o->batch_bytes)))
        return last;
    last = TAILQ_FIRST(&store->spare);
    if (last) {
        TAILQ_REMOVE(&store->spare, last, link);
        store->spare_count--;
    } else {
        last = calloc(1, sizeof(*last));
        if (!last)
            return NULL;
        last->broker = store->broker;
    }
    STAILQ_INIT(&last->ops);
    TAILQ_INSERT_TAIL(&store->batches, last, link);
    return last;
}

int store_put(struct broker *broker, const struct put *put, int32_t *ret_index)
{
    struct batch *batch = forming(broker->store, put->copy_of >= 0);

    if (!batch)
        return ERR_NO_MEMORY;
    if (batch->put_count == batch->put_cap) {
        uint32_t cap = batch->put_cap ? batch->put_cap * 2 : 64;
        struct put *puts = realloc(batch->puts, cap * sizeof(*puts));

        if (!puts)
            return ERR_NO_MEMORY;
        batch->puts = puts;
        batch->put_cap = cap;
    }
    *ret_index = (int32_t)batch->put_count;
    batch->puts[batch->put_count] = *put;
    batch->puts[batch->put_count++].since_ms = loop_now_ms(broker->loop);
    batch->bytes += put->message->payload.len + put->message->properties.len;
    batch->once = batch->once || put->resend || put->message->key.len > 0;
    return 0;
}

void batches_take_op(struct store *store, struct store_op *op)
{
    struct broker *broker = store->broker;
    struct batch *batch = forming(store, false);
    struct user *user = op->user;

    if (batch) {
        STAILQ_INSERT_TAIL(&batch->ops, op, link);
        return;
    }
    /* the client's connector gives up after its own deadline and the client tries again */
    log_limited(loop_now_ms(broker->loop), LOG_ERROR, NULL, "out of memory, a write is dropped");
    free(op->push);
    free(op);
    user_unpin(broker, user);
}

void store_op_add(struct broker *broker, struct store_op *op)
{
    user_pin(broker, op->user);
    if (op->user->state == USER_JOINING && op->type != STORE_SESSION_FIRST)
        STAILQ_INSERT_TAIL(&broker->store->behind, op, link);
    else
        batches_take_op(broker->store, op);
}

/* --- sending --- */

void batch_on_statement(void *arg, const PGresult *result)
{
    struct batch *batch = arg;
    ExecStatusType status;

    if (!result)
        return; /* lost: the sync says so */
    status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || batch->failed)
        return;
    batch->failed = true;
    snprintf(batch->error, sizeof(batch->error), "%.*s",
             (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
    snprintf(batch->sqlstate, sizeof(batch->sqlstate), "%s",
             PQresultErrorField(result, PG_DIAG_SQLSTATE) ?: "");
}

static void on_commit(void *arg, const PGresult *result)
{
    struct batch *batch = arg;

    batch_on_statement(arg, result);
    /* COMMIT of a transaction that failed "succeeds" as a ROLLBACK */
    if (result && !batch->failed && strcmp(PQcmdStatus((PGresult *)result), "COMMIT") != 0) {
        batch->failed = true;
        snprintf(batch->error, sizeof(batch->error), "commit ended as %s",
                 PQcmdStatus((PGresult *)result));
    } else if (result && !batch->failed && pg_warned(batch->broker->store->writer)) {
        batch->failed = true;
        snprintf(batch->error, sizeof(batch->error), "the server warned at COMMIT");
    }
}

/* One that is known counts as stored now when this process has not heard so: the commit of an
 * earlier try got through and its answer did not. */
static void put_answered(struct put *put, const PGresult *result, int row)
{
    uint64_t seq = (uint64_t)pg_get_int8(result, row, PUT_ONCE_SEQ);
    bool fresh = PQgetisnull(result, row, PUT_ONCE_MID) != 0;

    if (fresh || seq > put->to->last_seq) {
        put->message->seq = seq;
        put->verdict = PUT_STORED;
    } else if (put->verdict == PUT_UNANSWERED) {
        struct bytes mid = pg_get_bytes(result, row, PUT_ONCE_MID);
        bool own = bytes_equal(mid, bytes_of(put->message->mid.octets, MID_SIZE));

        if (mid.len == MID_SIZE)
            memcpy(put->stored.octets, mid.data, MID_SIZE);
        put->verdict = own || pg_get_bool(result, row, PUT_ONCE_SAME) ? PUT_REPEATED : PUT_CONFLICT;
    }
}

static void on_put_once(void *arg, const PGresult *result)
{
    struct batch *batch = arg;

    batch_on_statement(arg, result);
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK)
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        int64_t ord = pg_get_int8(result, row, PUT_ONCE_ORD);

        if (ord < 1 || ord > batch->put_count)
            continue;
        put_answered(&batch->puts[ord - 1], result, row);
    }
}

static void optional_time(struct pg_array *column, uint64_t unix_ms)
{
    if (unix_ms != 0)
        pg_array_time(column, unix_ms);
    else
        pg_array_null(column);
}

static void encode_put(struct pg_array *c, const struct put *put, uint64_t seq)
{
    const struct message *m = put->message;

    pg_array_int8(&c[0], (int64_t)put->to->no);
    pg_array_int8(&c[1], (int64_t)seq);
    pg_array_mid(&c[2], &m->mid);
    pg_array_int8(&c[3], (int64_t)put->from_no);
    pg_array_int8(&c[4], (int64_t)put->conversation);
    if (m->origin_device != 0)
        pg_array_int8(&c[5], (int64_t)m->origin_device);
    else
        pg_array_null(&c[5]);
    pg_array_time(&c[6], m->sent_at_ms);
    optional_time(&c[7], m->expires_at_ms);
    pg_array_int2(&c[8], m->kind);
    pg_array_bytes(&c[9], m->properties);
    pg_array_bytes(&c[10], m->payload);
    pg_array_int2(&c[11], (int16_t)((m->service ? PUT_FLAG_SERVICE : 0) |
                                    (m->misdated ? PUT_FLAG_MISDATED : 0)));
}

static int send_puts(struct store *store, struct batch *batch)
{
    static const enum pg_oid types[16] = {
        PG_INT8, PG_INT8,  PG_UUID,  PG_INT8, PG_INT8, PG_INT8, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ,
        PG_INT2, PG_BYTEA, PG_BYTEA, PG_INT2, PG_TEXT, PG_INT8, PG_BOOL,        PG_INT4};
    struct pg_array *c = store->columns;
    bool once = batch->once || batch->reconcile;
    const char *values[17];
    int lengths[17];
    char reconcile = batch->reconcile ? 1 : 0;

    store->batch_number++;
    for (int i = 0; i < (once ? 16 : 12); i++)
        pg_array_begin(&c[i], types[i]);
    for (uint32_t i = 0; i < batch->put_count; i++) {
        struct put *put = &batch->puts[i];

        if (once) {
            encode_put(c, put, put->to->last_seq);
            if (put->message->key.len > 0 && put->copy_of < 0)
                pg_array_bytes(&c[12], put->message->key);
            else
                pg_array_null(&c[12]);
            pg_array_int8(&c[13], (int64_t)put->message->content_hash);
            pg_array_bool(&c[14], put->resend);
            pg_array_int4(&c[15], put->copy_of);
            continue;
        }
        if (put->to->batch != store->batch_number) {
            put->to->batch = store->batch_number;
            put->to->assigned = put->to->last_seq;
        }
        put->message->seq = ++put->to->assigned;
        put->verdict = PUT_STORED;
        encode_put(c, put, put->message->seq);
    }
    if (!once)
        return store_query(store->writer, SQL_PUT, c, 12, batch_on_statement, batch);
    for (uint32_t i = 0; i < batch->put_count; i++)
        batch->puts[i].verdict = PUT_UNANSWERED;
    for (int i = 0; i < 16; i++) {
        pg_array_end(&c[i]);
        if (!buf_ok(&c[i].buf))
            return ERR_NO_MEMORY;
        values[i] = (const char *)c[i].buf.data;
        lengths[i] = (int)c[i].buf.len;
    }
    values[16] = &reconcile;
    lengths[16] = 1;
    return pg_query(store->writer, SQL_PUT_ONCE, values, lengths, on_put_once, batch);
}

static void on_batch_end(void *arg, bool ok);

static int send_batch(struct store *store, struct batch *batch)
{
    struct broker *broker = store->broker;
    uint64_t generation = htobe64(broker->generation);
    const char *values[1] = {(const char *)&generation};
    const int lengths[1] = {sizeof(generation)};
    int r = pg_query(store->writer, SQL_BEGIN, NULL, NULL, batch_on_statement, batch);

    if (r == 0)
        r = pg_query(store->writer, SQL_LOCK, NULL, NULL, batch_on_statement, batch);
    if (r == 0)
        r = pg_query(store->writer, SQL_FENCE, values, lengths, batch_on_statement, batch);
    if (r == 0 && batch->put_count > 0)
        r = send_puts(store, batch);
    if (r == 0)
        r = ops_send(store, batch);
    if (r == 0)
        r = late_send(store, batch);
    if (r == 0)
        r = pg_query(store->writer, SQL_COMMIT, NULL, NULL, on_commit, batch);
    if (r == 0)
        r = pg_sync(store->writer, on_batch_end, batch);
    return r;
}

bool store_idle(const struct store *store)
{
    return TAILQ_EMPTY(&store->batches) && !late_pending(store);
}

bool batches_wait(const struct store *store)
{
    return !store->busy && !TAILQ_EMPTY(&store->batches);
}

void batches_run(struct store *store)
{
    struct batch *batch = TAILQ_FIRST(&store->batches);

    if (store->busy || !pg_ready(store->writer) || store->broker->generation == 0 ||
        ownership_changes(store->broker))
        return;
    if (!batch && late_is_due(store))
        batch = forming(store, false);
    if (!batch)
        return;
    batch->failed = false;
    batch->sqlstate[0] = '\0';
    store->busy = true;
    if (send_batch(store, batch) < 0)
        pg_reset(store->writer, "could not send a batch"); /* batches_lost follows */
}

void batches_lost(struct store *store)
{
    struct batch *batch = TAILQ_FIRST(&store->batches);

    if (!store->busy)
        return;
    store->busy = false;
    batch->reconcile = true;
    /* an error of the server means that it is not committed; of its own, not of an earlier try */
    batch->unknown = batch->unknown || !batch->failed || batch->sqlstate[0] == '\0';
    store->broker->metrics.batch_failures++;
}

/* --- the outcome --- */

static void committed(struct store *store, struct batch *batch)
{
    struct broker *broker = store->broker;

    TAILQ_REMOVE(&store->batches, batch, link);
    store->busy = false;
    broker->metrics.batches++;
    broker->metrics.batch_rows += batch->put_count;
    publishes_committed(broker, batch->puts, batch->put_count);
    ops_finish(broker, batch);
    late_committed(broker, batch);
    batch->put_count = 0;
    batch->bytes = 0;
    batch->once = batch->reconcile = batch->unknown = batch->piece = false;
    batch->stubborn = 0;
    if (store->spare_count < SPARE_BATCHES) {
        TAILQ_INSERT_HEAD(&store->spare, batch, link);
        store->spare_count++;
    } else {
        batch_free(batch);
    }
}

/* Every original must have been answered; anything else is a defect of ours, and the safe reaction
 * is to ask the database again. (A copy has no answer when its original was known.) */
static bool all_answered(const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->put_count; i++) {
        if (batch->puts[i].verdict == PUT_UNANSWERED && batch->puts[i].copy_of < 0)
            return false;
    }
    return true;
}

static void on_rolled_back(void *arg, bool ok)
{
    struct batch *batch = arg;

    (void)ok; /* a lost connection ends the transaction as well */
    batch->broker->store->busy = false;
}

/* The members have changed since this broker read them. Nothing of the batch is stored; what is
 * still ours of it is sent again with the new view. */
static void fenced(struct store *store, struct batch *batch)
{
    log_info(NULL, "a batch of %u messages waits for the new members: %s", batch->put_count,
             batch->error);
    store->broker->metrics.batches_fenced++;
    ownership_fenced(store->broker);
    if (pg_query(store->writer, SQL_ROLLBACK, NULL, NULL, NULL, NULL) < 0 ||
        pg_sync(store->writer, on_rolled_back, batch) < 0)
        store->busy = false; /* the connection is lost, and the transaction with it */
}

static void on_batch_end(void *arg, bool ok)
{
    struct batch *batch = arg;
    struct store *store = batch->broker->store;

    if (!ok)
        return; /* batches_lost follows */
    if (!batch->failed && all_answered(batch)) {
        committed(store, batch);
        return; /* the end of the turn sends the next one */
    }
    if (strcmp(batch->sqlstate, "BK001") == 0) {
        fenced(store, batch);
        return;
    }
    log_limited(loop_now_ms(store->broker->loop), LOG_ERROR, NULL,
                "could not write a batch of %u messages, trying again: %s", batch->put_count,
                batch->failed ? batch->error : "the database did not answer for all of them");
    batch_refused(store, batch);
    pg_reset(store->writer, "a batch failed"); /* ends the transaction; batches_lost follows */
}
