/* judge - one request from its first rule to its answer.
 *
 * Apple does not say which of several mistakes it tells; here it is: method and path, repeated
 * headers, provider token, device token, headers, payload, and only then what the control door
 * asked for. No I/O; the clock is an argument. */
#ifndef BECKON_APNS_SIMULATOR_JUDGE_H
#define BECKON_APNS_SIMULATOR_JUDGE_H

#include "behaviour.h"
#include "device_rules.h"
#include "provider_auth.h"
#include "request.h"

#include <libconfig.h>

/* What does not change from request to request. All borrowed. */
struct judge {
    struct provider_auth *auth;
    const config_setting_t *topics; /* NULL: any */
    const char *environment;        /* "development" or "production" */
    const struct device_rules *rules;
    const struct behaviour *behaviour;
};

struct verdict {
    struct answer answer;
    const char *device; /* inside the request; "" when the path had none */
    json_t *payload;    /* owned; NULL when the body is no JSON object */
};

/* session: of the request's connection. now_s: seconds since the epoch. */
struct verdict judge_request(const struct judge *judge, struct provider_session *session,
                             const struct request *request, uint64_t now_s);
void verdict_fini(struct verdict *verdict);

#endif
