/* seq_set - see the header. */
#include "broker/seq_set.h"

#include <stdlib.h>
#include <string.h>

/* A device: past it, clients drop what comes again. 32 KiB. */
#define SEQS_MAX 4096

/* How many are below seq. */
static uint32_t below(const struct seq_set *set, uint64_t seq)
{
    uint32_t low = 0, high = set->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (set->seqs[middle] < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool seq_set_has(const struct seq_set *set, uint64_t seq)
{
    uint32_t at = below(set, seq);

    return at < set->count && set->seqs[at] == seq;
}

static void forget(struct seq_set *set, uint64_t cursor)
{
    uint32_t passed = below(set, cursor + 1);

    if (passed == 0)
        return;
    set->count -= passed;
    memmove(set->seqs, set->seqs + passed, set->count * sizeof(*set->seqs));
}

void seq_set_add(struct seq_set *set, uint64_t seq, uint64_t cursor)
{
    uint64_t *seqs;
    uint32_t at;

    forget(set, cursor);
    if (seq <= cursor || set->count >= SEQS_MAX || seq_set_has(set, seq))
        return;
    seqs = realloc(set->seqs, (set->count + 1u) * sizeof(*seqs));
    if (!seqs)
        return;
    set->seqs = seqs;
    at = below(set, seq);
    memmove(seqs + at + 1, seqs + at, (set->count - at) * sizeof(*seqs));
    seqs[at] = seq;
    set->count++;
}

void seq_set_clear(struct seq_set *set)
{
    free(set->seqs);
    *set = (struct seq_set){0};
}
