/* will - copies in one allocation each, found by the closed connection's handle in a hash table.
 *
 * Wills live long only while their delay runs or the broker is away, so the table is small; its
 * bytes are bounded because a client could connect with a delayed Will and vanish, over and over.
 */
#include "connector/will.h"

#include <stdlib.h>

#include "common/auto.h"

#include "connector/brokers.h"
#include "connector/expiry.h"

struct kept_will {
    struct hash_node node;
    struct pending_will pending; /* its names point into names */
    struct will *will;
    size_t bytes;
    char names[];
};

struct wills {
    struct hash table;
    size_t bytes, max_bytes;
};

struct will *will_create(const struct wire_will *wire)
{
    size_t size = sizeof(struct will) + wire->to.len + wire->key.len + wire->properties.len +
                  wire->payload.len;
    struct will *will = malloc(size);
    uint8_t *at;

    if (will == NULL)
        return NULL;
    *will = (struct will){
        .kind = wire->kind,
        .qos = wire->qos,
        .has_expiry = wire->has_expiry,
        .to_len = (uint8_t)wire->to.len,
        .key_len = (uint8_t)wire->key.len,
        .delay_s = wire->delay_s,
        .expiry_s = wire->expiry_s,
        .properties_len = wire->properties.len,
        .payload_len = wire->payload.len,
    };
    at = will->data;
    const struct bytes parts[] = {wire->to, wire->key, wire->properties, wire->payload};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].len > 0)
            memcpy(at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    return will;
}

struct wire_will will_view(const struct will *will)
{
    const uint8_t *at;

    if (will == NULL)
        return (struct wire_will){.present = false};
    at = will->data;
    return (struct wire_will){
        .present = true,
        .kind = will->kind,
        .qos = will->qos,
        .has_expiry = will->has_expiry,
        .delay_s = will->delay_s,
        .expiry_s = will->expiry_s,
        .to = bytes_of(at, will->to_len),
        .key = bytes_of(at + will->to_len, will->key_len),
        .properties = bytes_of(at + will->to_len + will->key_len, will->properties_len),
        .payload =
            bytes_of(at + will->to_len + will->key_len + will->properties_len, will->payload_len),
    };
}

size_t will_size(const struct will *will)
{
    return sizeof(*will) + will->to_len + will->key_len + will->properties_len + will->payload_len;
}

struct wills *wills_create(size_t max_bytes)
{
    struct wills *wills = calloc(1, sizeof(*wills));

    if (wills != NULL)
        wills->max_bytes = max_bytes;
    return wills;
}

static void destroy_kept(struct kept_will *kept)
{
    free(kept->will);
    free(kept);
}

static void on_destroy(struct hash_node *node, void *arg)
{
    struct wills *wills = arg;

    hash_remove(&wills->table, node);
    destroy_kept(CONTAINER_OF(node, struct kept_will, node));
}

void wills_destroy(struct wills *wills)
{
    if (wills == NULL)
        return;
    hash_each(&wills->table, on_destroy, wills);
    hash_fini(&wills->table);
    free(wills);
}

int wills_add(struct wills *wills, const struct pending_will *pending, struct will **will)
{
    size_t names = pending->user.len + pending->device.len;
    struct kept_will *kept = NULL;
    int r = ERR_FULL;

    if (wills->bytes + sizeof(*kept) + names + will_size(*will) > wills->max_bytes)
        goto fail;
    r = ERR_NO_MEMORY;
    kept = malloc(sizeof(*kept) + names);
    if (kept == NULL)
        goto fail;
    kept->pending = *pending;
    kept->will = *will;
    kept->bytes = sizeof(*kept) + names + will_size(*will);
    memcpy(kept->names, pending->user.data, pending->user.len);
    memcpy(kept->names + pending->user.len, pending->device.data, pending->device.len);
    kept->pending.user.data = (const uint8_t *)kept->names;
    kept->pending.device.data = (const uint8_t *)kept->names + pending->user.len;
    r = hash_insert(&wills->table, &kept->node, hash_u64(pending->conn));
    if (r < 0)
        goto fail;
    wills->bytes += kept->bytes;
    *will = NULL;
    return 0;

fail:
    free(kept);
    free(*will);
    *will = NULL;
    return r;
}

static bool match_conn(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, const struct kept_will, node)->pending.conn == *(const uint64_t *)key;
}

void wills_remove(struct wills *wills, uint64_t conn, uint8_t owner)
{
    struct hash_node *node = hash_find(&wills->table, hash_u64(conn), match_conn, &conn);
    struct kept_will *kept;

    if (node == NULL)
        return;
    kept = CONTAINER_OF(node, struct kept_will, node);
    if (kept->pending.owner != owner)
        return;
    hash_remove(&wills->table, node);
    wills->bytes -= kept->bytes;
    destroy_kept(kept);
}

size_t wills_count(const struct wills *wills)
{
    return wills->table.count;
}

static void put(const struct kept_will *kept, uint64_t now_ms, struct buf *frame)
{
    struct wire_pending_will record = {
        .conn = kept->pending.conn,
        .mid = kept->pending.mid,
        .epoch = kept->pending.epoch,
        .user = kept->pending.user,
        .device = kept->pending.device,
        .session_expiry_s = expiry_left_s(kept->pending.session_ends_ms, now_ms),
        .will = will_view(kept->will),
    };

    record.will.delay_s = expiry_left_s(kept->pending.due_ms, now_ms);
    wire_put_will(frame, &record);
}

struct announce {
    uint64_t now_ms;
    struct buf *frame;
    uint8_t owner;
};

static void on_announce(struct hash_node *node, void *arg)
{
    const struct kept_will *kept = CONTAINER_OF(node, struct kept_will, node);
    const struct announce *announce = arg;

    if (kept->pending.owner == announce->owner)
        put(kept, announce->now_ms, announce->frame);
}

void wills_announce(const struct wills *wills, uint8_t owner, uint64_t now_ms, struct buf *frame)
{
    struct announce announce = {.now_ms = now_ms, .frame = frame, .owner = owner};
    /* hash_each takes a table its callback may change; ours only reads. */
    struct hash table = wills->table;

    hash_each(&table, on_announce, &announce);
}

struct move {
    uint64_t now_ms;
    const struct brokers *brokers;
};

static void on_move(struct hash_node *node, void *arg)
{
    struct kept_will *kept = CONTAINER_OF(node, struct kept_will, node);
    const struct move *move = arg;
    const struct broker *broker = brokers_of(move->brokers, kept->pending.user);
    struct buf *frame;

    if (broker->slot == kept->pending.owner)
        return;
    kept->pending.owner = broker->slot;
    frame = broker_frame(broker);
    if (frame != NULL)
        put(kept, move->now_ms, frame);
}

void wills_move(struct wills *wills, const struct brokers *brokers, uint64_t now_ms)
{
    struct move move = {.now_ms = now_ms, .brokers = brokers};

    hash_each(&wills->table, on_move, &move);
}
