/* store_read - the read path: people and backlogs.
 *
 * One read is under way at a time; everything asked for meanwhile is the next one, as one statement
 * for all people and one for all backlogs, in one round trip. So ten thousand devices that come
 * back at once cost a few statements, not ten thousand. */
#include "broker/inbox.h"
#include "broker/janitor.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

/* People in one load: bounds the time one read takes (about 30 us each). */
#define LOAD_MAX 1000
/* Backlogs in one fetch, and rows of each: bounds the memory of one result, and with the window
 * what a device may have read ahead. */
#define FETCH_MAX_DEVICES 64
#define FETCH_MAX_ROWS 256
/* After a read that the database refused (not a lost connection): no busy loop of refusals. */
#define RETRY_MS 200

void store_load_user(struct broker *broker, struct user *user)
{
    TAILQ_INSERT_TAIL(&broker->store->load_queue, user, link);
}

void store_fetch(struct broker *broker, struct device *device)
{
    if (device->fetching)
        return;
    device->fetching = true;
    device->fetch_stale = false;
    STAILQ_INSERT_TAIL(&broker->store->fetch_queue, device, fetch_link);
}

static bool result_ok(struct store *store, const PGresult *result, const char *what)
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

/* --- people --- */

/* The user of a result row, if it is one that is being loaded. */
static struct user *loading_user(struct store *store, struct bytes id)
{
    struct user *user = users_get(store->broker, id);

    return user && user->state == USER_LOADING ? user : NULL;
}

static void on_users(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!result_ok(store, result, "users"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct user *user = loading_user(store, pg_get_bytes(result, row, LOAD_USER_ID));

        if (!user)
            continue;
        user->no = (uint64_t)pg_get_int8(result, row, LOAD_USER_NO);
        user->last_seq = (uint64_t)pg_get_int8(result, row, LOAD_USER_LAST_SEQ);
        user->max_acked = (uint64_t)pg_get_int8(result, row, LOAD_USER_MAX_ACKED);
    }
}

static struct device *row_device(struct store *store, struct user *user, struct bytes id)
{
    struct device *device = device_find(user, id);

    if (!device)
        device = device_create(store->broker, user, id);
    if (!device)
        user->no = 0; /* out of memory: not loaded, asked for again */
    return device;
}

static void on_devices(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!result_ok(store, result, "devices"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct user *user = loading_user(store, pg_get_bytes(result, row, LOAD_DEVICE_USER));
        struct device *device;

        if (!user)
            continue;
        device = row_device(store, user, pg_get_bytes(result, row, LOAD_DEVICE_ID));
        if (!device)
            continue;
        device->no = (uint64_t)pg_get_int8(result, row, LOAD_DEVICE_NO);
        device->acked_seq = (uint64_t)pg_get_int8(result, row, LOAD_DEVICE_ACKED);
        device->sent_seq = (uint64_t)pg_get_int8(result, row, LOAD_DEVICE_SENT);
        device->next_seq = device->acked_seq + 1;
        if (user->max_acked < device->acked_seq)
            user->max_acked = device->acked_seq;
        if (user->last_seq < device->acked_seq)
            user->last_seq = device->acked_seq;
    }
}

static void on_sessions(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!result_ok(store, result, "sessions"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct user *user = loading_user(store, pg_get_bytes(result, row, LOAD_SESSION_USER));
        struct device *device;

        if (!user)
            continue;
        device = row_device(store, user, pg_get_bytes(result, row, LOAD_SESSION_DEVICE));
        if (!device)
            continue;
        device->session_stored = true;
        device->session_expiry_s = (uint32_t)pg_get_int8(result, row, LOAD_SESSION_EXPIRY);
        device->session_expires_at_ms = pg_get_time(result, row, LOAD_SESSION_EXPIRES_AT);
        if (PQgetisnull(result, row, LOAD_SESSION_FILTER))
            continue;
        if (device_subscribe(device, pg_get_bytes(result, row, LOAD_SESSION_FILTER),
                             (uint8_t)pg_get_int2(result, row, LOAD_SESSION_QOS),
                             (uint8_t)pg_get_int2(result, row, LOAD_SESSION_OPTIONS),
                             (uint32_t)pg_get_int8(result, row, LOAD_SESSION_SUBSCRIPTION_ID)) < 0)
            user->no = 0;
    }
}

/* Whoever was not found (lost connection, or made by somebody else in the same moment) is asked for
 * again; the others are ready. */
static void finish_loads(struct store *store, bool ok)
{
    struct user_list loaded = TAILQ_HEAD_INITIALIZER(loaded);
    struct user *user;

    while ((user = TAILQ_LAST(&store->loading, user_list))) {
        TAILQ_REMOVE(&store->loading, user, link);
        if (ok && user->no != 0) {
            TAILQ_INSERT_HEAD(&loaded, user, link);
        } else {
            user->no = 0;
            TAILQ_INSERT_HEAD(&store->load_queue, user, link);
        }
    }
    while ((user = TAILQ_FIRST(&loaded))) {
        TAILQ_REMOVE(&loaded, user, link);
        store->broker->metrics.user_loads++;
        user_loaded(store->broker, user);
    }
}

