/* behaviour - what the control door asked the simulator to do to everybody.
 * Pure. */
#ifndef BECKON_APNS_SIMULATOR_BEHAVIOUR_H
#define BECKON_APNS_SIMULATOR_BEHAVIOUR_H

#include "answer.h"
#include "json_fields.h"

struct behaviour {
    uint64_t delay_ms;     /* before each answer */
    struct answer answer;  /* for every request that breaks no rule; status 0: judged as usual */
    uint64_t goaway_after; /* answers on a connection; 0: no end */
    char goaway_reason[REASON_TEXT_MAX + 1];
    bool drop_connections; /* those there are, and each new one */
    bool hang;             /* requests are taken and never answered */
    bool limits_streams;
    uint64_t max_concurrent_streams; /* instead of the configured number, if limits_streams */
};

/* Reads the body of PUT /behaviour. 0; ERR_INVALID with ret_problem; ret_behaviour untouched then.
 */
MUST_CHECK int behaviour_read(const char *text, size_t len, struct behaviour *ret_behaviour,
                              struct json_problem *ret_problem);

#endif
