/* plugin - see the header. A broker has a handful of plugins: finding one walks the list. */
#include "broker/plugin.h"

#include "broker/broker.h"
#include "broker/delivery.h"
#include "broker/plugin_hosts.h"
#include "broker/plugin_internal.h"
#include "broker/plugin_remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t describe(const void *object, char *buf, size_t size)
{
    return log_kv(buf, size, 0, "plugin", ((const struct plugin *)object)->name);
}

struct log_subject plugin_log(const struct plugin *plugin)
{
    return (struct log_subject){.describe = describe, .object = plugin};
}

int plugins_init(struct broker *broker)
{
    broker->plugins = calloc(1, sizeof(*broker->plugins));
    if (!broker->plugins)
        return ERR_NO_MEMORY;
    STAILQ_INIT(&broker->plugins->list);
    return 0;
}

void plugin_register(struct broker *broker, struct plugin *plugin, const struct plugin_ops *ops,
                     const char *name)
{
    plugin->broker = broker;
    plugin->ops = ops;
    snprintf(plugin->name, sizeof(plugin->name), "%s", name);
    STAILQ_INSERT_TAIL(&broker->plugins->list, plugin, link);
}

struct plugin *plugin_find(struct broker *broker, const char *name)
{
    struct plugin *plugin;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        if (strcmp(plugin->name, name) == 0)
            return plugin;
    }
    return NULL;
}

const char *plugin_name(const struct plugin *plugin)
{
    return plugin->name;
}

uint32_t plugin_flags(const struct plugin *plugin)
{
    return plugin->flags;
}

int plugin_deliver(struct plugin *plugin, const struct dp_delivery *delivery,
                   const struct delivery_source *source)
{
    int r = ERR_AGAIN;

    /* what another plugin reports at its end may be tried on one that is closed already */
    if (!plugin->broker->plugins->closing)
        r = plugin->ops->deliver(plugin, delivery, source);
    if (r < 0)
        plugin->refused = true;
    return r;
}

void plugin_cancel(struct plugin *plugin, uint64_t id)
{
    if (!plugin->broker->plugins->closing)
        plugin->ops->cancel(plugin, id);
}

void plugin_socket_result(struct plugin *plugin, uint64_t id, uint32_t result)
{
    if (plugin->ops->socket_result && !plugin->broker->plugins->closing)
        plugin->ops->socket_result(plugin, id, result);
}

void plugin_tell_ready(struct plugin *plugin)
{
    if (!plugin->refused || plugin->broker->plugins->closing)
        return;
    plugin->refused = false;
    delivery_plugin_ready(plugin->broker, plugin);
}

void plugins_destroy(struct broker *broker)
{
    struct plugin *plugin;

    if (!broker->plugins)
        return;
    broker->plugins->closing = true;
    /* all are closed before one is freed: the outcomes of the end may look for others */
    plugin_hosts_close(broker);
    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        plugin->ops->close(plugin);
    }
    while ((plugin = STAILQ_FIRST(&broker->plugins->list))) {
        STAILQ_REMOVE_HEAD(&broker->plugins->list, link);
        plugin_counters_fini(&plugin->counters);
        plugin->ops->free(plugin);
    }
    plugin_hosts_destroy(broker->plugins->hosts);
    free(broker->plugins);
    broker->plugins = NULL;
}

/* --- for operators --- */

struct each_counter {
    plugin_counter_fn fn;
    void *arg;
    const char *plugin;
};

static void on_counter(void *arg, const char *name, uint64_t value)
{
    struct each_counter *each = arg;

    each->fn(each->arg, each->plugin, name, value);
}

void plugins_each_counter(struct broker *broker, plugin_counter_fn fn, void *arg)
{
    struct plugin *plugin;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        struct each_counter each = {.fn = fn, .arg = arg, .plugin = plugin->name};

        plugin_counters_each(&plugin->counters, on_counter, &each);
    }
}

static bool is_up(const struct plugin *plugin)
{
    return !plugin->ops->up || plugin->ops->up(plugin);
}

void plugins_each_status(struct broker *broker, plugin_status_fn fn, void *arg)
{
    const struct plugin *plugin;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        size_t in_flight = 0;
        uint64_t restarts = 0;

        if (plugin->ops->status)
            plugin->ops->status(plugin, &in_flight, &restarts);
        fn(arg, plugin->name, plugin->hosted, is_up(plugin), in_flight, restarts);
    }
}

bool plugins_ready(struct broker *broker)
{
    const struct plugin *plugin;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        if (!is_up(plugin))
            return false;
    }
    return true;
}

static void on_logged_counter(void *arg, const char *plugin, const char *name, uint64_t value)
{
    struct log_subject s = plugin_log(plugin_find(arg, plugin));

    log_info(&s, "counter %s=%llu", name, (unsigned long long)value);
}

void plugins_log_counters(struct broker *broker)
{
    plugins_each_counter(broker, on_logged_counter, broker);
}
