/* store_read - the read path: people (store_load.c) and backlogs.
 *
 * One read is under way at a time; everything asked for meanwhile is the next one, as one statement
 * for all people and one for all backlogs, in one round trip. So ten thousand devices that come
 * back at once cost a few statements, not ten thousand. */
#include "broker/alert.h"
#include "broker/inbox.h"
#include "broker/ownership.h"
#include "broker/push.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "broker/unread.h"
#include "common/auto.h"
#include "common/log.h"

#include <endian.h>
#include <stdlib.h>

/* Backlogs in one fetch, and rows of each: bounds the memory of one result, and with the window
 * what a device may have read ahead. */
#define FETCH_MAX_DEVICES 64
#define FETCH_MAX_ROWS 256
/* Of what is alerted one at a time, a push each. */
#define FETCH_ALERT_ROWS 16
/* After a read that the database refused (not a lost connection): no busy loop of refusals. */
#define RETRY_MS 200

void store_fetch(struct broker *broker, struct feed *feed)
{
    if (feed->fetching)
        return;
    feed->fetching = true;
    feed->fetch_stale = false;
    STAILQ_INSERT_TAIL(&broker->store->fetch_queue, feed, fetch_link);
}

bool read_ok(struct store *store, const PGresult *result, const char *what)
{
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK)
        return true;
    store->read_failed = true;
    if (result)
        log_limited(loop_now_ms(store->broker->loop), LOG_ERROR, NULL, "could not read %s: %.*s",
                    what, (int)strcspn(PQresultErrorMessage(result), "\n"),
                    PQresultErrorMessage(result));
    return false;
}

/* --- backlogs --- */

static struct message *row_message(const PGresult *result, int row)
{
    struct bytes mid = pg_get_bytes(result, row, FETCH_MID);
    struct bytes from = pg_get_bytes(result, row, FETCH_FROM);
    struct bytes other = PQgetisnull(result, row, FETCH_CONVERSATION)
                             ? from
                             : pg_get_bytes(result, row, FETCH_CONVERSATION);
    struct wire_body body = {
        .kind = (uint8_t)pg_get_int2(result, row, FETCH_KIND),
        .sent_at_ms = pg_get_time(result, row, FETCH_SENT_AT),
        .expires_at_ms = pg_get_time(result, row, FETCH_EXPIRES_AT),
        .properties = pg_get_bytes(result, row, FETCH_PROPERTIES),
        .payload = pg_get_bytes(result, row, FETCH_PAYLOAD),
    };
    struct message *message;

    if (mid.len != MID_SIZE)
        return NULL;
    memcpy(body.mid.octets, mid.data, MID_SIZE);
    if (body.kind == WIRE_BODY_USER)
        body.from = from;
    else
        body.to = other;
    message = message_create(&body, from, other, bytes_of(NULL, 0));
    if (message) {
        message->seq = (uint64_t)pg_get_int8(result, row, FETCH_SEQ);
        message->origin_device = (uint64_t)pg_get_int8(result, row, FETCH_ORIGIN);
        message->conversation_no = (uint64_t)pg_get_int8(result, row, FETCH_CONVERSATION_NO);
        message->service = (pg_get_int2(result, row, FETCH_FLAGS) & PUT_FLAG_SERVICE) != 0;
        message->misdated = (pg_get_int2(result, row, FETCH_FLAGS) & PUT_FLAG_MISDATED) != 0;
    }
    return message;
}

/* The feed a fetch was for, if it is still there. */
static struct feed *fetch_feed(struct broker *broker, const struct fetch *fetch)
{
    struct device *device = fetch->handle == 0 ? NULL : device_by_handle(broker, fetch->handle);

    if (!device)
        return NULL;
    return fetch->alerts ? alert_feed(device) : &device->feed;
}

/* Rows of one device: first (inclusive) to last (exclusive). */
static void take_rows(struct store *store, const struct fetch *fetch, const PGresult *result,
                      int first, int last)
{
    struct broker *broker = store->broker;
    struct feed *feed = fetch_feed(broker, fetch);
    struct message **ready;
    uint32_t count = 0;

    if (!feed)
        return;
    feed->fetching = false;
    if (feed->fetch_stale || feed->next_seq != fetch->after + 1) {
        /* the connection changed meanwhile: what is needed now may start elsewhere */
        inbox_pump(broker, feed->device);
        return;
    }
    ready = first == last ? NULL : calloc((size_t)(last - first), sizeof(struct message *));
    for (int row = first; ready && row < last; row++) {
        struct message *message = row_message(result, row);

        if (!message)
            break; /* out of memory: the rest is read again */
        ready[count++] = message;
    }
    broker->metrics.fetched_rows += count;
    inbox_fetched(broker, feed, ready, count, first == last ? fetch->upto : 0);
}

