/* alert_fakes - what inbox.c asks of alerts and the trace, for its own test: they
 * remember that they were asked. */
#ifndef BECKON_TESTS_ALERT_FAKES_H
#define BECKON_TESTS_ALERT_FAKES_H

#include "broker/alert.h"
#include "broker/trace.h"

static unsigned alert_runs, traced;
static uint64_t carried; /* a notification with all of that message is in flight */

void alert_run(struct broker *b, struct device *d)
{
    (void)b, (void)d;
    alert_runs++;
}

void alert_destroy(struct broker *b, struct device *d)
{
    (void)b, (void)d;
}

bool alert_carries(const struct device *d, uint64_t seq)
{
    (void)d;
    return carried != 0 && seq == carried;
}

void alert_on_notified(struct device *d, const struct wire_ack *ack)
{
    (void)d, (void)ack;
}

void alert_on_skip(struct device *d, uint64_t seq)
{
    (void)d, (void)seq;
}

void alert_connection_lost(struct device *d)
{
    (void)d;
}

void alert_adopt(struct broker *b, struct device *d, const struct wire_progress *notified)
{
    (void)b, (void)d, (void)notified;
}

void trace_add(struct broker *b, const struct device *d, uint64_t seq, const char *step,
               const char *outcome, const char *reason, uint64_t took_ms)
{
    (void)b, (void)d, (void)seq, (void)step, (void)outcome, (void)reason, (void)took_ms;
    traced++;
}

#endif
