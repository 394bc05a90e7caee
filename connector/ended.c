/* ended - encoded records in one allocation each, some 120 bytes, found by the closed connection's
 * handle. They are encoded when the connection ends, because only then its lists are at hand, and
 * announced as they are but for what is left of the session. */
#include "connector/ended.h"

#include <stdlib.h>

#include "common/auto.h"
#include "common/hash.h"

#include "connector/brokers.h"
#include "connector/expiry.h"

struct kept_session {
    struct hash_node node;
    uint64_t conn;
    uint64_t ends_ms;
    size_t len;
    uint8_t owner;
    uint8_t record[];
};

struct ended_sessions {
    struct hash table;
    struct buf scratch; /* where a record is encoded before its length is known */
    size_t bytes, max_bytes;
};

struct ended_sessions *ended_create(size_t max_bytes)
{
    struct ended_sessions *ended = calloc(1, sizeof(*ended));

    if (ended != NULL)
        ended->max_bytes = max_bytes;
    return ended;
}

static void forget(struct ended_sessions *ended, struct hash_node *node)
{
    struct kept_session *kept = CONTAINER_OF(node, struct kept_session, node);

    hash_remove(&ended->table, node);
    ended->bytes -= sizeof(*kept) + kept->len;
    free(kept);
}

static void on_destroy(struct hash_node *node, void *arg)
{
    forget(arg, node);
}

void ended_destroy(struct ended_sessions *ended)
{
    if (ended == NULL)
        return;
    hash_each(&ended->table, on_destroy, ended);
    hash_fini(&ended->table);
    buf_release(&ended->scratch);
    free(ended);
}

static int keep(struct ended_sessions *ended, uint8_t owner, uint64_t conn, uint64_t ends_ms)
{
    size_t len = ended->scratch.len;
    struct kept_session *kept;
    int r;

    if (ended->bytes + sizeof(*kept) + len > ended->max_bytes)
        return ERR_FULL;
    kept = malloc(sizeof(*kept) + len);
    if (kept == NULL)
        return ERR_NO_MEMORY;
    kept->conn = conn;
    kept->ends_ms = ends_ms;
    kept->len = len;
    kept->owner = owner;
    memcpy(kept->record, ended->scratch.data, len);
    r = hash_insert(&ended->table, &kept->node, hash_u64(conn));
    if (r < 0) {
        free(kept);
        return r;
    }
    ended->bytes += sizeof(*kept) + len;
    return 0;
}

int ended_add(struct ended_sessions *ended, uint8_t owner, const struct wire_ended *record,
              const struct wire_seqs *messages, const struct wire_seqs *notified, uint64_t ends_ms)
{
    int r = ERR_NO_MEMORY;

    wire_put_ended(&ended->scratch, record, messages, notified);
    if (buf_ok(&ended->scratch))
        r = keep(ended, owner, record->conn, ends_ms);
    /* a window of 16,384 sequences is rare: its memory is not kept */
    buf_release(&ended->scratch);
    return r;
}

static bool match_conn(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, const struct kept_session, node)->conn == *(const uint64_t *)key;
}

void ended_remove(struct ended_sessions *ended, uint64_t conn, uint8_t owner)
{
    struct hash_node *node = hash_find(&ended->table, hash_u64(conn), match_conn, &conn);

    if (node != NULL && CONTAINER_OF(node, struct kept_session, node)->owner == owner)
        forget(ended, node);
}

size_t ended_count(const struct ended_sessions *ended)
{
    return ended->table.count;
}

static void put(struct kept_session *kept, uint64_t now_ms, struct buf *frame)
{
    wire_set_ended_expiry(kept->record, kept->len, expiry_left_s(kept->ends_ms, now_ms));
    wire_put_raw(frame, bytes_of(kept->record, (uint32_t)kept->len));
}

struct announce {
    uint64_t now_ms;
    struct buf *frame;
    uint8_t owner;
};

static void on_announce(struct hash_node *node, void *arg)
{
    struct kept_session *kept = CONTAINER_OF(node, struct kept_session, node);
    const struct announce *announce = arg;

    if (kept->owner == announce->owner)
        put(kept, announce->now_ms, announce->frame);
}

void ended_announce(const struct ended_sessions *ended, uint8_t owner, uint64_t now_ms,
                    struct buf *frame)
{
    struct announce announce = {.now_ms = now_ms, .frame = frame, .owner = owner};
    /* hash_each takes a table its callback may change; ours only reads. */
    struct hash table = ended->table;

    hash_each(&table, on_announce, &announce);
}

struct move {
    uint64_t now_ms;
    const struct brokers *brokers;
};

static void on_move(struct hash_node *node, void *arg)
{
    struct kept_session *kept = CONTAINER_OF(node, struct kept_session, node);
    struct wire_reader reader = {.rest = bytes_of(kept->record, (uint32_t)kept->len)};
    const struct move *move = arg;
    const struct broker *broker;
    struct wire_record record;
    struct buf *frame;

    if (wire_next(&reader, &record) != 1)
        return; /* we encoded it: can't be */
    broker = brokers_of(move->brokers, record.ended.user);
    if (broker->slot == kept->owner)
        return;
    kept->owner = broker->slot;
    frame = broker_frame(broker);
    if (frame != NULL)
        put(kept, move->now_ms, frame);
}

void ended_move(struct ended_sessions *ended, const struct brokers *brokers, uint64_t now_ms)
{
    struct move move = {.now_ms = now_ms, .brokers = brokers};

    hash_each(&ended->table, on_move, &move);
}
