/* trace - see the header. */
#include "broker/trace.h"

#include "broker/broker.h"
#include "broker/store.h"
#include "common/utf8.h"

#include <stdio.h>

/* A plugin's word, cut where it is too long. What is no UTF-8 then (or before) the database would
 * refuse, and everything else of its batch with it. */
static void copy_text(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text);
    for (char *c = to; !utf8_valid(bytes_of_string(to)) && *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
}

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
    copy_text(row->step, sizeof(row->step), step);
    copy_text(row->reason, sizeof(row->reason), reason);
}
