/* plugin_inflight - the deliveries that one hosted plugin has taken and not answered: found by id,
 * and oldest first, because all have the same time to be answered. Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_INFLIGHT_H
#define BECKON_BROKER_PLUGIN_INFLIGHT_H

#include "common/err.h"
#include "common/hash.h"

#include <sys/queue.h>

struct plugin_inflight_item {
    struct hash_node node;
    TAILQ_ENTRY(plugin_inflight_item) link;
    uint64_t id;
    uint64_t since_ms; /* monotonic */
    size_t bytes;      /* what it takes on the link */
    bool cancelled;    /* the plugin was told */
};

struct plugin_inflight {
    struct hash by_id;
    TAILQ_HEAD(, plugin_inflight_item) oldest_first;
    size_t bytes; /* of all */
};

void plugin_inflight_init(struct plugin_inflight *inflight);
void plugin_inflight_fini(struct plugin_inflight *inflight);
size_t plugin_inflight_count(const struct plugin_inflight *inflight);
/* ERR_EXISTS, ERR_NO_MEMORY. */
MUST_CHECK int plugin_inflight_add(struct plugin_inflight *inflight, uint64_t id, uint64_t now_ms,
                                   size_t bytes);
/* NULL when it is not in flight. */
struct plugin_inflight_item *plugin_inflight_find(const struct plugin_inflight *inflight,
                                                  uint64_t id);
/* NULL when there is none. */
struct plugin_inflight_item *plugin_inflight_oldest(const struct plugin_inflight *inflight);
void plugin_inflight_remove(struct plugin_inflight *inflight, struct plugin_inflight_item *item);

#endif
