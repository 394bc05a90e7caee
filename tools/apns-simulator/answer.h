/* answer - what a request is told. A value, copied around. */
#ifndef BECKON_APNS_SIMULATOR_ANSWER_H
#define BECKON_APNS_SIMULATOR_ANSWER_H

#include "json_fields.h"
#include "reason.h"

#include <stdbool.h>
#include <stdint.h>

/* Apple's longest reason has 27 bytes; room for what a test invents. */
#define REASON_TEXT_MAX 63

struct answer {
    unsigned status;                  /* HTTP's; 0: none is ever given */
    char reason[REASON_TEXT_MAX + 1]; /* "" with 200 and 0 */
    uint64_t timestamp_ms;            /* since when a token is dead; 0: not told */
    uint64_t retry_after_s;           /* 0: not told */
};

static inline bool answer_accepts(const struct answer *answer)
{
    return answer->status == 200;
}

/* Apple's own. */
struct answer answer_of(enum reason reason);

/* Status and reason as somebody sent them, each "" or 0 when it did not: fills what follows from
 * the other and refuses what contradicts itself. 0, or ERR_INVALID. */
MUST_CHECK int answer_complete(struct answer *answer, struct json_problem *ret_problem);

#endif
