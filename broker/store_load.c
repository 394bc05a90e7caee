/* store_load - people, in two steps: who they are, and then what those have who were found.
 *
 * Most who are new to a broker that has run for a while are new altogether, and of them there is
 * nothing more to ask; of another broker's people only the number is wanted. So one statement
 * answers for them, and three more, with numbers instead of names, for the others, at the price of
 * a second round trip. Each is one for all people of a read. */
#include "broker/push.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"

#include <stdlib.h>

/* People in one load: bounds the time one read takes (about 30 us each). */
#define LOAD_MAX 1000

void store_load_user(struct broker *broker, struct user *user)
{
    TAILQ_INSERT_TAIL(&broker->store->load_queue, user, link);
}

void store_forget_load(struct broker *broker, struct user *user)
{
    TAILQ_REMOVE(&broker->store->load_queue, user, link); /* no load is under way */
}

/* --- who they are --- */

static void on_users(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!read_ok(store, result, "users"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct user *user = users_asked(store->broker, pg_get_bytes(result, row, LOAD_USER_ID));

        if (!user)
            continue;
        user->no = (uint64_t)pg_get_int8(result, row, LOAD_USER_NO);
        user->last_seq = (uint64_t)pg_get_int8(result, row, LOAD_USER_LAST_SEQ);
        user->max_acked = (uint64_t)pg_get_int8(result, row, LOAD_USER_MAX_ACKED);
        user->counts_end_s = (uint32_t)(pg_get_time(result, row, LOAD_USER_COUNTED_UNTIL) / 1000);
        if (user->foreign || user->found || pg_get_bool(result, row, LOAD_USER_MADE) ||
            store->found_count == LOAD_MAX)
            continue;
        user->found = true;
        store->found[store->found_count++] = user;
    }
}

int loads_send(struct store *store)
{
    struct pg_array *ids = &store->columns[0], *numbered = &store->columns[1];
    struct user *user;

    if (!store->found) {
        store->found = calloc(LOAD_MAX, sizeof(struct user *));
        if (!store->found)
            return ERR_NO_MEMORY;
    }
    pg_array_begin(ids, PG_TEXT);
    pg_array_begin(numbered, PG_BOOL);
    for (unsigned n = 0; n < LOAD_MAX && (user = TAILQ_FIRST(&store->load_queue)); n++) {
        TAILQ_REMOVE(&store->load_queue, user, link);
        TAILQ_INSERT_TAIL(&store->loading, user, link);
        pg_array_bytes(ids, user_id(user));
        pg_array_bool(numbered, user->numbered);
    }
    return store_query(store->reader, SQL_LOAD_USERS, ids, 2, on_users, store);
}

/* --- what they have --- */

/* By the ordinal of the statement; NULL can't be, short of a defect. */
static struct user *found_user(const struct store *store, const PGresult *result, int row)
{
    int64_t ord = pg_get_int8(result, row, LOAD_FOUND_ORD);

    return ord >= 1 && ord <= store->found_count ? store->found[ord - 1] : NULL;
}

static struct device *row_device(struct store *store, struct user *user, struct bytes id)
{
    struct device *device = device_find(user, id);

    if (!device)
        device = device_create(store->broker, user, id);
    if (!device)
        user->load_failed = true; /* out of memory */
    return device;
}

static bool load_push(struct device *device, const PGresult *result, int row)
{
    free(device->push);
    device->push = push_create(pg_get_bytes(result, row, LOAD_DEVICE_PROVIDER),
                               pg_get_bytes(result, row, LOAD_DEVICE_TOKEN),
                               pg_get_bytes(result, row, LOAD_DEVICE_TOPIC),
                               pg_get_bytes(result, row, LOAD_DEVICE_ENVIRONMENT),
                               pg_get_time(result, row, LOAD_DEVICE_REGISTERED_AT));
    return device->push != NULL;
}

