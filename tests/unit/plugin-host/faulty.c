/* faulty - a delivery plugin that misbehaves in the way its setting `mode` says, on every `every`th
 * delivery; the others are accepted. For the tests of what runs and checks plugins. */
#include "beckon/delivery_plugin.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEAK_BYTES (8u * 1024 * 1024)
#define HELD_MAX 4096

struct faulty {
    const struct dp_host *host;
    char mode[32];
    unsigned long every, count;
    int pipe[2];
    uint64_t held[HELD_MAX]; /* modes later, full, stuck and close-*: ids without an outcome */
    size_t held_count;
    uint64_t timer;
    const struct dp_device *device; /* mode keeps-pointers: of the last delivery */
};

static bool is(const struct faulty *f, const char *mode)
{
    return strcmp(f->mode, mode) == 0;
}

static void report(struct faulty *f, uint64_t id, uint32_t kind, const char *reason)
{
    struct dp_outcome outcome = {.struct_size = sizeof(outcome), .kind = kind, .reason = reason};

    f->host->complete(f->host->ctx, id, &outcome);
}

static void on_readable(void *arg, uint32_t events)
{
    (void)arg, (void)events;
}

static void on_timer(void *arg)
{
    struct faulty *f = arg;
    size_t count = f->held_count;

    f->timer = 0;
    f->held_count = 0;
    if (is(f, "keeps-pointers"))
        f->host->log(f->host->ctx, DP_LOG_INFO, f->device->user);
    for (size_t i = 0; i < count; i++)
        report(f, f->held[i], DP_ACCEPTED, NULL);
}

static int32_t faulty_open(const struct dp_host *host, const struct dp_setting *settings,
                           size_t setting_count, void **ret_instance, char *error,
                           size_t error_size)
{
    struct faulty *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    f->host = host;
    f->every = 1;
    snprintf(f->mode, sizeof(f->mode), "ok");
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].path, "mode") == 0)
            snprintf(f->mode, sizeof(f->mode), "%s", settings[i].value);
        else if (strcmp(settings[i].path, "every") == 0)
            f->every = strtoul(settings[i].value, NULL, 10);
    }
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].path, "mode") == 0 || strcmp(settings[i].path, "every") == 0 ||
            is(f, "lax"))
            continue;
        snprintf(error, error_size, "%s: unknown setting \"%s\", expected mode or every",
                 settings[i].where, settings[i].path);
        free(f);
        return -1;
    }
    if (is(f, "open-crashes"))
        kill(getpid(), SIGSEGV);
    if (is(f, "open-fails")) {
        snprintf(error, error_size, "%s: mode is \"open-fails\", expected another",
                 settings[0].where);
        free(f);
        return -1;
    }
    if (is(f, "leaks-watch") && pipe(f->pipe) == 0)
        host->watch(host->ctx, f->pipe[0], DP_READABLE, on_readable, f);
    if (is(f, "leaks-timer"))
        host->timer_start(host->ctx, 3600000, on_timer, f);
    host->count(host->ctx, "opened", 1);
    *ret_instance = f;
    return 0;
}

static void hold(struct faulty *f, uint64_t id, uint64_t delay_ms)
{
    if (f->held_count < HELD_MAX)
        f->held[f->held_count++] = id;
    if (delay_ms != 0 && f->timer == 0)
        f->timer = f->host->timer_start(f->host->ctx, delay_ms, on_timer, f);
}

static void leak(void)
{
    volatile char *memory = malloc(LEAK_BYTES);

    for (size_t i = 0; memory && i < LEAK_BYTES; i += 1024)
        memory[i] = 1;
}

static void block(struct timespec time)
{
    nanosleep(&time, NULL);
}

static int32_t misbehave(struct faulty *f, uint64_t id)
{
    if (is(f, "crashes")) {
        kill(getpid(), SIGSEGV);
    } else if (is(f, "hangs")) {
        block((struct timespec){.tv_sec = 3600});
    } else if (is(f, "leaks")) {
        leak();
        report(f, id, DP_ACCEPTED, NULL);
    } else if (is(f, "blocks")) {
        block((struct timespec){.tv_nsec = 200000000});
        report(f, id, DP_ACCEPTED, NULL);
    } else if (is(f, "twice")) {
        report(f, id, DP_ACCEPTED, NULL);
        report(f, id, DP_RETRY, "again");
    } else if (is(f, "unknown")) {
        report(f, id, DP_ACCEPTED, NULL);
        report(f, id + 1000000, DP_ACCEPTED, NULL);
    } else if (is(f, "later") || is(f, "keeps-pointers")) {
        hold(f, id, 1);
    } else if (is(f, "close-silent") || is(f, "close-accepts") || is(f, "stuck")) {
        hold(f, id, 0);
    } else if (is(f, "no-reason")) {
        report(f, id, DP_FAILED, NULL);
    } else if (!is(f, "silent")) {
        report(f, id, DP_ACCEPTED, NULL);
    }
    return 0;
}

static int32_t faulty_deliver(void *instance, const struct dp_delivery *delivery)
{
    struct faulty *f = instance;

    f->host->count(f->host->ctx, "delivered", 1);
    if (is(f, "full")) { /* one at a time */
        if (f->held_count > 0)
            return -1;
        hold(f, delivery->id, 1);
        return 0;
    }
    f->device = delivery->device;
    if (++f->count % f->every == 0)
        return misbehave(f, delivery->id);
    report(f, delivery->id, DP_ACCEPTED, NULL);
    return 0;
}

static void faulty_cancel(void *instance, uint64_t id)
{
    struct faulty *f = instance;

    f->host->count(f->host->ctx, "cancelled", 1);
    if (is(f, "cancel-invents"))
        report(f, id, DP_FAILED, "cancelled");
}

static void faulty_close(void *instance)
{
    struct faulty *f = instance;

    if (f->timer)
        f->host->timer_stop(f->host->ctx, f->timer);
    for (size_t i = 0; i < f->held_count && !is(f, "close-silent"); i++) {
        if (is(f, "close-accepts"))
            report(f, f->held[i], DP_ACCEPTED, NULL);
        else
            report(f, f->held[i], DP_RETRY, "plugin-closed");
    }
    if (is(f, "close-crashes"))
        kill(getpid(), SIGSEGV);
    free(f);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "faulty",
        .version = "1",
        .open = faulty_open,
        .deliver = faulty_deliver,
        .cancel = faulty_cancel,
        .close = faulty_close,
    };

    (void)host_abi;
    return &plugin;
}
