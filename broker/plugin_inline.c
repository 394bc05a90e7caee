/* plugin_inline - see the header. */
#include "broker/plugin_inline.h"

#include "broker/broker.h"
#include "broker/delivery.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

/* What a plugin's open may say about its failure. */
#define ERROR_SIZE 384

struct plugin_timer {
    LIST_ENTRY(plugin_timer) link;
    struct timer timer;
    uint64_t id;
    dp_timer_fn fn;
    void *arg;
};

struct plugin_watch {
    LIST_ENTRY(plugin_watch) link;
    int fd;
    loop_id io;
    dp_watch_fn fn;
    void *arg;
};

struct plugin_counter {
    LIST_ENTRY(plugin_counter) link;
    uint64_t value;
    char name[];
};

struct plugin {
    STAILQ_ENTRY(plugin) link;
    struct broker *broker;
    struct plugin_file file;
    struct dp_host host;
    void *instance;
    LIST_HEAD(, plugin_timer) timers;
    LIST_HEAD(, plugin_watch) watches;
    LIST_HEAD(, plugin_counter) counters;
    uint64_t last_timer;
    /* the delivery that is being handed over, for socket_send */
    const struct delivery_source *source;
    uint64_t delivery;
};

struct plugins {
    STAILQ_HEAD(, plugin) list;
};

static size_t describe(const void *object, char *buf, size_t size)
{
    const struct plugin *plugin = object;

    return log_kv(buf, size, 0, "plugin", plugin->file.descriptor->name);
}

/* --- the host's services --- */

static uint64_t host_now_ms(void *ctx)
{
    return loop_now_ms(((struct plugin *)ctx)->broker->loop);
}

static uint64_t host_wall_ms(void *ctx)
{
    return loop_wall_ms(((struct plugin *)ctx)->broker->loop);
}

static void host_log(void *ctx, uint32_t level, const char *text)
{
    struct plugin *plugin = ctx;
    struct log_subject s = {.describe = describe, .object = plugin};

    log_limited(loop_now_ms(plugin->broker->loop),
                level > LOG_DEBUG ? LOG_DEBUG : (enum log_level)level, &s, "%s", text);
}

static void host_count(void *ctx, const char *name, uint64_t delta)
{
    struct plugin *plugin = ctx;
    struct plugin_counter *counter;
    size_t size = strlen(name) + 1;

    LIST_FOREACH(counter, &plugin->counters, link)
    {
        if (strcmp(counter->name, name) == 0)
            break;
    }
    if (!counter) {
        counter = calloc(1, sizeof(*counter) + size);
        if (!counter)
            return; /* a count is not worth failing for */
        memcpy(counter->name, name, size);
        LIST_INSERT_HEAD(&plugin->counters, counter, link);
    }
    counter->value += delta;
}

static void host_complete(void *ctx, uint64_t id, const struct dp_outcome *outcome)
{
    struct plugin *plugin = ctx;

    delivery_outcome(plugin->broker, plugin, id, outcome);
}

static void on_watch(void *arg, uint32_t events)
{
    struct plugin_watch *watch = arg;
    uint32_t ready = 0;

    /* an error is for whichever operation the plugin tries next */
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        ready |= DP_READABLE;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        ready |= DP_WRITABLE;
    watch->fn(watch->arg, ready);
}

static void unwatch(struct plugin *plugin, struct plugin_watch *watch)
{
    loop_io_remove(plugin->broker->loop, watch->io);
    LIST_REMOVE(watch, link);
    free(watch);
}

static int32_t host_watch(void *ctx, int fd, uint32_t events, dp_watch_fn fn, void *arg)
{
    struct plugin *plugin = ctx;
    struct plugin_watch *watch;
    uint32_t mask = (events & DP_READABLE ? EPOLLIN : 0u) | (events & DP_WRITABLE ? EPOLLOUT : 0u);

    LIST_FOREACH(watch, &plugin->watches, link)
    {
        if (watch->fd == fd)
            break;
    }
    if (mask == 0) {
        if (watch)
            unwatch(plugin, watch);
        return 0;
    }
    if (watch) {
        watch->fn = fn;
        watch->arg = arg;
        return loop_io_set(plugin->broker->loop, watch->io, mask) < 0 ? -1 : 0;
    }
    watch = calloc(1, sizeof(*watch));
    if (!watch)
        return -1;
    *watch = (struct plugin_watch){.fd = fd, .fn = fn, .arg = arg};
    if (loop_io_add(plugin->broker->loop, fd, mask, on_watch, watch, &watch->io) < 0) {
        free(watch);
        return -1;
    }
    LIST_INSERT_HEAD(&plugin->watches, watch, link);
    return 0;
}

static void on_timer(struct timer *timer)
{
    struct plugin_timer *t = CONTAINER_OF(timer, struct plugin_timer, timer);
    dp_timer_fn fn = t->fn;
    void *arg = t->arg;

    LIST_REMOVE(t, link);
    free(t);
    fn(arg);
}

static uint64_t host_timer_start(void *ctx, uint64_t delay_ms, dp_timer_fn fn, void *arg)
{
    struct plugin *plugin = ctx;
    struct plugin_timer *t = calloc(1, sizeof(*t));

    if (!t)
        return 0;
    t->id = ++plugin->last_timer;
    t->fn = fn;
    t->arg = arg;
    timer_init(&t->timer, on_timer);
    LIST_INSERT_HEAD(&plugin->timers, t, link);
    loop_timer_add(plugin->broker->loop, &t->timer, delay_ms);
    return t->id;
}

static void stop_timer(struct plugin *plugin, struct plugin_timer *t)
{
    loop_timer_cancel(plugin->broker->loop, &t->timer);
    LIST_REMOVE(t, link);
    free(t);
}

