/* device_state - what a client says about itself: `foreground`, `background`, `background SECONDS`,
 * in me/state and in CONNECT's user property `state`. Pure. */
#ifndef BECKON_CONNECTOR_DEVICE_STATE_H
#define BECKON_CONNECTOR_DEVICE_STATE_H

#include "common/bytes.h"
#include "common/err.h"

/* *ret_state: enum wire_device_state. *ret_lease_s: background time granted by the client's system,
 * 0 = not said. 0 or ERR_INVALID. */
MUST_CHECK int device_state_parse(struct bytes text, uint8_t *ret_state, uint32_t *ret_lease_s);

#endif
