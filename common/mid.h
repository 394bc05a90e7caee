/* mid - message ids: UUIDv7 (RFC 9562, section 5.7).
 *
 * The first 48 bits are Unix milliseconds, so a MID names its time and hence its partition. Within
 * one process MIDs are strictly increasing (the 12 bits of rand_a are a counter in the millisecond,
 * method 1 of section 6.2), so the order of minting is the order of MIDs. */
#ifndef BECKON_COMMON_MID_H
#define BECKON_COMMON_MID_H

#include "common/bytes.h"
#include "common/err.h"

#define MID_SIZE 16
#define MID_TEXT_SIZE 37 /* 36 characters and NUL, lower case */

struct mid {
    uint8_t octets[MID_SIZE];
};

/* Mints the next MID of this process. wall_ms that runs backwards is held at the newest seen. */
struct mid mid_mint(uint64_t wall_ms);
/* Milliseconds since the epoch. */
uint64_t mid_time_ms(const struct mid *mid);
void mid_format(const struct mid *mid, char text[MID_TEXT_SIZE]);
/* Accepts the 36-character form in either case, version 7 and variant 10 only. 0 or ERR_INVALID. */
MUST_CHECK int mid_parse(struct bytes text, struct mid *ret_mid);

#endif
