/* plugin_services - see the header.
 *
 * Timers are found by handle and watches by descriptor, in a hash each: a plugin may have one of
 * both for every delivery under way. A callback may remove what it is called for, so nothing is
 * touched after it. */
#include "plugin-host/plugin_services.h"

#include "common/auto.h"
#include "common/hash.h"
#include "common/loop.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct plugin_services {
    struct loop *loop;
    const struct plugin_services_hooks *hooks;
    void *arg;
    struct dp_host host;
    struct hash timers, watches;
    uint64_t last_timer;
};

struct plugin_timer {
    struct hash_node node;
    struct timer timer;
    struct plugin_services *services;
    uint64_t id;
    dp_timer_fn fn;
    void *arg;
};

struct plugin_watch {
    struct hash_node node;
    int fd;
    loop_id io;
    dp_watch_fn fn;
    void *arg;
};

/* --- what has a hook --- */

static uint64_t host_now_ms(void *ctx)
{
    return loop_now_ms(((struct plugin_services *)ctx)->loop);
}

static uint64_t host_wall_ms(void *ctx)
{
    return loop_wall_ms(((struct plugin_services *)ctx)->loop);
}

static void host_log(void *ctx, uint32_t level, const char *text)
{
    struct plugin_services *services = ctx;

    services->hooks->log(services->arg, level > DP_LOG_DEBUG ? DP_LOG_DEBUG : level,
                         text ? text : "");
}

static void host_count(void *ctx, const char *name, uint64_t delta)
{
    struct plugin_services *services = ctx;

    if (name)
        services->hooks->count(services->arg, name, delta);
}

/* The hook gets a whole struct of this ABI and a kind that exists, whatever the plugin gave. */
static void host_complete(void *ctx, uint64_t id, const struct dp_outcome *outcome)
{
    struct plugin_services *services = ctx;
    struct dp_outcome whole = {0};

    if (outcome)
        memcpy(&whole, outcome,
               outcome->struct_size < sizeof(whole) ? outcome->struct_size : sizeof(whole));
    if (whole.kind < DP_ACKNOWLEDGED || whole.kind > DP_DEVICE_GONE)
        whole = (struct dp_outcome){.kind = DP_RETRY, .reason = "bad-outcome"};
    whole.struct_size = sizeof(whole);
    services->hooks->complete(services->arg, id, &whole);
}

static int32_t host_socket_send(void *ctx, uint64_t id, uint32_t kind)
{
    struct plugin_services *services = ctx;

    return services->hooks->socket_send(services->arg, id, kind);
}

/* --- watches --- */

static bool match_watch(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, struct plugin_watch, node)->fd == *(const int *)key;
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

static void unwatch(struct plugin_services *services, struct plugin_watch *watch)
{
    loop_io_remove(services->loop, watch->io);
    hash_remove(&services->watches, &watch->node);
    free(watch);
}

static int32_t add_watch(struct plugin_services *services, int fd, uint32_t mask, dp_watch_fn fn,
                         void *arg)
{
    struct plugin_watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return -1;
    *watch = (struct plugin_watch){.fd = fd, .fn = fn, .arg = arg};
    if (loop_io_add(services->loop, fd, mask, on_watch, watch, &watch->io) < 0) {
        free(watch);
        return -1;
    }
    if (hash_insert(&services->watches, &watch->node, hash_u64((uint64_t)fd)) < 0) {
        loop_io_remove(services->loop, watch->io);
        free(watch);
        return -1;
    }
    return 0;
}

