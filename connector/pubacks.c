/* pubacks - see the header. In the ordinary case the oldest is answered first and every step is
 * O(1). */
#include "connector/pubacks.h"

#include <stdlib.h>

#define FIRST_CAPACITY 4   /* most clients wait for each PUBACK before the next PUBLISH */
#define MAX_CAPACITY 32768 /* indexes are 16 bits */

static struct puback_owed *at(struct pubacks *pubacks, uint32_t index)
{
    return &pubacks->ring[(pubacks->head + index) & pubacks->mask];
}

/* The ring with room for one more, or NULL. The old one is freed on success only. */
static struct pubacks *grown(struct pubacks *old)
{
    uint32_t capacity = old != NULL ? 2 * (old->mask + 1u) : FIRST_CAPACITY;
    struct pubacks *pubacks;

    if (capacity > MAX_CAPACITY)
        return NULL;
    pubacks = malloc(sizeof(*pubacks) + capacity * sizeof(pubacks->ring[0]));
    if (pubacks == NULL)
        return NULL;
    pubacks->first = old != NULL ? old->first : 0;
    pubacks->count = pubacks_count(old);
    pubacks->head = 0;
    pubacks->mask = (uint16_t)(capacity - 1);
    for (uint32_t i = 0; i < pubacks->count; i++)
        pubacks->ring[i] = *at(old, i);
    free(old);
    return pubacks;
}

int pubacks_expect(struct pubacks **pubacks, uint16_t packet_id, uint32_t *ret_position)
{
    struct pubacks *p = *pubacks;

    if (p == NULL || p->count == p->mask + 1u) {
        p = grown(p);
        if (p == NULL)
            return ERR_NO_MEMORY;
        *pubacks = p;
    }
    *at(p, p->count) = (struct puback_owed){.packet_id = packet_id};
    *ret_position = p->first + p->count++;
    return 0;
}

bool pubacks_owes(const struct pubacks *pubacks, uint16_t packet_id)
{
    for (uint32_t i = 0; i < pubacks_count(pubacks); i++) {
        if (pubacks->ring[(pubacks->head + i) & pubacks->mask].packet_id == packet_id)
            return true;
    }
    return false;
}

void pubacks_answer(struct pubacks *pubacks, uint32_t position, uint8_t reason, const char *text)
{
    struct puback_owed *owed;

    if (pubacks == NULL || position - pubacks->first >= pubacks->count)
        return; /* answered before */
    owed = at(pubacks, position - pubacks->first);
    owed->reason = reason;
    owed->text = text;
    owed->answered = true;
}

bool pubacks_next(struct pubacks **pubacks, struct puback_owed *ret_owed)
{
    struct pubacks *p = *pubacks;

    if (p == NULL || !at(p, 0)->answered)
        return false;
    *ret_owed = *at(p, 0);
    p->head = (uint16_t)((p->head + 1) & p->mask);
    p->first++;
    if (--p->count == 0) {
        free(p); /* an idle connection owns no ring */
        *pubacks = NULL;
    }
    return true;
}