static void on_fetch(void *arg, const PGresult *result)
{
    struct store *store = arg;
    int row = 0;

    if (!read_ok(store, result, "backlogs"))
        return;
    for (uint32_t i = 0; i < store->fetch_count; i++) {
        int first = row;

        while (row < PQntuples(result) && pg_get_int8(result, row, FETCH_ORD) == (int64_t)i + 1)
            row++;
        take_rows(store, &store->fetches[i], result, first, row);
        store->fetches[i].handle = 0; /* done */
    }
}

/* What got no answer is asked for again. */
static void finish_fetches(struct store *store)
{
    for (uint32_t i = 0; i < store->fetch_count; i++) {
        struct feed *feed = fetch_feed(store->broker, &store->fetches[i]);

        if (feed && feed->fetching)
            STAILQ_INSERT_TAIL(&store->fetch_queue, feed, fetch_link);
    }
    store->fetch_count = 0;
}

static int send_fetches(struct store *store)
{
    static const enum pg_oid types[4] = {PG_INT8, PG_INT8, PG_INT8, PG_INT4};
    struct pg_array *c = store->columns;
    struct feed *feed;

    if (!store->fetches) {
        store->fetches = calloc(FETCH_MAX_DEVICES, sizeof(*store->fetches));
        if (!store->fetches)
            return ERR_NO_MEMORY;
    }
    for (int i = 0; i < 4; i++)
        pg_array_begin(&c[i], types[i]);
    store->fetch_count = 0;
    while (store->fetch_count < FETCH_MAX_DEVICES && (feed = STAILQ_FIRST(&store->fetch_queue))) {
        struct fetch *fetch = &store->fetches[store->fetch_count++];

        STAILQ_REMOVE_HEAD(&store->fetch_queue, fetch_link);
        fetch->handle = feed->device->handle;
        fetch->alerts = feed->alerts;
        fetch->after = feed->next_seq - 1;
        fetch->upto = feed->device->user->last_seq;
        pg_array_int8(&c[0], (int64_t)feed->device->user->no);
        pg_array_int8(&c[1], (int64_t)fetch->after);
        pg_array_int8(&c[2], (int64_t)fetch->upto);
        pg_array_int4(&c[3], feed->alerts ? FETCH_ALERT_ROWS : FETCH_MAX_ROWS);
    }
    store->broker->metrics.fetches += store->fetch_count;
    return store_query(store->reader, SQL_FETCH, c, 4, on_fetch, store);
}

/* --- after a start --- */

void store_recover(struct broker *broker, uint64_t after, uint64_t upto, bool any_device,
                   void (*done)(struct broker *broker, uint64_t newest))
{
    broker->store->recovery = (struct recovery){
        .after = after, .upto = upto, .any_device = any_device, .due = true, .done = done};
}

static void on_recovered(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!read_ok(store, result, "who is to be alerted"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        store->recovery.newest = (uint64_t)pg_get_int8(result, row, RECOVER_NEWEST);
        if (!PQgetisnull(result, row, RECOVER_USER) &&
            ownership_has(store->broker, pg_get_bytes(result, row, RECOVER_USER)))
            IGNORE_RESULT(users_get(store->broker, pg_get_bytes(result, row, RECOVER_USER)));
    }
    store->recovery.due = false;
}

static int send_recovery(struct store *store)
{
    uint64_t after = htobe64(store->recovery.after), upto = htobe64(store->recovery.upto);
    uint32_t days = htobe32(store->broker->options.retention_days);
    char any = store->recovery.any_device ? 1 : 0;
    const char *values[] = {(const char *)&after, (const char *)&upto, &any, (const char *)&days};
    const int lengths[] = {sizeof(after), sizeof(upto), 1, sizeof(days)};

    return pg_query(store->reader, SQL_RECOVER, values, lengths, on_recovered, store);
}

