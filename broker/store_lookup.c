/* store_lookup - finds messages by their MIDs in the inbox of one person, for me/read and me/shown:
 * all that were asked for since the last read, as one statement. */
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "broker/unread.h"
#include "common/auto.h"

#include <stdlib.h>

/* In one statement: some 50 us each. */
#define LOOKUPS_MAX 256

void store_lookup(struct broker *broker, struct lookup *lookup)
{
    user_pin(broker, lookup->user);
    STAILQ_INSERT_TAIL(&broker->store->lookup_queue, lookup, link);
}

/* Two reads of one conversation are two statements: the second counts on what the first found. */
static bool asked_already(const struct store *store, const struct lookup *lookup)
{
    const struct lookup *other;

    if (lookup->conversation == 0)
        return false;
    STAILQ_FOREACH(other, &store->lookups, link)
    {
        if (other->user == lookup->user && other->conversation == lookup->conversation &&
            other->is_group == lookup->is_group)
            return true;
    }
    return false;
}

static void on_lookups(void *arg, const PGresult *result)
{
    struct store *store = arg;

    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK) {
        store->read_failed = true;
        return;
    }
    for (int row = 0; row < PQntuples(result); row++) {
        struct lookup *lookup = STAILQ_FIRST(&store->lookups);

        if (!lookup)
            return;
        STAILQ_REMOVE_HEAD(&store->lookups, link);
        unread_looked_up(store->broker, lookup, (uint64_t)pg_get_int8(result, row, LOOKUP_SEQ),
                         (uint64_t)pg_get_int8(result, row, LOOKUP_LATER));
    }
}

int lookups_send(struct store *store)
{
    static const enum pg_oid types[] = {PG_INT8, PG_UUID, PG_TIMESTAMPTZ,
                                        PG_INT8, PG_BOOL, PG_INT8};
    struct pg_array *c = store->columns;
    struct lookup *lookup;

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        pg_array_begin(&c[i], types[i]);
    for (unsigned n = 0; n < LOOKUPS_MAX && (lookup = STAILQ_FIRST(&store->lookup_queue)); n++) {
        if (asked_already(store, lookup))
            break;
        STAILQ_REMOVE_HEAD(&store->lookup_queue, link);
        STAILQ_INSERT_TAIL(&store->lookups, lookup, link);
        unread_note(lookup);
        pg_array_int8(&c[0], (int64_t)lookup->user->no);
        pg_array_mid(&c[1], &lookup->mid);
        pg_array_time(&c[2], mid_time_ms(&lookup->mid));
        pg_array_int8(&c[3], (int64_t)lookup->conversation);
        pg_array_bool(&c[4], lookup->is_group);
        pg_array_int8(&c[5], (int64_t)lookup->upto);
    }
    return store_query(store->reader, SQL_LOOKUP, c, ARRAY_LEN(types), on_lookups, store);
}

void lookups_again(struct store *store)
{
    STAILQ_CONCAT(&store->lookups, &store->lookup_queue);
    STAILQ_CONCAT(&store->lookup_queue, &store->lookups);
}

void lookups_fini(struct store *store)
{
    lookups_again(store);
    while (!STAILQ_EMPTY(&store->lookup_queue)) {
        struct lookup *lookup = STAILQ_FIRST(&store->lookup_queue);

        STAILQ_REMOVE_HEAD(&store->lookup_queue, link);
        free(lookup);
    }
}
