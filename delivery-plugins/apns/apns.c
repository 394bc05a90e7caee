/* apns - Apple's push service as a delivery plugin: HTTP/2 over TLS, provider tokens (ES256).
 * docs/apns.md */
#include "apns.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Apple names no length; this is what a request line can reasonably carry. */
#define DEVICE_TOKEN_MAX 1024
/* Of bundle ids: what a phone registered becomes a header. */
#define TOPIC_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"
/* A full lane that has seen no answer for so long is stalled, not busy. */
#define STALLED_MS 2000
#define STALLED_RETRY_MS 5000

void apns_count(const struct apns *apns, const char *name)
{
    apns->host->count(apns->host->ctx, name, 1);
}

void apns_log(const struct apns *apns, uint32_t level, const char *format, ...)
{
    char text[384];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    apns->host->log(apns->host->ctx, level, text);
}

static int32_t apns_open(const struct dp_host *host, const struct dp_setting *settings,
                         size_t setting_count, void **ret_instance, char *error, size_t error_size)
{
    struct apns *apns = calloc(1, sizeof(*apns));

    if (!apns) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    apns->host = host;
    if (settings_read(apns, settings, setting_count, error, error_size) < 0) {
        settings_free(apns);
        free(apns);
        return -1;
    }
    for (size_t i = 0; i < apns->key_count; i++) {
        for (int e = 0; e < ENVIRONMENTS; e++)
            lane_init(&apns->lanes[i][e], apns, &apns->keys[i], &apns->options.endpoint[e]);
        apns->keys[i].where = NULL; /* the settings are the host's */
    }
    *ret_instance = apns;
    return 0;
}

/* A topic "*" stands for every one that is not named. */
static struct topic *find_topic(struct apns *apns, const char *name)
{
    struct topic *any = NULL;

    if (name[0] == '\0' || name[strspn(name, TOPIC_CHARACTERS)] != '\0')
        return NULL;
    for (size_t i = 0; i < apns->topic_count; i++) {
        if (strcmp(apns->topics[i].name, name) == 0)
            return &apns->topics[i];
        if (strcmp(apns->topics[i].name, "*") == 0)
            any = &apns->topics[i];
    }
    return any;
}

static void refuse(const struct apns *apns, uint64_t id, const char *reason)
{
    const struct dp_outcome outcome = {
        .struct_size = sizeof(outcome), .kind = DP_FAILED, .reason = reason};

    apns_count(apns, "failed");
    apns->host->complete(apns->host->ctx, id, &outcome);
}

static int find_environment(const char *name)
{
    if (strcmp(name, "production") == 0)
        return PRODUCTION;
    return strcmp(name, "development") == 0 ? DEVELOPMENT : -1;
}

/* -1 stops the host from asking for anybody: right for a lane that is merely busy, wrong for one
 * that gets no answers. What is meant for that one comes again later, and the others go on. */
static int32_t take(struct apns *apns, struct lane *lane, struct topic *topic,
                    const struct dp_delivery *delivery)
{
    struct request *request;

    if (lane->requests >= apns->options.in_flight) {
        const struct dp_outcome outcome = {.struct_size = sizeof(outcome),
                                           .kind = DP_RETRY,
                                           .retry_after_ms = STALLED_RETRY_MS +
                                                             apns_random(lane, STALLED_RETRY_MS),
                                           .reason = "no-answers"};

        if (now_ms(apns) - lane->moved_ms < STALLED_MS)
            return -1;
        apns_count(apns, "retried");
        apns->host->complete(apns->host->ctx, delivery->id, &outcome);
        return 0;
    }
    request = request_create(lane, topic, delivery);
    if (!request)
        return -1;
    lane_add(lane, request);
    return 0;
}

static int32_t apns_deliver(void *instance, const struct dp_delivery *delivery)
{
    struct apns *apns = instance;
    const struct dp_device *device = delivery->device;
    int environment = find_environment(device->push_environment);
    struct topic *topic = find_topic(apns, device->push_topic);

    if (apns->closing)
        return -1;
    if (!delivery->notification) {
        refuse(apns, delivery->id, "no-notification");
    } else if (device->push_token[0] == '\0') {
        refuse(apns, delivery->id, "no-token");
    } else if (device->push_token[strspn(device->push_token, "0123456789abcdefABCDEF")] != '\0' ||
               strlen(device->push_token) > DEVICE_TOKEN_MAX) {
        refuse(apns, delivery->id, "malformed-token");
    } else if (environment < 0) {
        refuse(apns, delivery->id, "unknown-environment");
    } else if (!topic) {
        refuse(apns, delivery->id, "topic-not-configured");
    } else if (topic->stopped_until_ms > now_ms(apns)) {
        refuse(apns, delivery->id, "TopicDisallowed");
    } else {
        return take(apns, &apns->lanes[topic->key][environment], topic, delivery);
    }
    return 0;
}

/* What was sent can't be taken back; what waits is not sent any more. */
static void apns_cancel(void *instance, uint64_t id)
{
    struct apns *apns = instance;

    for (size_t i = 0; i < apns->key_count * ENVIRONMENTS; i++) {
        struct lane *lane = &apns->lanes[i / ENVIRONMENTS][i % ENVIRONMENTS];
        struct request *r;

        TAILQ_FOREACH(r, &lane->queue, link)
        {
            /* one that was sent before may have been shown */
            if (r->id != id || r->sent_wall_ms != 0)
                continue;
            TAILQ_REMOVE(&lane->queue, r, link);
            request_complete(r, DP_FAILED, 0, 0, "cancelled");
            return;
        }
    }
}

static void apns_close(void *instance)
{
    struct apns *apns = instance;

    apns->closing = true;
    for (size_t i = 0; i < apns->key_count; i++) {
        for (int e = 0; e < ENVIRONMENTS; e++)
            lane_fini(&apns->lanes[i][e]);
    }
    settings_free(apns);
    free(apns);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "apns",
        .version = BECKON_VERSION,
        .flags = DP_USES_NOTIFICATION,
        .open = apns_open,
        .deliver = apns_deliver,
        .cancel = apns_cancel,
        .close = apns_close,
    };

    (void)host_abi; /* one ABI so far: the host compares plugin.abi */
    return &plugin;
}
