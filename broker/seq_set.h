/* seq_set - a few sequences of one inbox beyond a cursor: what a device has, or was shown, ahead of
 * something that is still missing. A sorted array, because there are hardly ever more than a window
 * of them. Loop thread. */
#ifndef BECKON_BROKER_SEQ_SET_H
#define BECKON_BROKER_SEQ_SET_H

#include <stdbool.h>
#include <stdint.h>

/* All zero is empty. */
struct seq_set {
    uint64_t *seqs; /* ascending */
    uint32_t count;
};

bool seq_set_has(const struct seq_set *set, uint64_t seq);
/* Adds seq, and forgets what the cursor has passed. Out of memory, or when there are too many, it
 * is not added: the device gets it again, with the same id. */
void seq_set_add(struct seq_set *set, uint64_t seq, uint64_t cursor);
void seq_set_clear(struct seq_set *set);

#endif
