#include "connector/device_state.h"

#include "common/wire.h"

#define BACKGROUND "background"

/* Decimal digits, nothing else, at most UINT32_MAX. */
static int parse_seconds(struct bytes text, uint32_t *ret_seconds)
{
    uint64_t seconds = 0;

    if (text.len == 0 || text.len > 10) /* digits of UINT32_MAX */
        return ERR_INVALID;
    for (uint32_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return ERR_INVALID;
        seconds = seconds * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (seconds > UINT32_MAX)
        return ERR_INVALID;
    *ret_seconds = (uint32_t)seconds;
    return 0;
}

int device_state_parse(struct bytes text, uint8_t *ret_state, uint32_t *ret_lease_s)
{
    const uint32_t word = sizeof(BACKGROUND) - 1;
    uint32_t seconds;
    int r;

    if (bytes_equal_string(text, "foreground")) {
        *ret_state = WIRE_FOREGROUND;
        *ret_lease_s = 0;
        return 0;
    }
    if (bytes_equal_string(text, BACKGROUND)) {
        *ret_state = WIRE_BACKGROUND;
        *ret_lease_s = 0;
        return 0;
    }
    if (text.len <= word + 1 || memcmp(text.data, BACKGROUND " ", word + 1) != 0)
        return ERR_INVALID;
    r = parse_seconds(bytes_of(text.data + word + 1, text.len - word - 1), &seconds);
    if (r < 0)
        return r;
    *ret_state = WIRE_BACKGROUND;
    /* "0 seconds" is about to be suspended, which on the wire is not the same as not having said.
     */
    *ret_lease_s = seconds > 0 ? seconds : 1;
    return 0;
}