static void on_devices(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!read_ok(store, result, "devices"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct user *user = found_user(store, result, row);
        struct device *device;

        if (!user)
            continue;
        device = row_device(store, user, pg_get_bytes(result, row, LOAD_DEVICE_ID));
        if (!device)
            continue;
        device->no = (uint64_t)pg_get_int8(result, row, LOAD_DEVICE_NO);
        device->acked_seq = (uint64_t)pg_get_int8(result, row, LOAD_DEVICE_ACKED);
        device->sent_seq = (uint64_t)pg_get_int8(result, row, LOAD_DEVICE_SENT);
        device->alerted_seq = (uint64_t)pg_get_int8(result, row, LOAD_DEVICE_ALERTED);
        device->moved_from = device->acked_seq;
        device->feed.next_seq = device->acked_seq + 1;
        if (!PQgetisnull(result, row, LOAD_DEVICE_PROVIDER) && !load_push(device, result, row))
            user->load_failed = true;
        if (user->max_acked < device->acked_seq)
            user->max_acked = device->acked_seq;
        if (user->last_seq < device->acked_seq)
            user->last_seq = device->acked_seq;
    }
}

static void on_sessions(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!read_ok(store, result, "sessions"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct user *user = found_user(store, result, row);
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
            user->load_failed = true;
    }
}

static void on_unread(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!read_ok(store, result, "unread counts"))
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        struct user *user = found_user(store, result, row);

        if (user && !unread_loaded(user, pg_get_bool(result, row, LOAD_UNREAD_GROUP),
                                   (uint64_t)pg_get_int8(result, row, LOAD_UNREAD_OTHER),
                                   (uint64_t)pg_get_int8(result, row, LOAD_UNREAD_READ),
                                   (uint64_t)pg_get_int8(result, row, LOAD_UNREAD_COUNT)))
            user->load_failed = true;
        if (user && pg_get_bool(result, row, LOAD_UNREAD_SINCE)) {
            user->counted_since = true;
            unread_ends(user, pg_get_time(result, row, LOAD_UNREAD_END));
        }
    }
}

bool loads_found(const struct store *store)
{
    return store->found_count > 0;
}

int loads_send_found(struct store *store)
{
    struct pg_array *numbers = &store->columns[0], *days = &store->columns[1];
    int r;

    pg_array_begin(numbers, PG_INT8);
    for (uint32_t i = 0; i < store->found_count; i++)
        pg_array_int8(numbers, (int64_t)store->found[i]->no);
    r = store_query(store->reader, SQL_LOAD_DEVICES, numbers, 1, on_devices, store);
    if (r == 0)
        r = store_query(store->reader, SQL_LOAD_SESSIONS, numbers, 1, on_sessions, store);
    if (r < 0)
        return r;
    pg_array_begin(days, PG_INT4);
    pg_array_int4(days, (int32_t)store->broker->options.retention_days);
    return store_query(store->reader, SQL_LOAD_UNREAD, numbers, 2, on_unread, store);
}

void loads_end_found(struct store *store)
{
    for (uint32_t i = 0; i < store->found_count; i++)
        store->found[i]->found = false;
    store->found_count = 0;
}

/* --- the end --- */

/* Whoever should have a number and has none (lost connection, made by somebody else in the same
 * moment, or not asked to be made) is asked for again; the others are ready. */
void loads_finish(struct store *store, bool ok)
{
    struct user_list loaded = TAILQ_HEAD_INITIALIZER(loaded);
    struct user_list found = TAILQ_HEAD_INITIALIZER(found);
    struct user *user;

    while ((user = TAILQ_LAST(&store->loading, user_list))) {
        TAILQ_REMOVE(&store->loading, user, link);
        if (user->found) {
            TAILQ_INSERT_HEAD(&found, user, link);
        } else if (ok && !user->load_failed && (user->no != 0 || !user->numbered)) {
            TAILQ_INSERT_HEAD(&loaded, user, link);
        } else {
            user->no = 0;
            user->load_failed = user->counted_since = false;
            unread_forget_user(store->broker, user);
            TAILQ_INSERT_HEAD(&store->load_queue, user, link);
        }
    }
    TAILQ_CONCAT(&store->loading, &found, link);
    while ((user = TAILQ_FIRST(&loaded))) {
        TAILQ_REMOVE(&loaded, user, link);
        store->broker->metrics.user_loads++;
        /* a head that moves on leaves out what was counted now and is not written */
        if (user->counted_since)
            unread_write_again(store->broker, user);
        user->counted_since = false;
        user_loaded(store->broker, user);
    }
}
