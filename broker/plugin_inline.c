/* plugin_inline - see the header. Calls go straight to the shared object; what it calls back comes
 * through plugin_services. A delivery costs two indirect calls. */
#include "broker/plugin_inline.h"

#include "broker/broker.h"
#include "broker/delivery.h"
#include "broker/plugin_internal.h"
#include "common/auto.h"
#include "plugin-host/plugin_services.h"

#include <stdio.h>
#include <stdlib.h>

/* What a plugin's open may say about its failure. */
#define ERROR_SIZE 384
/* How soon a plugin that refused is asked again when none of its outcomes says that there is room.
 */
#define REFUSED_RETRY_MS 50

struct plugin_inline {
    struct plugin plugin;
    struct plugin_file file;
    struct plugin_services *services;
    void *instance;
    struct timer ready_timer;
    /* the delivery that is being handed over, for socket_send */
    const struct delivery_source *source;
    uint64_t delivery;
};

static struct plugin_inline *from(struct plugin *plugin)
{
    return CONTAINER_OF(plugin, struct plugin_inline, plugin);
}

/* --- the host's services --- */

static void on_log(void *arg, uint32_t level, const char *text)
{
    struct plugin_inline *p = arg;
    struct log_subject s = plugin_log(&p->plugin);

    log_limited(loop_now_ms(p->plugin.broker->loop), (enum log_level)level, &s, "%s", text);
}

static void on_count(void *arg, const char *name, uint64_t delta)
{
    plugin_counters_add(&((struct plugin_inline *)arg)->plugin.counters, name, delta);
}

static void on_complete(void *arg, uint64_t id, const struct dp_outcome *outcome)
{
    struct plugin_inline *p = arg;

    delivery_outcome(p->plugin.broker, &p->plugin, id, outcome);
    if (p->plugin.refused)
        loop_timer_add(p->plugin.broker->loop, &p->ready_timer, 0);
}

static int32_t on_socket_send(void *arg, uint64_t id, uint32_t kind)
{
    struct plugin_inline *p = arg;

    if (!p->source || p->delivery != id)
        return -1;
    return delivery_socket_send(p->plugin.broker, p->source, kind);
}

static const struct plugin_services_hooks hooks = {
    .complete = on_complete, .log = on_log, .count = on_count, .socket_send = on_socket_send};

/* --- deliveries --- */

static void on_ready_timer(struct timer *timer)
{
    plugin_tell_ready(&CONTAINER_OF(timer, struct plugin_inline, ready_timer)->plugin);
}

static int deliver(struct plugin *plugin, const struct dp_delivery *delivery,
                   const struct delivery_source *source)
{
    struct plugin_inline *p = from(plugin);
    /* an outcome inside deliver may bring the next delivery */
    const struct delivery_source *outer_source = p->source;
    uint64_t outer_delivery = p->delivery;
    int32_t r;

    p->source = source;
    p->delivery = delivery->id;
    r = p->file.descriptor->deliver(p->instance, delivery);
    p->source = outer_source;
    p->delivery = outer_delivery;
    if (r == 0)
        return 0;
    if (!timer_armed(&p->ready_timer))
        loop_timer_add(plugin->broker->loop, &p->ready_timer, REFUSED_RETRY_MS);
    return ERR_AGAIN;
}

static void cancel(struct plugin *plugin, uint64_t id)
{
    struct plugin_inline *p = from(plugin);

    if (p->file.descriptor->cancel)
        p->file.descriptor->cancel(p->instance, id);
}

static void socket_result(struct plugin *plugin, uint64_t id, uint32_t result)
{
    struct plugin_inline *p = from(plugin);

    if (p->file.descriptor->socket_result)
        p->file.descriptor->socket_result(p->instance, id, result);
}

/* --- life cycle --- */

static void close_instance(struct plugin *plugin)
{
    struct plugin_inline *p = from(plugin);

    p->file.descriptor->close(p->instance);
    loop_timer_cancel(plugin->broker->loop, &p->ready_timer);
}

static void free_inline(struct plugin *plugin)
{
    struct plugin_inline *p = from(plugin);

    plugin_services_destroy(p->services);
    plugin_file_unload(&p->file);
    free(p);
}

static const struct plugin_ops ops = {.deliver = deliver,
                                      .cancel = cancel,
                                      .socket_result = socket_result,
                                      .close = close_instance,
                                      .free = free_inline};

int plugin_inline_open(struct broker *broker, struct plugin_file *file,
                       const struct dp_setting *settings, size_t setting_count, struct err_text *et)
{
    struct plugin_inline *p = calloc(1, sizeof(*p));
    const struct dp_plugin *descriptor = file->descriptor;
    char error[ERROR_SIZE] = "no reason given";
    struct log_subject s;

    if (!p) {
        plugin_file_unload(file);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    p->file = *file;
    p->plugin.broker = broker; /* open may log and count already */
    p->plugin.flags = descriptor->flags;
    snprintf(p->plugin.name, sizeof(p->plugin.name), "%s", descriptor->name);
    timer_init(&p->ready_timer, on_ready_timer);
    p->services = plugin_services_create(broker->loop, &hooks, p);
    if (!p->services) {
        free_inline(&p->plugin);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    if (descriptor->open(plugin_services_host(p->services), settings, setting_count, &p->instance,
                         error, sizeof(error)) != 0) {
        error[sizeof(error) - 1] = '\0';
        err_format(et, "plugin \"%s\" could not start: %s", p->plugin.name, error);
        plugin_counters_fini(&p->plugin.counters);
        free_inline(&p->plugin);
        return ERR_PLUGIN;
    }
    plugin_register(broker, &p->plugin, &ops, descriptor->name);
    s = plugin_log(&p->plugin);
    log_info(&s, "plugin loaded, version %s", descriptor->version);
    return 0;
}
