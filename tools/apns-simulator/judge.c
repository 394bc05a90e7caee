/* judge - the sequence of checks; the first reason ends it. Dominated by the signature of a token
 * that its connection has not brought before, about 100 µs, and by parsing the payload. */
#include "judge.h"

#include <string.h>

#include "rules.h"

static enum reason check_rules(const struct judge *judge, struct provider_session *session,
                               const struct request *request, uint64_t now_s,
                               struct verdict *verdict)
{
    enum reason reason = rules_check_target(request, &verdict->device);

    if (verdict->device == NULL)
        verdict->device = "";
    if (reason == REASON_NONE)
        reason = provider_auth_check(judge->auth, session, request->authorization, now_s);
    if (reason == REASON_NONE)
        reason = rules_check_device(verdict->device);
    if (reason == REASON_NONE)
        reason = rules_check_headers(request, judge->topics);
    if (reason == REASON_NONE)
        reason = rules_check_payload(request, verdict->payload);
    return reason;
}

/* What is known of the device token, as Apple's databases would. */
static struct answer answer_for_device(const struct judge *judge, const struct request *request,
                                       const char *device)
{
    const struct device_rule *rule = device_rules_find(judge->rules, device);

    if (rule == NULL)
        return answer_of(REASON_NONE);
    if (rule->environment[0] != '\0' && strcmp(rule->environment, judge->environment) != 0)
        return answer_of(REASON_BAD_DEVICE_TOKEN);
    if (rule->topic[0] != '\0' &&
        strcmp(rule->topic, request_apns_header(request, "apns-topic")) != 0)
        return answer_of(REASON_DEVICE_TOKEN_NOT_FOR_TOPIC);
    return rule->answer.status != 0 ? rule->answer : answer_of(REASON_NONE);
}

struct verdict judge_request(const struct judge *judge, struct provider_session *session,
                             const struct request *request, uint64_t now_s)
{
    struct verdict verdict = {.payload = rules_parse_payload(request)};
    enum reason reason = check_rules(judge, session, request, now_s, &verdict);

    if (judge->behaviour->hang)
        verdict.answer = (struct answer){0};
    else if (reason != REASON_NONE)
        verdict.answer = answer_of(reason);
    else if (judge->behaviour->answer.status != 0)
        verdict.answer = judge->behaviour->answer;
    else
        verdict.answer = answer_for_device(judge, request, verdict.device);
    return verdict;
}

void verdict_fini(struct verdict *verdict)
{
    json_decref(verdict->payload);
}
