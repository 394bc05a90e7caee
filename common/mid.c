/* A connector names every publish, so minting has to be cheap, unique over all connectors without
 * talking to them, and ordered within one. A UUIDv7 is that: milliseconds, a counter within the
 * millisecond, 62 random bits against the other processes. When the counter is used up within one
 * millisecond the timestamp runs ahead of the clock (RFC 9562 allows it, section 6.2) and waits
 * there until the clock has caught up: order is never given up for accuracy.
 *
 * Random bytes are fetched 32 MIDs at a time, because a system call each would cost more than all
 * the rest. One thread; a process that forks may mint on one side only. */
#include "common/mid.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define COUNTER_MAX 0xFFFu /* rand_a has 12 bits */
#define TIME_MAX_MS ((UINT64_C(1) << 48) - 1)
#define RANDOM_PER_MID 8
#define RANDOM_BUF_SIZE 256 /* the most that getrandom is never interrupted in */

static struct {
    uint64_t time_ms;
    uint32_t counter;
    uint8_t random[RANDOM_BUF_SIZE];
    size_t random_left;
} minter;

static const uint8_t *take_random(void)
{
    if (minter.random_left == 0) {
        ssize_t got;
        do
            got = getrandom(minter.random, sizeof(minter.random), 0);
        while (got < 0 && errno == EINTR);
        /* Only a kernel without the call can refuse it. Without randomness two connectors would
         * give one name to two messages, and one of them would be lost. */
        if (got != sizeof(minter.random))
            abort();
        minter.random_left = sizeof(minter.random);
    }
    minter.random_left -= RANDOM_PER_MID;
    return minter.random + minter.random_left;
}

struct mid mid_mint(uint64_t wall_ms)
{
    assert(wall_ms <= TIME_MAX_MS);

    if (wall_ms > minter.time_ms) {
        minter.time_ms = wall_ms;
        minter.counter = 0;
    } else if (minter.counter < COUNTER_MAX) {
        minter.counter++;
    } else {
        minter.time_ms++;
        minter.counter = 0;
    }

    struct mid mid;
    for (unsigned i = 0; i < 6; i++)
        mid.octets[i] = (uint8_t)(minter.time_ms >> (40 - 8 * i));
    mid.octets[6] = (uint8_t)(0x70 | minter.counter >> 8);
    mid.octets[7] = (uint8_t)minter.counter;
    memcpy(mid.octets + 8, take_random(), RANDOM_PER_MID);
    mid.octets[8] = (uint8_t)(0x80 | (mid.octets[8] & 0x3F));
    return mid;
}

uint64_t mid_time_ms(const struct mid *mid)
{
    uint64_t time_ms = 0;

    for (unsigned i = 0; i < 6; i++)
        time_ms = time_ms << 8 | mid->octets[i];
    return time_ms;
}

/* A hyphen stands before these octets. */
static bool after_hyphen(unsigned octet)
{
    return octet == 4 || octet == 6 || octet == 8 || octet == 10;
}

void mid_format(const struct mid *mid, char text[MID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < MID_SIZE; i++) {
        if (after_hyphen(i))
            *text++ = '-';
        *text++ = digits[mid->octets[i] >> 4];
        *text++ = digits[mid->octets[i] & 0xF];
    }
    *text = '\0';
}

static int hex_digit(uint8_t character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

int mid_parse(struct bytes text, struct mid *ret_mid)
{
    struct mid mid;
    const uint8_t *next = text.data;

    if (text.len != MID_TEXT_SIZE - 1)
        return ERR_INVALID;
    for (unsigned i = 0; i < MID_SIZE; i++) {
        if (after_hyphen(i) && *next++ != '-')
            return ERR_INVALID;
        int high = hex_digit(next[0]), low = hex_digit(next[1]);
        if (high < 0 || low < 0)
            return ERR_INVALID;
        mid.octets[i] = (uint8_t)(high << 4 | low);
        next += 2;
    }
    if (mid.octets[6] >> 4 != 7 || mid.octets[8] >> 6 != 2)
        return ERR_INVALID;
    *ret_mid = mid;
    return 0;
}