/* --- all of them --- */

static void on_loads_end(void *arg, bool ok)
{
    struct store *store = arg;

    store->reading = false;
    loads_end_found(store);
    loads_finish(store, ok && !store->read_failed);
    if (store->read_failed)
        loop_timer_add(store->broker->loop, &store->read_timer, RETRY_MS);
}

/* Whoever was found has a second round trip; the rest of the read is over. */
static bool reads_on(struct store *store, bool ok)
{
    if (!ok || store->read_failed || !loads_found(store))
        return false;
    if (loads_send_found(store) == 0 && pg_sync(store->reader, on_loads_end, store) == 0)
        return true;
    store->read_failed = true;
    pg_reset(store->reader, "could not send a read");
    return false;
}

static void on_read_end(void *arg, bool ok)
{
    struct store *store = arg;

    store->reading = reads_on(store, ok);
    if (!store->reading)
        loads_end_found(store);
    loads_finish(store, ok && !store->read_failed);
    finish_fetches(store);
    lookups_again(store);
    recheck_finish(store);
    recounts_finish(store);
    if (store->recovery.done && !store->recovery.due) {
        void (*done)(struct broker *, uint64_t) = store->recovery.done;

        store->recovery.done = NULL;
        done(store->broker, store->recovery.newest);
    }
    if (store->read_failed)
        loop_timer_add(store->broker->loop, &store->read_timer, RETRY_MS);
}

static void on_read_timer(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, read_timer);

    store->read_failed = false;
    reads_run(store);
}

void reads_init(struct store *store)
{
    TAILQ_INIT(&store->load_queue);
    TAILQ_INIT(&store->loading);
    STAILQ_INIT(&store->fetch_queue);
    STAILQ_INIT(&store->lookup_queue);
    STAILQ_INIT(&store->lookups);
    TAILQ_INIT(&store->recount_queue);
    TAILQ_INIT(&store->recounts);
    timer_init(&store->read_timer, on_read_timer);
}

void reads_fini(struct store *store)
{
    loop_timer_cancel(store->broker->loop, &store->read_timer);
    lookups_fini(store);
    free(store->fetches);
    free(store->found);
}

/* Without these settings reads are as right, only slower. */
static void on_plans(void *arg, const PGresult *result)
{
    (void)arg;
    if (result && PQresultStatus(result) != PGRES_TUPLES_OK)
        log_warning(NULL, "could not set how reads are planned, ignoring it: %.*s",
                    (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
}

void reads_ready(struct store *store)
{
    /* A connection that is lost meanwhile is made again, and this begins anew. */
    if (pg_query(store->reader, SQL_READER_PLANS, NULL, NULL, on_plans, NULL) == 0)
        IGNORE_RESULT(pg_sync(store->reader, NULL, NULL));
    reads_run(store);
}

static bool something_to_read(const struct store *store)
{
    return !TAILQ_EMPTY(&store->load_queue) || !STAILQ_EMPTY(&store->fetch_queue) ||
           !STAILQ_EMPTY(&store->lookup_queue) || !TAILQ_EMPTY(&store->recount_queue) ||
           store->recovery.due || store->recheck.due;
}

bool reads_wait(const struct store *store)
{
    return !store->reading && something_to_read(store);
}

void reads_run(struct store *store)
{
    int r = 0;

    if (store->reading || store->read_failed || !pg_ready(store->reader) ||
        ownership_changes(store->broker))
        return;
    if (!something_to_read(store))
        return;
    store->reading = true;
    if (!TAILQ_EMPTY(&store->load_queue))
        r = loads_send(store);
    if (r == 0 && !STAILQ_EMPTY(&store->fetch_queue))
        r = send_fetches(store);
    if (r == 0 && !STAILQ_EMPTY(&store->lookup_queue))
        r = lookups_send(store);
    if (r == 0 && !TAILQ_EMPTY(&store->recount_queue))
        r = recounts_send(store);
    if (r == 0 && store->recovery.due)
        r = send_recovery(store);
    if (r == 0 && store->recheck.due)
        r = recheck_send(store);
    if (r == 0)
        r = pg_sync(store->reader, on_read_end, store);
    if (r < 0) {
        store->read_failed = true;
        pg_reset(store->reader, "could not send a read");
        on_read_end(store, false);
    }
}
