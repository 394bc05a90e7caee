/* ping - the two questions of beckonctl ping. Each waits until timeout_ms has passed at most, then
 * gives up; `et` says in one line what went wrong. Name resolution is not bounded: give addresses
 * where that matters. */
#ifndef BECKONCTL_PING_H
#define BECKONCTL_PING_H

#include "common/curve_key.h"
#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

struct ping_mqtt {
    const char *address;      /* HOST:PORT, [HOST]:PORT for IPv6 */
    const char *user, *token; /* both or neither NULL */
    uint32_t timeout_ms;
};

/* With a token: CONNECT is accepted, so connector, broker and database work. Without: the connector
 * refuses it with 0x86, as it must, so the connector works. 0 or a negative ERR_* with et. */
MUST_CHECK int ping_mqtt(const struct ping_mqtt *ping, struct err_text *et);

struct ping_broker {
    const char *endpoint;
    char server_key[CURVE_KEY_SIZE]; /* "": without keys */
    struct curve_key own;
    uint32_t timeout_ms;
};

/* HELLO is answered with WELCOME; ret_name gets the broker's name (text, cut to fit). */
MUST_CHECK int ping_broker(const struct ping_broker *ping, char *ret_name, size_t name_size,
                           struct err_text *et);

/* Milliseconds on the monotonic clock. */
uint64_t ping_now_ms(void);
/* Until deadline_ms, for poll: 0 when it has passed. */
int ping_left_ms(uint64_t deadline_ms);

#endif
