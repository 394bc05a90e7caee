/* behaviour - read through a table of keys into a fresh struct, which replaces the old one whole:
 * what a body does not name is undone, and a bad body changes nothing. */
#include "behaviour.h"

#include <stdio.h>
#include <string.h>

#include "common/auto.h"

/* Ten minutes: longer than any client waits. */
#define DELAY_MAX_MS 600000
#define RETRY_AFTER_MAX_S 86400
#define STREAMS_MAX INT32_MAX /* what SETTINGS can say and nghttp2 can count */

int behaviour_read(const char *text, size_t len, struct behaviour *ret_behaviour,
                   struct json_problem *ret_problem)
{
    struct behaviour read = {0};
    struct answer *answer = &read.answer;
    uint64_t status = 0;
    const struct json_field fields[] = {
        {"delay_ms", FIELD_UINT, &read.delay_ms, NULL, 0, DELAY_MAX_MS},
        {"status", FIELD_UINT, &status, NULL, 200, 599},
        {"reason", FIELD_TEXT, answer->reason, NULL, 0, REASON_TEXT_MAX},
        {"retry_after", FIELD_UINT, &answer->retry_after_s, NULL, 0, RETRY_AFTER_MAX_S},
        {"goaway_after", FIELD_UINT, &read.goaway_after, NULL, 1, UINT32_MAX},
        {"drop_connections", FIELD_BOOL, &read.drop_connections, NULL, 0, 0},
        {"max_concurrent_streams", FIELD_UINT, &read.max_concurrent_streams, &read.limits_streams,
         0, STREAMS_MAX},
        {"hang", FIELD_BOOL, &read.hang, NULL, 0, 0},
    };
    int r = json_fields_read(text, len, fields, ARRAY_LEN(fields), ret_problem);

    if (r < 0)
        return r;
    answer->status = (unsigned)status;
    snprintf(read.goaway_reason, sizeof(read.goaway_reason), "%s",
             answer->reason[0] != '\0' ? answer->reason : reason_text(REASON_SHUTDOWN));
    /* Without a status the reason is only GOAWAY's. */
    if (read.goaway_after != 0 && answer->status == 0)
        answer->reason[0] = '\0';
    r = answer_complete(answer, ret_problem);
    if (r < 0)
        return r;
    if (answer->retry_after_s != 0 && (answer->status == 0 || answer_accepts(answer)))
        return json_problem_set(ret_problem, "retry_after",
                                "\"retry_after\" needs a \"status\" that refuses");
    *ret_behaviour = read;
    return 0;
}
