/* store_carry - what this broker knows and the database does not any more, because a standby was
 * promoted that had not everything yet.
 *
 * Problem: everything in memory must be read again, for numbers of people and devices that were
 * given in the lost moments may be given once more, to others. But clients have seen sequences that
 * the database has never heard of: if they were given again, a message would be taken for one that
 * its device has acknowledged. Method: before anything is forgotten, the last sequence of each
 * person in memory and the cursors of their devices are written, by name, so that they can only
 * rise; who is missing is made again. Cost: a row a person and a device, once. Messages that are
 * gone stay gone; they are holes, which cursors pass. */
#include "broker/ownership.h"
#include "broker/sqlstate.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdio.h>

enum { PERSON_ID, PERSON_SEQ, PERSON_COLUMNS };
enum { DEVICE_USER, DEVICE_ID, DEVICE_ACKED, DEVICE_SENT, DEVICE_ALERTED, DEVICE_COLUMNS };

struct columns {
    struct pg_array person[PERSON_COLUMNS], device[DEVICE_COLUMNS];
};

static void take_device(struct pg_array *c, const struct device *device)
{
    pg_array_bytes(&c[DEVICE_USER], user_id(device->user));
    pg_array_bytes(&c[DEVICE_ID], bytes_of(device->id, device->id_len));
    pg_array_int8(&c[DEVICE_ACKED], (int64_t)device->acked_seq);
    pg_array_int8(&c[DEVICE_SENT], (int64_t)device->sent_seq);
    pg_array_int8(&c[DEVICE_ALERTED], (int64_t)device->alerted_seq);
}

static void take_user(struct user *user, void *arg)
{
    struct columns *c = arg;
    const struct device *device;

    if (user->foreign || user->state != USER_READY || user->no == 0)
        return;
    pg_array_bytes(&c->person[PERSON_ID], user_id(user));
    pg_array_int8(&c->person[PERSON_SEQ], (int64_t)user->last_seq);
    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (device->no != 0)
            take_device(c->device, device);
    }
}

static void on_statement(void *arg, const PGresult *result)
{
    struct carry *carry = arg;
    ExecStatusType status = PQresultStatus(result);

    if (!result || carry->failed || status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return;
    carry->failed = true;
    snprintf(carry->error, sizeof(carry->error), "%.*s",
             (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
    snprintf(carry->sqlstate, sizeof(carry->sqlstate), "%s",
             PQresultErrorField(result, PG_DIAG_SQLSTATE) ?: "");
}

/* What is refused for what it holds would be refused for ever, and everybody waits. */
static void on_end(void *arg, bool ok)
{
    struct store *store = arg;
    struct carry *carry = &store->carry;

    carry->under_way = false;
    if (!ok)
        return; /* lost: again over the next connection */
    carry->done = !carry->failed || !sqlstate_passes(carry->sqlstate);
    if (!carry->failed)
        return;
    log_error(NULL, "could not write what clients have seen and the database has lost%s: %s",
              carry->done ? ", its sequences may be given again" : ", trying again", carry->error);
    pg_reset(store->writer, "a transaction failed");
}

static int send(struct store *store, struct columns *c)
{
    struct carry *carry = &store->carry;
    struct pg *pg = store->writer;
    int r = pg_query(pg, SQL_BEGIN, NULL, NULL, on_statement, carry);

    if (r == 0)
        r = pg_query(pg, SQL_LOCK, NULL, NULL, on_statement, carry);
    if (r == 0)
        r = store_query(pg, SQL_CARRY_PEOPLE, c->person, PERSON_COLUMNS, on_statement, carry);
    if (r == 0)
        r = store_query(pg, SQL_CARRY_DEVICES, c->device, DEVICE_COLUMNS, on_statement, carry);
    if (r == 0)
        r = pg_query(pg, SQL_COMMIT, NULL, NULL, on_statement, carry);
    return r < 0 ? r : pg_sync(pg, on_end, store);
}

static void begin(struct store *store)
{
    static const enum pg_oid person[] = {PG_TEXT, PG_INT8};
    static const enum pg_oid device[] = {PG_TEXT, PG_TEXT, PG_INT8, PG_INT8, PG_INT8};
    struct columns c = {0};

    for (int i = 0; i < PERSON_COLUMNS; i++)
        pg_array_begin(&c.person[i], person[i]);
    for (int i = 0; i < DEVICE_COLUMNS; i++)
        pg_array_begin(&c.device[i], device[i]);
    users_each(store->broker, take_user, &c);
    store->carry = (struct carry){.under_way = true};
    log_warning(NULL, "writing the sequences of %u people and the cursors of %u devices again",
                c.person[0].count, c.device[0].count);
    if (send(store, &c) < 0)
        pg_reset(store->writer, "could not send what the database has lost");
    for (int i = 0; i < PERSON_COLUMNS; i++)
        pg_array_fini(&c.person[i]);
    for (int i = 0; i < DEVICE_COLUMNS; i++)
        pg_array_fini(&c.device[i]);
}

bool store_carried(struct broker *broker)
{
    struct store *store = broker->store;

    if (!store->carry.done && !store->carry.under_way && pg_ready(store->writer))
        begin(store);
    return store->carry.done;
}

void store_history_lost(struct broker *broker)
{
    struct carry *carry = &broker->store->carry;

    carry->done = false;
    /* one that is under way is on a connection that is about to be lost, or to the new server */
}
