/* pending - see the header. A cancelled delivery is looked for along the list: a plugin that is
 * full is the exception, and then the list is as long as the broker lets it be. */
#include "plugin-host/pending.h"

#include <stdlib.h>

void pending_init(struct pending *pending)
{
    TAILQ_INIT(pending);
}

void pending_drop(struct pending *pending, struct pending_item *item)
{
    TAILQ_REMOVE(pending, item, link);
    free(item);
}

void pending_fini(struct pending *pending)
{
    struct pending_item *item;

    while ((item = TAILQ_FIRST(pending)))
        pending_drop(pending, item);
}

int pending_add(struct pending *pending, uint64_t id, struct bytes record)
{
    struct pending_item *item = malloc(sizeof(*item) + record.len);

    if (!item)
        return ERR_NO_MEMORY;
    item->id = id;
    item->len = record.len;
    memcpy(item->record, record.data, record.len);
    TAILQ_INSERT_TAIL(pending, item, link);
    return 0;
}

bool pending_remove(struct pending *pending, uint64_t id)
{
    struct pending_item *item;

    TAILQ_FOREACH(item, pending, link)
    {
        if (item->id == id) {
            pending_drop(pending, item);
            return true;
        }
    }
    return false;
}
