/* held - see the header. A list, an allocation each; the list itself goes with its last element. */
#include "connector/held.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

struct delivery {
    STAILQ_ENTRY(delivery) link;
    uint64_t seq;
    uint32_t len;
    bool dup, notification;
    uint8_t body[];
};

struct held {
    STAILQ_HEAD(, delivery) list;
    size_t bytes;
};

int held_add(struct held **held, const struct wire_deliver *deliver, size_t max_bytes)
{
    size_t size = sizeof(struct delivery) + deliver->encoded_body.len;
    struct delivery *copy;

    if ((*held != NULL ? (*held)->bytes : 0) + size > max_bytes)
        return ERR_FULL;
    copy = malloc(size);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    if (*held == NULL) {
        *held = malloc(sizeof(**held));
        if (*held == NULL) {
            free(copy);
            return ERR_NO_MEMORY;
        }
        STAILQ_INIT(&(*held)->list);
        (*held)->bytes = 0;
    }
    copy->seq = deliver->seq;
    copy->len = deliver->encoded_body.len;
    copy->dup = deliver->dup;
    copy->notification = deliver->notification;
    memcpy(copy->body, deliver->encoded_body.data, copy->len);
    STAILQ_INSERT_TAIL(&(*held)->list, copy, link);
    (*held)->bytes += size;
    return 0;
}

void *held_take(struct held **held, struct wire_deliver *ret_deliver)
{
    struct delivery *oldest;
    struct bytes body;
    int r;

    if (*held == NULL)
        return NULL;
    oldest = STAILQ_FIRST(&(*held)->list);
    STAILQ_REMOVE_HEAD(&(*held)->list, link);
    (*held)->bytes -= sizeof(*oldest) + oldest->len;
    if (STAILQ_EMPTY(&(*held)->list)) {
        free(*held);
        *held = NULL;
    }
    body = bytes_of(oldest->body, oldest->len);
    *ret_deliver = (struct wire_deliver){.seq = oldest->seq,
                                         .dup = oldest->dup,
                                         .notification = oldest->notification,
                                         .encoded_body = body};
    r = wire_get_body(body, &ret_deliver->body);
    assert(r == 0); /* it was read from the frame */
    (void)r;
    return oldest;
}

void held_drop(struct held **held)
{
    struct delivery *oldest;

    if (*held == NULL)
        return;
    while ((oldest = STAILQ_FIRST(&(*held)->list)) != NULL) {
        STAILQ_REMOVE_HEAD(&(*held)->list, link);
        free(oldest);
    }
    free(*held);
    *held = NULL;
}
