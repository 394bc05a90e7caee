/* ended - encoded records in one allocation each, some 120 bytes, found by the closed connection's
 * handle. They are encoded when the connection ends, because only then its lists are at hand, and
 * announced as they are but for what is left of the session. */
#include "connector/ended.h"

#include <stdlib.h>

#include "common/auto.h"
#include "common/hash.h"

#include "connector/expiry.h"

struct kept_session {
    struct hash_node node;
    uint64_t conn;
    uint64_t ends_ms;
    size_t len;
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

static int keep(struct ended_sessions *ended, uint64_t conn, uint64_t ends_ms)
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
    memcpy(kept->record, ended->scratch.data, len);
    r = hash_insert(&ended->table, &kept->node, hash_u64(conn));
    if (r < 0) {
        free(kept);
        return r;
    }
    ended->bytes += sizeof(*kept) + len;
    return 0;
}

int ended_add(struct ended_sessions *ended, const struct wire_ended *record,
              const struct wire_seqs *messages, const struct wire_seqs *notified, uint64_t ends_ms)
{
    int r = ERR_NO_MEMORY;

    wire_put_ended(&ended->scratch, record, messages, notified);
    if (buf_ok(&ended->scratch))
        r = keep(ended, record->conn, ends_ms);
    /* a window of 16,384 sequences is rare: its memory is not kept */
    buf_release(&ended->scratch);
    return r;
}

static bool match_conn(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, const struct kept_session, node)->conn == *(const uint64_t *)key;
}

void ended_remove(struct ended_sessions *ended, uint64_t conn)
{
    struct hash_node *node = hash_find(&ended->table, hash_u64(conn), match_conn, &conn);

    if (node != NULL)
        forget(ended, node);
}

size_t ended_count(const struct ended_sessions *ended)
{
    return ended->table.count;
}

struct announce {
    uint64_t now_ms;
    struct buf *frame;
};

static void on_announce(struct hash_node *node, void *arg)
{
    struct kept_session *kept = CONTAINER_OF(node, struct kept_session, node);
    const struct announce *announce = arg;

    wire_set_ended_expiry(kept->record, kept->len, expiry_left_s(kept->ends_ms, announce->now_ms));
    wire_put_raw(announce->frame, bytes_of(kept->record, (uint32_t)kept->len));
}

void ended_announce(const struct ended_sessions *ended, uint64_t now_ms, struct buf *frame)
{
    struct announce announce = {.now_ms = now_ms, .frame = frame};
    /* hash_each takes a table its callback may change; ours only reads. */
    struct hash table = ended->table;

    hash_each(&table, on_announce, &announce);
}
