/* http_status - healthz, readyz and metrics. */
#include "broker/http.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/http_api.h"
#include "broker/janitor.h"
#include "broker/others.h"
#include "broker/ownership.h"
#include "broker/plugin.h"
#include "broker/store.h"
#include "broker/user.h"
#include "common/auto.h"
#include "common/buf.h"

#include <dirent.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The loop turns: that is all this says, and all that a restart would mend. */
void http_healthz(struct http_call *call)
{
    http_reply(call, MHD_HTTP_OK, "text/plain", strdup("ok\n"));
}

void http_readyz(struct http_call *call)
{
    struct broker *broker = call->broker;
    bool database = store_answers(broker->store), plugins = plugins_ready(broker);
    bool door = broker->bus != NULL, member = !broker->suspended;
    bool ready = database && plugins && door && member;

    http_reply_json(call, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                    json_pack("{s:b,s:b,s:b,s:b,s:b}", "ready", ready, "database", database,
                              "plugins", plugins, "connectors_door", door, "member", member));
}

/* --- OpenMetrics 1.0 --- */

static void line(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct buf *out, const char *format, ...)
{
    char text[512];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_put(out, text, len < 0 ? 0 : (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    line(out, "# TYPE beckon_broker_%s counter\n# HELP beckon_broker_%s %s\n", name, name, help);
    line(out, "beckon_broker_%s_total %llu\n", name, (unsigned long long)value);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    line(out, "# TYPE %s gauge\n# HELP %s %s\n%s %.17g\n", name, name, help, name, value);
}

static void put_counters(struct buf *out, const struct metrics *metrics)
{
#define METRIC(name, help) counter(out, #name, help, metrics->name);
#include "broker/metrics.def"
#undef METRIC
}

static void put_retention(struct buf *out, const struct janitor_state *state)
{
    gauge(out, "beckon_broker_inbox_oldest_seconds",
          "age of the oldest partition of the inbox, by its beginning",
          (double)state->oldest_ms / 1000);
    gauge(out, "beckon_broker_partitions_ahead_seconds",
          "how far partitions are made ahead, of the table that is worst off",
          (double)state->ahead_ms / 1000);
    gauge(out, "beckon_broker_inbox_default_rows",
          "messages in the default partition: wrong clocks; 1000 stands for more",
          (double)state->strays);
}

static void put_gauges(struct buf *out, struct broker *broker)
{
    struct bus_counts counts = bus_counts(broker);

    gauge(out, "beckon_broker_connectors", "connectors linked", counts.connectors);
    gauge(out, "beckon_broker_sessions", "client connections", counts.sessions);
    gauge(out, "beckon_broker_users", "people in memory", (double)users_count(broker));
    gauge(out, "beckon_broker_devices", "devices in memory", (double)broker->devices.count);
    gauge(out, "beckon_broker_generation", "generation of ownership", (double)broker->generation);
    put_retention(out, janitor_state(broker));
    gauge(out, "beckon_broker_oldest_write_seconds",
          "how long the oldest message has waited to be written",
          (double)store_waiting_ms(broker->store) / 1000);
    gauge(out, "beckon_broker_members", "brokers of the installation, this one included",
          ownership_members(broker)->count);
    gauge(out, "beckon_broker_lease_left_seconds",
          "how long this broker is a member for sure; 0: it pushes nothing until its lease is "
          "renewed",
          (double)ownership_lease_left_ms(broker) / 1000);
    gauge(out, "beckon_broker_owned_users", "people in memory whom this broker serves",
          (double)users_owned(broker));
    gauge(out, "beckon_broker_others_linked", "other brokers this one is linked to",
          others_linked(broker));
    gauge(out, "beckon_broker_ready", "1 when the database can be used and the lease is held",
          store_answers(broker->store) && !broker->suspended ? 1 : 0);
}

static void put_plugin_counter(void *arg, const char *plugin, const char *name, uint64_t value)
{
    line(arg, "beckon_plugin_events_total{plugin=\"%s\",event=\"%s\"} %llu\n", plugin, name,
         (unsigned long long)value);
}

static void put_plugin_status(void *arg, const char *plugin, bool hosted, bool up, size_t in_flight,
                              uint64_t restarts)
{
    (void)in_flight, (void)restarts;
    line(arg, "beckon_plugin_up{plugin=\"%s\",hosted=\"%s\"} %d\n", plugin,
         hosted ? "true" : "false", up ? 1 : 0);
}

static void put_plugin_in_flight(void *arg, const char *plugin, bool hosted, bool up,
                                 size_t in_flight, uint64_t restarts)
{
    (void)hosted, (void)up, (void)restarts;
    line(arg, "beckon_plugin_in_flight{plugin=\"%s\"} %zu\n", plugin, in_flight);
}

static void put_plugin_restarts(void *arg, const char *plugin, bool hosted, bool up,
                                size_t in_flight, uint64_t restarts)
{
    (void)hosted, (void)up, (void)in_flight;
    line(arg, "beckon_plugin_restarts_total{plugin=\"%s\"} %llu\n", plugin,
         (unsigned long long)restarts);
}

static void put_plugins(struct buf *out, struct broker *broker)
{
    line(out,
         "# TYPE beckon_plugin_up gauge\n# HELP beckon_plugin_up 1 when it takes deliveries\n");
    plugins_each_status(broker, put_plugin_status, out);
    line(out, "# TYPE beckon_plugin_in_flight gauge\n"
              "# HELP beckon_plugin_in_flight deliveries it has\n");
    plugins_each_status(broker, put_plugin_in_flight, out);
    line(out, "# TYPE beckon_plugin_restarts counter\n"
              "# HELP beckon_plugin_restarts starts of its process after the first\n");
    plugins_each_status(broker, put_plugin_restarts, out);
    line(out, "# TYPE beckon_plugin_events counter\n"
              "# HELP beckon_plugin_events what plugins count themselves\n");
    plugins_each_counter(broker, put_plugin_counter, out);
}

static unsigned open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 3 ? count - 3 : 0; /* ., .. and the folder itself */
}

static void put_process(struct buf *out)
{
    struct rusage usage;
    unsigned long pages = 0;
    FILE *in = fopen("/proc/self/statm", "re");

    getrusage(RUSAGE_SELF, &usage);
    if (in && fscanf(in, "%*u %lu", &pages) != 1)
        pages = 0;
    if (in)
        fclose(in);
    line(out, "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n"
              "# HELP process_cpu_seconds processor time used\n");
    line(out, "process_cpu_seconds_total %.3f\n",
         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    gauge(out, "process_resident_memory_bytes", "memory in use",
          (double)pages * (double)sysconf(_SC_PAGESIZE));
    gauge(out, "process_open_fds", "descriptors in use", open_descriptors());
}

void http_metrics(struct http_call *call)
{
    struct buf out = {0};

    put_counters(&out, &call->broker->metrics);
    put_gauges(&out, call->broker);
    put_plugins(&out, call->broker);
    put_process(&out);
    buf_put(&out, "# EOF\n", sizeof("# EOF\n")); /* with the NUL */
    if (!buf_ok(&out)) {
        buf_release(&out);
        http_reply(call, MHD_HTTP_INTERNAL_SERVER_ERROR, "text/plain", NULL);
        return;
    }
    http_reply(call, MHD_HTTP_OK, "application/openmetrics-text; version=1.0.0; charset=utf-8",
               (char *)out.data);
}