static int32_t host_watch(void *ctx, int fd, uint32_t events, dp_watch_fn fn, void *arg)
{
    struct plugin_services *services = ctx;
    uint32_t mask = (events & DP_READABLE ? EPOLLIN : 0u) | (events & DP_WRITABLE ? EPOLLOUT : 0u);
    struct hash_node *node =
        hash_find(&services->watches, hash_u64((uint64_t)fd), match_watch, &fd);
    struct plugin_watch *watch = node ? CONTAINER_OF(node, struct plugin_watch, node) : NULL;

    if (mask == 0) {
        if (watch)
            unwatch(services, watch);
        return 0;
    }
    if (!watch)
        return add_watch(services, fd, mask, fn, arg);
    watch->fn = fn;
    watch->arg = arg;
    return loop_io_set(services->loop, watch->io, mask) < 0 ? -1 : 0;
}

/* --- timers --- */

static bool match_timer(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, struct plugin_timer, node)->id == *(const uint64_t *)key;
}

static void on_timer(struct timer *timer)
{
    struct plugin_timer *t = CONTAINER_OF(timer, struct plugin_timer, timer);
    dp_timer_fn fn = t->fn;
    void *arg = t->arg;

    hash_remove(&t->services->timers, &t->node);
    free(t);
    fn(arg);
}

static uint64_t host_timer_start(void *ctx, uint64_t delay_ms, dp_timer_fn fn, void *arg)
{
    struct plugin_services *services = ctx;
    struct plugin_timer *t = calloc(1, sizeof(*t));

    if (!t)
        return 0;
    t->services = services;
    t->id = ++services->last_timer;
    t->fn = fn;
    t->arg = arg;
    timer_init(&t->timer, on_timer);
    if (hash_insert(&services->timers, &t->node, hash_u64(t->id)) < 0) {
        free(t);
        return 0;
    }
    loop_timer_add(services->loop, &t->timer, delay_ms);
    return t->id;
}

static void stop_timer(struct plugin_services *services, struct plugin_timer *t)
{
    loop_timer_cancel(services->loop, &t->timer);
    hash_remove(&services->timers, &t->node);
    free(t);
}

static void host_timer_stop(void *ctx, uint64_t id)
{
    struct plugin_services *services = ctx;
    struct hash_node *node = hash_find(&services->timers, hash_u64(id), match_timer, &id);

    if (node)
        stop_timer(services, CONTAINER_OF(node, struct plugin_timer, node));
}

/* --- life cycle --- */

struct plugin_services *plugin_services_create(struct loop *loop,
                                               const struct plugin_services_hooks *hooks, void *arg)
{
    struct plugin_services *services = calloc(1, sizeof(*services));

    if (!services)
        return NULL;
    services->loop = loop;
    services->hooks = hooks;
    services->arg = arg;
    services->host = (struct dp_host){.struct_size = sizeof(struct dp_host),
                                      .abi = DP_ABI,
                                      .ctx = services,
                                      .now_ms = host_now_ms,
                                      .wall_ms = host_wall_ms,
                                      .log = host_log,
                                      .count = host_count,
                                      .complete = host_complete,
                                      .watch = host_watch,
                                      .timer_start = host_timer_start,
                                      .timer_stop = host_timer_stop,
                                      .socket_send = hooks->socket_send ? host_socket_send : NULL};
    return services;
}

static void on_left_timer(struct hash_node *node, void *arg)
{
    stop_timer(arg, CONTAINER_OF(node, struct plugin_timer, node));
}

static void on_left_watch(struct hash_node *node, void *arg)
{
    unwatch(arg, CONTAINER_OF(node, struct plugin_watch, node));
}

void plugin_services_destroy(struct plugin_services *services)
{
    if (!services)
        return;
    hash_each(&services->timers, on_left_timer, services);
    hash_each(&services->watches, on_left_watch, services);
    hash_fini(&services->timers);
    hash_fini(&services->watches);
    free(services);
}

const struct dp_host *plugin_services_host(const struct plugin_services *services)
{
    return &services->host;
}

void plugin_services_held(const struct plugin_services *services, size_t *ret_watches,
                          size_t *ret_timers)
{
    *ret_watches = services->watches.count;
    *ret_timers = services->timers.count;
}
