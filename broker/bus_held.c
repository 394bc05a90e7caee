/* bus_held - see the header. */
#include "broker/bus_held.h"

#include <stdlib.h>
#include <string.h>

/* What a peer may have waiting: eight full frames of a connector. The view is read in milliseconds;
 * a peer that sends more meanwhile announces itself again when the database is back. */
#define HELD_MAX_BYTES (32u * 1024 * 1024)

void held_init(struct held_frames *held)
{
    *held = (struct held_frames){.list = STAILQ_HEAD_INITIALIZER(held->list)};
}

int held_add(struct held_frames *held, struct bytes frame)
{
    struct held_frame *copy;

    if (frame.len > HELD_MAX_BYTES - held->bytes)
        return ERR_FULL;
    copy = malloc(sizeof(*copy) + frame.len);
    if (!copy)
        return ERR_NO_MEMORY;
    copy->len = frame.len;
    memcpy(copy->data, frame.data, frame.len);
    held->bytes += frame.len;
    STAILQ_INSERT_TAIL(&held->list, copy, link);
    return 0;
}

struct held_frame *held_take(struct held_frames *held)
{
    struct held_frame *frame = STAILQ_FIRST(&held->list);

    if (frame) {
        STAILQ_REMOVE_HEAD(&held->list, link);
        held->bytes -= frame->len;
    }
    return frame;
}

void held_fini(struct held_frames *held)
{
    struct held_frame *frame;

    while ((frame = held_take(held)))
        free(frame);
}
