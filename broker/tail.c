/* tail - the newest committed messages of a person, a ring of references (see user.h). */
#include "broker/user.h"

#include <stdlib.h>

static bool grow(struct tail *tail)
{
    uint32_t cap = tail->cap ? tail->cap * 2 : 8;
    struct message **ring = malloc(cap * sizeof(*ring));

    if (!ring)
        return false;
    for (uint32_t i = 0; i < tail->count; i++)
        ring[i] = tail->ring[(tail->head + i) & (tail->cap - 1)];
    free(tail->ring);
    tail->ring = ring;
    tail->head = 0;
    tail->cap = cap;
    return true;
}

static void pop(struct tail *tail)
{
    struct message *oldest = tail->ring[tail->head];

    tail->bytes -= oldest->body_len;
    tail->head = (tail->head + 1) & (tail->cap - 1);
    tail->count--;
    tail->first_seq++;
    message_unref(oldest);
}

void tail_fini(struct tail *tail)
{
    while (tail->count > 0)
        pop(tail);
    free(tail->ring);
    memset(tail, 0, sizeof(*tail));
}

void tail_append(struct tail *tail, struct message *message)
{
    /* A break in the sequence can't be kept as one run: the older part is read from the database.
     */
    while (tail->count > 0 && tail->first_seq + tail->count != message->seq)
        pop(tail);
    if (tail->count == tail->cap && !grow(tail)) {
        tail_fini(tail); /* out of memory: the database has it */
        return;
    }
    if (tail->count == 0)
        tail->first_seq = message->seq;
    tail->ring[(tail->head + tail->count) & (tail->cap - 1)] = message_ref(message);
    tail->count++;
    tail->bytes += message->body_len;
}

struct message *tail_get(const struct tail *tail, uint64_t seq)
{
    if (tail->count == 0 || seq < tail->first_seq || seq >= tail->first_seq + tail->count)
        return NULL;
    return tail->ring[(tail->head + (uint32_t)(seq - tail->first_seq)) & (tail->cap - 1)];
}

void tail_trim(struct tail *tail, uint64_t before_seq, uint32_t max_messages, size_t max_bytes)
{
    while (tail->count > 0 &&
           (tail->first_seq < before_seq || tail->count > max_messages || tail->bytes > max_bytes))
        pop(tail);
    if (tail->count == 0 && tail->cap > 64)
        tail_fini(tail); /* an idle person keeps no ring of a burst */
}
