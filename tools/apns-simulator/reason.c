/* reason - a table by reason, searched linearly by text: only the control door looks for texts. */
#include "reason.h"

#include <string.h>

static const struct {
    unsigned status;
    const char *text;
} reasons[REASON_COUNT] = {
    [REASON_NONE] = {200, ""},
#define REASON(name, status, text) [REASON_##name] = {status, text},
#include "reasons.def"
#undef REASON
};

unsigned reason_status(enum reason reason)
{
    return reasons[reason].status;
}

const char *reason_text(enum reason reason)
{
    return reasons[reason].text;
}

int reason_find(const char *text, enum reason *ret_reason)
{
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        if (strcmp(reasons[i].text, text) == 0) {
            *ret_reason = (enum reason)i;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}
