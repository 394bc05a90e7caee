#include "bench/load/arrivals.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64
/* First allocation: the messages of a short run. */
#define FIRST_WORDS 16

/* Sets a bit. 1 when it was not set, 0 when it was; ERR_NO_MEMORY. */
static int bits_set(struct bits *bits, uint64_t index)
{
    size_t word = index / WORD_BITS;
    uint64_t mask = 1ull << index % WORD_BITS;

    if (word >= bits->word_count) {
        size_t count = bits->word_count > 0 ? bits->word_count * 2 : FIRST_WORDS;
        uint64_t *words;

        if (count <= word)
            count = word + 1;
        words = reallocarray(bits->words, count, sizeof(*words));
        if (words == NULL)
            return ERR_NO_MEMORY;
        memset(words + bits->word_count, 0, (count - bits->word_count) * sizeof(*words));
        bits->words = words;
        bits->word_count = count;
    }
    if ((bits->words[word] & mask) != 0)
        return 0;
    bits->words[word] |= mask;
    return 1;
}

int arrivals_accepted(struct arrivals *arrivals, uint64_t seq)
{
    int r = bits_set(&arrivals->accepted, seq);

    return r < 0 ? r : 0;
}

int arrivals_arrived(struct arrivals *arrivals, uint64_t seq)
{
    int first = bits_set(&arrivals->arrived, seq);

    if (first < 0)
        return first;
    if (first == 0)
        arrivals->doubled++;
    else if (seq < arrivals->next_seq)
        arrivals->swapped++;
    if (seq >= arrivals->next_seq)
        arrivals->next_seq = seq + 1;
    arrivals->arrived_count += (uint64_t)first;
    return first;
}

uint64_t arrivals_lost(const struct arrivals *arrivals)
{
    uint64_t lost = 0;

    for (size_t i = 0; i < arrivals->accepted.word_count; i++) {
        uint64_t arrived = i < arrivals->arrived.word_count ? arrivals->arrived.words[i] : 0;

        lost += (uint64_t)__builtin_popcountll(arrivals->accepted.words[i] & ~arrived);
    }
    return lost;
}

void tally_add(struct tally *tally, const struct arrivals *arrivals)
{
    tally->lost += arrivals_lost(arrivals);
    tally->doubled += arrivals->doubled;
    tally->swapped += arrivals->swapped;
}

void arrivals_fini(struct arrivals *arrivals)
{
    free(arrivals->accepted.words);
    free(arrivals->arrived.words);
    *arrivals = (struct arrivals){0};
}
