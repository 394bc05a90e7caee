/* trace - see the header. */
#include "broker/trace.h"

#include "broker/broker.h"
#include "broker/store.h"

#include <stdio.h>

void trace_add(struct broker *broker, const struct device *device, uint64_t seq, const char *step,
               const char *outcome, const char *reason, uint64_t took_ms)
{
    struct trace_row *row;

    if (device->no == 0)
        return;
    row = store_trace_row(broker);
    if (!row) {
        broker->metrics.trace_dropped++;
        return;
    }
    *row = (struct trace_row){.user_no = device->user->no,
                              .device_no = device->no,
                              .seq = seq,
                              .at_ms = loop_wall_ms(broker->loop),
                              .took_ms = took_ms,
                              .outcome = outcome};
    snprintf(row->step, sizeof(row->step), "%s", step);
    snprintf(row->reason, sizeof(row->reason), "%s", reason);
}
