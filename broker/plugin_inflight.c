/* plugin_inflight - see the header. */
#include "broker/plugin_inflight.h"

#include "common/auto.h"

#include <stddef.h>
#include <stdlib.h>

void plugin_inflight_init(struct plugin_inflight *inflight)
{
    *inflight = (struct plugin_inflight){0};
    TAILQ_INIT(&inflight->oldest_first);
}

void plugin_inflight_fini(struct plugin_inflight *inflight)
{
    struct plugin_inflight_item *item;

    while ((item = TAILQ_FIRST(&inflight->oldest_first)))
        plugin_inflight_remove(inflight, item);
    hash_fini(&inflight->by_id);
}

size_t plugin_inflight_count(const struct plugin_inflight *inflight)
{
    return inflight->by_id.count;
}

static bool match(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, struct plugin_inflight_item, node)->id == *(const uint64_t *)key;
}

struct plugin_inflight_item *plugin_inflight_find(const struct plugin_inflight *inflight,
                                                  uint64_t id)
{
    struct hash_node *node = hash_find(&inflight->by_id, hash_u64(id), match, &id);

    return node ? CONTAINER_OF(node, struct plugin_inflight_item, node) : NULL;
}

int plugin_inflight_add(struct plugin_inflight *inflight, uint64_t id, uint64_t now_ms,
                        size_t bytes)
{
    struct plugin_inflight_item *item;

    if (plugin_inflight_find(inflight, id))
        return ERR_EXISTS;
    item = calloc(1, sizeof(*item));
    if (!item)
        return ERR_NO_MEMORY;
    item->id = id;
    item->since_ms = now_ms;
    item->bytes = bytes;
    if (hash_insert(&inflight->by_id, &item->node, hash_u64(id)) < 0) {
        free(item);
        return ERR_NO_MEMORY;
    }
    TAILQ_INSERT_TAIL(&inflight->oldest_first, item, link);
    inflight->bytes += bytes;
    return 0;
}

struct plugin_inflight_item *plugin_inflight_oldest(const struct plugin_inflight *inflight)
{
    return TAILQ_FIRST(&inflight->oldest_first);
}

void plugin_inflight_remove(struct plugin_inflight *inflight, struct plugin_inflight_item *item)
{
    hash_remove(&inflight->by_id, &item->node);
    TAILQ_REMOVE(&inflight->oldest_first, item, link);
    inflight->bytes -= item->bytes;
    free(item);
}
