/* store_split - a batch that PostgreSQL refuses for what it holds.
 *
 * Everything that reaches the store was checked, so this should not happen; if it does all the
 * same, one row would keep everybody's messages from being written, for ever. So a batch that was
 * refused STUBBORN_TRIES times with an error that does not pass is cut: messages, then what nobody
 * waits for, then small writes, each in halves, until what is refused stands alone and is given up.
 * The pieces keep their order. Small writes come last because the end of a session, once it is
 * committed, lets a connector forget what was acknowledged: the cursors go before it. (In a whole
 * batch the order does not matter; cursors and counts are of rows that were there before.) Cost: a
 * reconnection for each cut, some 15 in all. */
#include "broker/publish.h"
#include "broker/sqlstate.h"
#include "broker/store_internal.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

/* The first may come from numbers that another try corrects, the second from a commit that was
 * still under way on a lost connection. */
#define STUBBORN_TRIES 3
/* MQTT 5.0 section 2.4 */
#define UNSPECIFIED_ERROR 0x80

/* A piece right behind the batch. NULL when out of memory: the next failure tries again. */
static struct batch *piece_behind(struct store *store, struct batch *batch)
{
    struct batch *piece = calloc(1, sizeof(*piece));

    if (!piece)
        return NULL;
    piece->broker = batch->broker;
    STAILQ_INIT(&piece->ops);
    piece->reconcile = true; /* so nothing is added to it */
    piece->unknown = batch->unknown;
    piece->piece = batch->piece = true;
    piece->stubborn = batch->stubborn = STUBBORN_TRIES - 1;
    TAILQ_INSERT_AFTER(&store->batches, batch, piece, link);
    return piece;
}

/* The middle of the puts, where an original stands; 0: there is but one. */
static uint32_t middle(const struct batch *batch)
{
    uint32_t i = batch->put_count / 2;

    while (i > 0 && batch->puts[i].copy_of >= 0)
        i--;
    if (i > 0)
        return i;
    for (i = batch->put_count / 2; i < batch->put_count; i++) {
        if (batch->puts[i].copy_of < 0 && i > 0)
            return i;
    }
    return 0;
}

static void move_puts(struct batch *from, uint32_t first, struct batch *to)
{
    uint32_t count = from->put_count - first;

    to->puts = calloc(count, sizeof(*to->puts));
    if (!to->puts)
        return; /* an empty piece does no harm */
    for (uint32_t i = 0; i < count; i++) {
        struct put *put = &to->puts[i];

        *put = from->puts[first + i];
        if (put->copy_of >= 0)
            put->copy_of -= (int32_t)first;
        to->bytes += put->message->payload.len + put->message->properties.len;
    }
    to->put_count = to->put_cap = count;
    from->put_count = first;
    from->bytes -= to->bytes;
}

static uint32_t count_ops(const struct batch *batch)
{
    const struct store_op *op;
    uint32_t count = 0;

    STAILQ_FOREACH(op, &batch->ops, link)
    count++;
    return count;
}

/* The last `count` of them. */
static void move_ops(struct batch *from, uint32_t count, struct batch *to)
{
    uint32_t keep = count_ops(from) - count;
    struct store_op_list kept = STAILQ_HEAD_INITIALIZER(kept);

    for (uint32_t i = 0; i < keep; i++) {
        struct store_op *op = STAILQ_FIRST(&from->ops);

        STAILQ_REMOVE_HEAD(&from->ops, link);
        STAILQ_INSERT_TAIL(&kept, op, link);
    }
    STAILQ_CONCAT(&to->ops, &from->ops);
    STAILQ_CONCAT(&from->ops, &kept);
}

/* --- what stands alone --- */

static void give_up_put(struct store *store, struct batch *batch)
{
    const struct put *put = &batch->puts[0];
    uint32_t count = batch->put_count;

    log_error(NULL, "the database refuses a message, given up: to=%s from=%s bytes=%u: %s",
              put->to->id, put->message->from, put->message->payload.len, batch->error);
    store->broker->metrics.writes_given_up++;
    batch->put_count = 0;
    batch->bytes = 0;
    publishes_refused(store->broker, batch->puts, count, UNSPECIFIED_ERROR);
}

static void give_up_op(struct store *store, struct batch *batch)
{
    struct store_op *op = STAILQ_FIRST(&batch->ops);

    log_error(NULL, "the database refuses a write of kind %d, given up: user=%s device=%s: %s",
              (int)op->type, op->user->id, op->device_id, batch->error);
    store->broker->metrics.writes_given_up++;
    op->failed = true;
    ops_finish(store->broker, batch);
}

/* --- cutting --- */

/* What comes behind the first of the three kinds that are in it. */
static void part_kinds(struct batch *batch, struct batch *piece)
{
    move_ops(batch, count_ops(batch), piece);
    if (batch->put_count > 0)
        late_move(batch, piece);
}

static void cut(struct store *store, struct batch *batch)
{
    uint32_t ops = count_ops(batch), at = middle(batch);
    bool late = late_any(batch);
    bool many = (batch->put_count > 0) + (ops > 0) + late > 1;
    struct batch *piece;

    if (!many && at == 0 && ops <= 1 && !late_divides(batch)) {
        if (batch->put_count > 0)
            give_up_put(store, batch);
        else if (ops > 0)
            give_up_op(store, batch);
        else
            late_give_up(store, batch);
        return;
    }
    piece = piece_behind(store, batch);
    if (!piece)
        return;
    if (many)
        part_kinds(batch, piece);
    else if (at > 0)
        move_puts(batch, at, piece);
    else if (ops > 0)
        move_ops(batch, ops / 2, piece);
    else if (late_cut(batch, piece) < 0)
        log_error(NULL, "out of memory, a batch is not cut");
}

void batch_refused(struct store *store, struct batch *batch)
{
    if (!batch->failed || sqlstate_passes(batch->sqlstate)) {
        batch->stubborn = 0;
        return;
    }
    batch->stubborn++;
    if (batch->stubborn < STUBBORN_TRIES)
        return;
    cut(store, batch);
    pg_hurry(store->writer);
}
