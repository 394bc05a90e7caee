/* expiry - Session Expiry Intervals and Will Delays between seconds left, as the wire and MQTT 5
 * (section 3.1.2.11.2) have them, and moments of the loop's clock. UINT32_MAX seconds and
 * UINT64_MAX milliseconds are "never". */
#ifndef BECKON_CONNECTOR_EXPIRY_H
#define BECKON_CONNECTOR_EXPIRY_H

#include <stdint.h>

static inline uint64_t expiry_at_ms(uint64_t now_ms, uint32_t left_s)
{
    return left_s == UINT32_MAX ? UINT64_MAX : now_ms + (uint64_t)left_s * 1000;
}

/* Rounded up: what waits for it must not come early. */
static inline uint32_t expiry_left_s(uint64_t at_ms, uint64_t now_ms)
{
    uint64_t left_s;

    if (at_ms == UINT64_MAX)
        return UINT32_MAX;
    left_s = at_ms > now_ms ? (at_ms - now_ms + 999) / 1000 : 0;
    return left_s < UINT32_MAX ? (uint32_t)left_s : UINT32_MAX - 1;
}

#endif
