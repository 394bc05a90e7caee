/* device_rules - what the control door said about single device tokens.
 * Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_DEVICE_RULES_H
#define BECKON_APNS_SIMULATOR_DEVICE_RULES_H

#include "answer.h"
#include "json_fields.h"

struct device_rules;

/* A bundle id with suffix; Apple allows 155 characters. */
#define DEVICE_TOPIC_MAX 255
/* "development" and "production". */
#define DEVICE_ENVIRONMENT_MAX 15

struct device_rule {
    struct answer answer;                         /* status 0: judged as usual */
    char topic[DEVICE_TOPIC_MAX + 1];             /* the only one it is good for; "" any */
    char environment[DEVICE_ENVIRONMENT_MAX + 1]; /* likewise */
};

/* Returns owned, NULL when out of memory. */
struct device_rules *device_rules_create(void);
void device_rules_destroy(struct device_rules *rules);
/* Device tokens are the same in upper and in lower case. Replaces what was said before. 0; ERR_FULL
 * (100,000 of them); ERR_NO_MEMORY. */
MUST_CHECK int device_rules_put(struct device_rules *rules, const char *device,
                                const struct device_rule *rule);
/* 0 or ERR_NOT_FOUND. */
MUST_CHECK int device_rules_remove(struct device_rules *rules, const char *device);
/* NULL when nothing was said about it. Valid until rules change. */
const struct device_rule *device_rules_find(const struct device_rules *rules, const char *device);

/* Reads the body of PUT /tokens/HEX. now_ms becomes the timestamp of a 410 that has none: Apple
 * always tells one. 0; ERR_INVALID with ret_problem. */
MUST_CHECK int device_rule_read(const char *text, size_t len, uint64_t now_ms,
                                struct device_rule *ret_rule, struct json_problem *ret_problem);

#endif