static void host_timer_stop(void *ctx, uint64_t id)
{
    struct plugin *plugin = ctx;
    struct plugin_timer *t;

    LIST_FOREACH(t, &plugin->timers, link)
    {
        if (t->id == id) {
            stop_timer(plugin, t);
            return;
        }
    }
}

static int32_t host_socket_send(void *ctx, uint64_t id, uint32_t kind)
{
    struct plugin *plugin = ctx;

    if (!plugin->source || plugin->delivery != id)
        return -1;
    return delivery_socket_send(plugin->broker, plugin->source, kind);
}

/* --- deliveries --- */

const char *plugin_name(const struct plugin *plugin)
{
    return plugin->file.descriptor->name;
}

uint32_t plugin_flags(const struct plugin *plugin)
{
    return plugin->file.descriptor->flags;
}

int plugin_deliver(struct plugin *plugin, const struct dp_delivery *delivery,
                   const struct delivery_source *source)
{
    int32_t r;

    plugin->source = source;
    plugin->delivery = delivery->id;
    r = plugin->file.descriptor->deliver(plugin->instance, delivery);
    plugin->source = NULL;
    return r == 0 ? 0 : ERR_AGAIN;
}

void plugin_cancel(struct plugin *plugin, uint64_t id)
{
    if (plugin->file.descriptor->cancel)
        plugin->file.descriptor->cancel(plugin->instance, id);
}

void plugin_socket_result(struct plugin *plugin, uint64_t id, uint32_t result)
{
    plugin->file.descriptor->socket_result(plugin->instance, id, result);
}

/* --- life cycle --- */

int plugins_inline_create(struct broker *broker)
{
    broker->plugins = calloc(1, sizeof(*broker->plugins));
    if (!broker->plugins)
        return ERR_NO_MEMORY;
    STAILQ_INIT(&broker->plugins->list);
    return 0;
}

struct plugin *plugin_find(struct broker *broker, const char *name)
{
    struct plugin *plugin;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        if (strcmp(plugin->file.descriptor->name, name) == 0)
            return plugin;
    }
    return NULL;
}

static void plugin_free(struct plugin *plugin)
{
    while (!LIST_EMPTY(&plugin->timers))
        stop_timer(plugin, LIST_FIRST(&plugin->timers));
    while (!LIST_EMPTY(&plugin->watches))
        unwatch(plugin, LIST_FIRST(&plugin->watches));
    while (!LIST_EMPTY(&plugin->counters)) {
        struct plugin_counter *counter = LIST_FIRST(&plugin->counters);

        LIST_REMOVE(counter, link);
        free(counter);
    }
    plugin_file_unload(&plugin->file);
    free(plugin);
}

int plugin_inline_open(struct broker *broker, struct plugin_file *file,
                       const struct dp_setting *settings, size_t setting_count, struct err_text *et)
{
    struct plugin *plugin = calloc(1, sizeof(*plugin));
    char error[ERROR_SIZE] = "no reason given";
    struct log_subject s = {.describe = describe, .object = plugin};

    if (!plugin) {
        plugin_file_unload(file);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    plugin->broker = broker;
    plugin->file = *file;
    plugin->host = (struct dp_host){.struct_size = sizeof(struct dp_host),
                                    .abi = DP_ABI,
                                    .ctx = plugin,
                                    .now_ms = host_now_ms,
                                    .wall_ms = host_wall_ms,
                                    .log = host_log,
                                    .count = host_count,
                                    .complete = host_complete,
                                    .watch = host_watch,
                                    .timer_start = host_timer_start,
                                    .timer_stop = host_timer_stop,
                                    .socket_send = host_socket_send};
    if (file->descriptor->open(&plugin->host, settings, setting_count, &plugin->instance, error,
                               sizeof(error)) != 0) {
        error[sizeof(error) - 1] = '\0';
        err_set(et, ERR_PLUGIN, "plugin \"%s\" could not start: %s", file->descriptor->name, error);
        plugin_free(plugin);
        return ERR_PLUGIN;
    }
    STAILQ_INSERT_TAIL(&broker->plugins->list, plugin, link);
    log_info(&s, "plugin loaded, version %s", file->descriptor->version);
    return 0;
}

void plugins_inline_destroy(struct broker *broker)
{
    struct plugin *plugin;

    if (!broker->plugins)
        return;
    while ((plugin = STAILQ_FIRST(&broker->plugins->list))) {
        STAILQ_REMOVE_HEAD(&broker->plugins->list, link);
        plugin->file.descriptor->close(plugin->instance);
        plugin_free(plugin);
    }
    free(broker->plugins);
    broker->plugins = NULL;
}

void plugins_log_counters(struct broker *broker)
{
    struct plugin *plugin;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        struct log_subject s = {.describe = describe, .object = plugin};
        struct plugin_counter *counter;

        LIST_FOREACH(counter, &plugin->counters, link)
        log_info(&s, "counter %s=%llu", counter->name, (unsigned long long)counter->value);
    }
}

void plugins_each_counter(struct broker *broker,
                          void (*fn)(void *arg, const char *plugin, const char *name,
                                     uint64_t value),
                          void *arg)
{
    struct plugin *plugin;
    struct plugin_counter *counter;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    LIST_FOREACH(counter, &plugin->counters, link)
    fn(arg, plugin_name(plugin), counter->name, counter->value);
}

void plugins_each_status(struct broker *broker,
                         void (*fn)(void *arg, const struct plugin_status *status), void *arg)
{
    struct plugin *plugin;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    fn(arg, &(struct plugin_status){.name = plugin_name(plugin), .up = true});
}

bool plugins_ready(struct broker *broker)
{
    (void)broker;
    return true; /* inline plugins are there from the start */
}
