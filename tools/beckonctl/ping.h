/* ping - the two questions of beckonctl ping. Each waits until timeout_ms has passed at most, then
 * gives up; `et` says in one line what went wrong. Name resolution is not bounded: give addresses
 * where that matters. */
#ifndef BECKONCTL_PING_H
#define BECKONCTL_PING_H

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

/* HELLO is answered with WELCOME; ret_name gets the broker's name (text, cut to fit). */
MUST_CHECK int ping_broker(const char *endpoint, uint32_t timeout_ms, char *ret_name,
                           size_t name_size, struct err_text *et);

/* Milliseconds on the monotonic clock. */
uint64_t ping_now_ms(void);
/* Until deadline_ms, for poll: 0 when it has passed. */
int ping_left_ms(uint64_t deadline_ms);

#endif
