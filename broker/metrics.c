/* metrics - the broker's counters for people: one line in the log (SIGUSR1). */
#include "broker/broker.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdio.h>

void metrics_log(const struct metrics *metrics)
{
    static const struct {
        const char *name;
        size_t offset;
    } table[] = {
#define METRIC(name, help) {#name, offsetof(struct metrics, name)},
#include "broker/metrics.def"
#undef METRIC
    };
    char line[4096]; /* as much as the log takes */
    size_t len = 0;

    for (size_t i = 0; i < ARRAY_LEN(table) && len < sizeof(line); i++) {
        uint64_t value = *(const uint64_t *)(const void *)((const char *)metrics + table[i].offset);
        int n = snprintf(line + len, sizeof(line) - len, "%s%s=%llu", len > 0 ? " " : "",
                         table[i].name, (unsigned long long)value);

        len += n > 0 ? (size_t)n : 0;
    }
    log_info(NULL, "counters %s", line);
}
