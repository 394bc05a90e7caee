/* pending - deliveries that the plugin did not take (its deliver returned -1), oldest first, until
 * it does. The broker's limit of deliveries in flight bounds them. Loop thread. */
#ifndef BECKON_PLUGIN_HOST_PENDING_H
#define BECKON_PLUGIN_HOST_PENDING_H

#include "common/bytes.h"
#include "common/err.h"

#include <sys/queue.h>

struct pending_item {
    TAILQ_ENTRY(pending_item) link;
    uint64_t id;
    uint32_t len;
    uint8_t record[]; /* as it came: its length, its type, its fields */
};
TAILQ_HEAD(pending, pending_item);

void pending_init(struct pending *pending);
void pending_fini(struct pending *pending);
/* Copies record. 0 or ERR_NO_MEMORY. */
MUST_CHECK int pending_add(struct pending *pending, uint64_t id, struct bytes record);
/* False when id is not pending. */
bool pending_remove(struct pending *pending, uint64_t id);
void pending_drop(struct pending *pending, struct pending_item *item);

#endif
