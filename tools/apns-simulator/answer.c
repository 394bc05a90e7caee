/* answer - from a reason to an answer, and from half of one to all of it. */
#include "answer.h"

#include <stdio.h>

struct answer answer_of(enum reason reason)
{
    struct answer answer = {.status = reason_status(reason)};

    snprintf(answer.reason, sizeof(answer.reason), "%s", reason_text(reason));
    return answer;
}

int answer_complete(struct answer *answer, struct json_problem *ret_problem)
{
    enum reason reason;

    if (answer->status == 0 && answer->reason[0] != '\0') {
        if (reason_find(answer->reason, &reason) < 0)
            return json_problem_set(ret_problem, "reason",
                                    "\"reason\" is none of Apple's, so \"status\" must be given");
        answer->status = reason_status(reason);
    }
    if (answer->status == 200 && answer->reason[0] != '\0')
        return json_problem_set(ret_problem, "reason", "status 200 has no \"reason\"");
    if (answer->status != 0 && answer->status != 200 && answer->reason[0] == '\0')
        return json_problem_set(ret_problem, "status", "a \"status\" but 200 needs a \"reason\"");
    return 0;
}
