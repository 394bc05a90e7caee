/* plugin_internal - what the ways of running a plugin have in common. For plugin*.c alone. */
#ifndef BECKON_BROKER_PLUGIN_INTERNAL_H
#define BECKON_BROKER_PLUGIN_INTERNAL_H

#include "broker/plugin.h"
#include "common/log.h"
#include "common/timer_wheel.h"
#include "plugin-host/plugin_counters.h"

#include <sys/queue.h>

struct plugin_hosts;

/* How plugin_inline.c and plugin_remote.c do what plugin.h promises. */
struct plugin_ops {
    int (*deliver)(struct plugin *plugin, const struct dp_delivery *delivery,
                   const struct delivery_source *source);
    void (*cancel)(struct plugin *plugin, uint64_t id);
    /* NULL: the plugin has no socket */
    void (*socket_result)(struct plugin *plugin, uint64_t id, uint32_t result);
    /* NULL: it is up as long as the broker is */
    bool (*up)(const struct plugin *plugin);
    void (*status)(const struct plugin *plugin, size_t *ret_in_flight, uint64_t *ret_restarts);
    /* Ends the instance; each delivery in flight is reported. */
    void (*close)(struct plugin *plugin);
    void (*free)(struct plugin *plugin);
};

/* First member of struct plugin_inline and struct plugin_remote. */
struct plugin {
    STAILQ_ENTRY(plugin) link;
    struct broker *broker;
    const struct plugin_ops *ops;
    char name[33];
    uint32_t flags; /* enum dp_plugin_flags */
    bool hosted;
    bool refused; /* plugin_deliver answered ERR_AGAIN since the last delivery_plugin_ready */
    struct plugin_counters counters;
};

struct plugins {
    STAILQ_HEAD(, plugin) list;
    struct plugin_hosts *hosts; /* what the hosted ones share; NULL without any */
    bool closing;
};

/* Makes broker->plugins. ERR_NO_MEMORY. */
MUST_CHECK int plugins_init(struct broker *broker);
/* Sets the common part and puts it into the list. */
void plugin_register(struct broker *broker, struct plugin *plugin, const struct plugin_ops *ops,
                     const char *name);
/* For log lines about it. */
struct log_subject plugin_log(const struct plugin *plugin);
/* Tells the broker once that a plugin which refused takes deliveries again. */
void plugin_tell_ready(struct plugin *plugin);

#endif
