/* reason - why a notification was refused, in Apple's words. No state, any thread. */
#ifndef BECKON_APNS_SIMULATOR_REASON_H
#define BECKON_APNS_SIMULATOR_REASON_H

#include "common/err.h"

enum reason {
    REASON_NONE, /* accepted */
#define REASON(name, status, text) REASON_##name,
#include "reasons.def"
#undef REASON
    REASON_COUNT
};

/* The HTTP status a reason comes with; 200 for REASON_NONE. */
unsigned reason_status(enum reason reason);
/* As it stands in an answer's body; "" for REASON_NONE. */
const char *reason_text(enum reason reason);
/* 0, or ERR_NOT_FOUND: Apple has no such reason. */
MUST_CHECK int reason_find(const char *text, enum reason *ret_reason);

#endif
