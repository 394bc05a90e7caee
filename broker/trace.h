/* trace - why a message went the way it went: what departs from the ordinary, a row each.
 *
 * Rows wait in memory for the next batch and are written with the cursors; when the database is
 * away for long, the oldest are dropped (and counted): messages are never held up for their trace.
 * Loop thread. */
#ifndef BECKON_BROKER_TRACE_H
#define BECKON_BROKER_TRACE_H

#include "broker/device.h"

#define TRACE_STEP_SIZE 33   /* a plugin's name */
#define TRACE_REASON_SIZE 48 /* reasons are short words */

struct trace_row {
    uint64_t user_no, device_no, seq, at_ms, took_ms;
    char step[TRACE_STEP_SIZE];
    char reason[TRACE_REASON_SIZE];
    const char *outcome; /* constant */
};

/* step: plugin, "" where none was concerned. outcome: a constant. */
void trace_add(struct broker *broker, const struct device *device, uint64_t seq, const char *step,
               const char *outcome, const char *reason, uint64_t took_ms);

#endif
