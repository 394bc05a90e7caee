/* inflight - a ring of 64-bit entries: seq << 1 | acknowledged.
 *
 * Sorted, because deliveries come in ascending order (an insertion elsewhere than at the end moves
 * what is behind it, and is rare). Entries acknowledged behind an older unacknowledged one stay, so
 * that they can be reported and a repeated delivery recognised; they go when the gap closes. */
#include "connector/inflight.h"

#include <assert.h>
#include <stdlib.h>

/* Eight deliveries fit the first allocation: one cache line, served from malloc's free list. */
#define FIRST_ENTRIES 8
#define ACKNOWLEDGED 1u
#define ID_MODULUS 65534 /* identifiers 1 to 65534 */

static uint64_t *entry_at(const struct inflight *inflight, unsigned i)
{
    return &inflight->entries[(inflight->head + i) & inflight->mask];
}

uint16_t inflight_packet_id(uint64_t seq, bool notification)
{
    return (uint16_t)(1 + (2 * seq + (notification ? 1 : 0)) % ID_MODULUS);
}

bool inflight_is_notification(uint16_t packet_id)
{
    return (packet_id - 1) % 2 == 1;
}

static uint16_t entry_packet_id(uint64_t entry, bool notification)
{
    return inflight_packet_id(entry >> 1, notification);
}

void inflight_fini(struct inflight *inflight)
{
    free(inflight->entries);
    inflight->entries = NULL;
    inflight->head = inflight->count = inflight->mask = inflight->open = 0;
}

static int grow(struct inflight *inflight)
{
    unsigned capacity = inflight->entries == NULL ? 0 : inflight->mask + 1u;
    unsigned wanted = capacity == 0 ? FIRST_ENTRIES : capacity * 2;
    uint64_t *entries;

    if (wanted > INFLIGHT_MAX)
        return ERR_FULL;
    entries = malloc(wanted * sizeof(*entries));
    if (entries == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < inflight->count; i++)
        entries[i] = *entry_at(inflight, i);
    free(inflight->entries);
    inflight->entries = entries;
    inflight->head = 0;
    inflight->mask = (uint16_t)(wanted - 1);
    return 0;
}

int inflight_add(struct inflight *inflight, uint64_t seq)
{
    uint64_t entry = seq << 1;
    unsigned at = inflight->count;
    int r;

    while (at > 0 && *entry_at(inflight, at - 1) >= entry) {
        if ((*entry_at(inflight, at - 1) & ~(uint64_t)ACKNOWLEDGED) == entry)
            return ERR_EXISTS;
        at--;
    }
    if (inflight->entries == NULL || inflight->count > inflight->mask) {
        r = grow(inflight);
        if (r < 0)
            return r;
    }
    for (unsigned i = inflight->count; i > at; i--)
        *entry_at(inflight, i) = *entry_at(inflight, i - 1);
    *entry_at(inflight, at) = entry;
    inflight->count++;
    inflight->open++;
    return 0;
}

static void drop_acknowledged_head(struct inflight *inflight)
{
    while (inflight->count > 0 && (*entry_at(inflight, 0) & ACKNOWLEDGED) != 0) {
        uint64_t seq = *entry_at(inflight, 0) >> 1;

        if (seq > inflight->acked_seq)
            inflight->acked_seq = seq;
        inflight->head = (uint16_t)((inflight->head + 1u) & inflight->mask);
        inflight->count--;
    }
    if (inflight->count == 0)
        inflight_fini(inflight);
}

int inflight_ack(struct inflight *inflight, bool notification, uint16_t packet_id)
{
    for (unsigned i = 0; i < inflight->count; i++) {
        uint64_t *entry = entry_at(inflight, i);

        if (entry_packet_id(*entry, notification) != packet_id || (*entry & ACKNOWLEDGED) != 0)
            continue;
        *entry |= ACKNOWLEDGED;
        inflight->open--;
        if (i == 0)
            drop_acknowledged_head(inflight);
        return 0;
    }
    return ERR_NOT_FOUND;
}

uint16_t inflight_list(const struct inflight *inflight, bool acknowledged, uint64_t *seqs)
{
    uint16_t count = 0;

    assert(inflight->count <= INFLIGHT_MAX);
    for (unsigned i = 0; i < inflight->count; i++) {
        uint64_t entry = *entry_at(inflight, i);

        if (((entry & ACKNOWLEDGED) != 0) == acknowledged)
            seqs[count++] = entry >> 1;
    }
    return count;
}
