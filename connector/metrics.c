#include "common/log.h"

#include "connector/connector.h"

void metrics_log(const struct metrics *metrics)
{
    char text[4096];
    size_t used = 0;

#define METRIC(name, help)                                                                         \
    if (used < sizeof(text))                                                                       \
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s" #name "=%llu",             \
                                 used == 0 ? "" : " ", (unsigned long long)metrics->name);
#include "connector/metrics.def"
#undef METRIC
    log_info(NULL, "counters: %s", text);
}