static int send_loads(struct store *store)
{
    struct pg_array *ids = &store->columns[0];
    struct user *user;
    int r;

    pg_array_begin(ids, PG_TEXT);
    for (unsigned n = 0; n < LOAD_MAX && (user = TAILQ_FIRST(&store->load_queue)); n++) {
        TAILQ_REMOVE(&store->load_queue, user, link);
        TAILQ_INSERT_TAIL(&store->loading, user, link);
        pg_array_bytes(ids, user_id(user));
    }
    r = store_query(store->reader, SQL_LOAD_USERS, ids, 1, on_users, store);
    if (r == 0)
        r = store_query(store->reader, SQL_LOAD_DEVICES, ids, 1, on_devices, store);
    if (r == 0)
        r = store_query(store->reader, SQL_LOAD_SESSIONS, ids, 1, on_sessions, store);
    return r;
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
    }
    return message;
}

/* Rows of one device: first (inclusive) to last (exclusive). */
static void take_rows(struct store *store, const struct fetch *fetch, const PGresult *result,
                      int first, int last)
{
    struct broker *broker = store->broker;
    struct device *device = device_by_handle(broker, fetch->handle);
    struct message **ready;
    uint32_t count = 0;

    if (!device)
        return;
    device->fetching = false;
    if (device->fetch_stale || device->next_seq != fetch->after + 1) {
        /* the connection changed meanwhile: what is needed now may start elsewhere */
        inbox_pump(broker, device);
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
    inbox_fetched(broker, device, ready, count, first == last ? fetch->upto : 0);
}

static void on_fetch(void *arg, const PGresult *result)
{
    struct store *store = arg;
    int row = 0;

    if (!result_ok(store, result, "backlogs"))
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
        struct device *device = store->fetches[i].handle == 0
                                    ? NULL
                                    : device_by_handle(store->broker, store->fetches[i].handle);

        if (device && device->fetching)
            STAILQ_INSERT_TAIL(&store->fetch_queue, device, fetch_link);
    }
    store->fetch_count = 0;
}

static int send_fetches(struct store *store)
{
    static const enum pg_oid types[4] = {PG_INT8, PG_INT8, PG_INT8, PG_INT4};
    struct pg_array *c = store->columns;
    struct device *device;

    if (!store->fetches) {
        store->fetches = calloc(FETCH_MAX_DEVICES, sizeof(*store->fetches));
        if (!store->fetches)
            return ERR_NO_MEMORY;
    }
    for (int i = 0; i < 4; i++)
        pg_array_begin(&c[i], types[i]);
    store->fetch_count = 0;
    while (store->fetch_count < FETCH_MAX_DEVICES && (device = STAILQ_FIRST(&store->fetch_queue))) {
        struct fetch *fetch = &store->fetches[store->fetch_count++];

        STAILQ_REMOVE_HEAD(&store->fetch_queue, fetch_link);
        fetch->handle = device->handle;
        fetch->after = device->next_seq - 1;
        fetch->upto = device->user->last_seq;
        pg_array_int8(&c[0], (int64_t)device->user->no);
        pg_array_int8(&c[1], (int64_t)fetch->after);
        pg_array_int8(&c[2], (int64_t)fetch->upto);
        pg_array_int4(&c[3], FETCH_MAX_ROWS);
    }
    store->broker->metrics.fetches += store->fetch_count;
    return store_query(store->reader, SQL_FETCH, c, 4, on_fetch, store);
}

/* --- both --- */

static void on_read_end(void *arg, bool ok)
{
    struct store *store = arg;

    store->reading = false;
    finish_loads(store, ok);
    finish_fetches(store);
    if (store->read_failed)
        loop_timer_add(store->broker->loop, &store->read_timer, RETRY_MS);
    else
        reads_run(store);
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
    timer_init(&store->read_timer, on_read_timer);
}

void reads_fini(struct store *store)
{
    loop_timer_cancel(store->broker->loop, &store->read_timer);
    free(store->fetches);
}

void reads_run(struct store *store)
{
    int r = 0;

    if (store->reading || store->read_failed || !pg_ready(store->reader))
        return;
    if (TAILQ_EMPTY(&store->load_queue) && STAILQ_EMPTY(&store->fetch_queue) && !store->janitor_due)
        return;
    store->reading = true;
    if (!TAILQ_EMPTY(&store->load_queue))
        r = send_loads(store);
    if (r == 0 && !STAILQ_EMPTY(&store->fetch_queue))
        r = send_fetches(store);
    if (r == 0 && store->janitor_due)
        r = janitor_send(store, store->reader);
    if (r == 0)
        r = pg_sync(store->reader, on_read_end, store);
    if (r < 0) {
        store->read_failed = true;
        pg_reset(store->reader, "could not send a read");
        on_read_end(store, false);
    }
}
