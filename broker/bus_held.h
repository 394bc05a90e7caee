/* bus_held - frames of a newer view than ours: they wait until that view is read and in force.
 * Owned by their peer. Used by bus.c only. */
#ifndef BECKON_BROKER_BUS_HELD_H
#define BECKON_BROKER_BUS_HELD_H

#include "common/bytes.h"
#include "common/err.h"

#include <stddef.h>
#include <sys/queue.h>

struct held_frame {
    STAILQ_ENTRY(held_frame) link;
    size_t len;
    uint8_t data[];
};

struct held_frames {
    STAILQ_HEAD(held_list, held_frame) list; /* oldest first */
    size_t bytes;
};

void held_init(struct held_frames *held);
/* Copies frame. ERR_FULL, ERR_NO_MEMORY: the link can't be kept. */
MUST_CHECK int held_add(struct held_frames *held, struct bytes frame);
/* The oldest, taken out: the caller frees it. NULL when there is none. */
struct held_frame *held_take(struct held_frames *held);
void held_fini(struct held_frames *held);

#endif
