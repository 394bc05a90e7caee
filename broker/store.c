/* store - life cycle of the two connections, and what is common to writing and reading. */
#include "broker/store.h"

#include "broker/recover.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

static void on_ready(struct store *store)
{
    if (store_ready(store))
        recover_begin(store->broker);
}

static void on_writer_ready(void *arg)
{
    struct store *store = arg;

    log_info(NULL, "database is ready for writing");
    on_ready(store);
    batches_run(store);
}

static void on_writer_lost(void *arg, const char *reason)
{
    (void)reason; /* pg has logged it */
    batches_lost(arg);
}

static void on_reader_ready(void *arg)
{
    struct store *store = arg;

    log_info(NULL, "database is ready for reading");
    on_ready(store);
    reads_ready(store);
}

static void on_reader_lost(void *arg, const char *reason)
{
    (void)arg;
    (void)reason; /* the read under way gets its own failed callback and queues its work again */
}

/* End of the turn: what this turn brought is one batch and one read; also what the next one is
 * about to bring. */
static void on_turn(void *arg)
{
    struct store *store = arg;

    if ((batches_wait(store) || reads_wait(store)) && loop_more(store->broker->loop))
        return;
    batches_run(store);
    reads_run(store);
}

int store_create(struct broker *broker)
{
    static const struct pg_events writer_events = {on_writer_ready, on_writer_lost, NULL};
    static const struct pg_events reader_events = {on_reader_ready, on_reader_lost, NULL};
    struct store *store = calloc(1, sizeof(*store));
    int r;

    if (!store)
        return ERR_NO_MEMORY;
    store->broker = broker;
    broker->store = store;
    reads_init(store);
    batches_init(store);
    wait_init(store);
    r = loop_hook_add(broker->loop, on_turn, store);
    if (r < 0)
        return r;
    store->writer = pg_create(broker->loop, "writer", broker->database, sql_writer,
                              SQL_WRITER_COUNT, &writer_events, store);
    store->reader = pg_create(broker->loop, "reader", broker->database, sql_reader,
                              SQL_READER_COUNT, &reader_events, store);
    return store->writer && store->reader ? 0 : ERR_NO_MEMORY;
}

void store_destroy(struct broker *broker)
{
    struct store *store = broker->store;

    if (!store)
        return;
    pg_destroy(store->writer);
    pg_destroy(store->reader);
    wait_fini(store);
    batches_fini(store);
    reads_fini(store);
    free(store);
    broker->store = NULL;
}

bool store_answers(const struct store *store)
{
    return store_ready(store) && !pg_silent(store->writer) && !pg_silent(store->reader);
}

bool store_ready(const struct store *store)
{
    return store->broker->generation != 0 && pg_ready(store->writer) && pg_ready(store->reader);
}

bool store_quiet(const struct store *store)
{
    return !store->busy && !store->reading;
}

int store_query(struct pg *pg, int statement, struct pg_array *columns, int count, pg_result_fn fn,
                void *arg)
{
    const char *values[STORE_MAX_PARAMS];
    int lengths[STORE_MAX_PARAMS];

    for (int i = 0; i < count; i++) {
        pg_array_end(&columns[i]);
        if (!buf_ok(&columns[i].buf)) {
            pg_reset(pg, "out of memory");
            return ERR_DATABASE;
        }
        values[i] = (const char *)columns[i].buf.data;
        lengths[i] = (int)columns[i].buf.len;
    }
    return pg_query(pg, statement, values, lengths, fn, arg);
}

void store_forget_device(struct broker *broker, struct device *device)
{
    struct store *store = broker->store;

    if (device->cursor_dirty) {
        TAILQ_REMOVE(&store->dirty, device, dirty_link);
        store->dirty_count--;
        device->cursor_dirty = false;
    }
    store_forget_feed(broker, &device->feed);
}

void store_forget_feed(struct broker *broker, struct feed *feed)
{
    struct store *store = broker->store;
    struct feed *queued;

    if (!feed->fetching)
        return;
    STAILQ_FOREACH(queued, &store->fetch_queue, fetch_link)
    {
        if (queued == feed) {
            STAILQ_REMOVE(&store->fetch_queue, feed, feed, fetch_link);
            break;
        }
    }
    /* a fetch under way finds no device, or no such feed, behind its handle */
}
