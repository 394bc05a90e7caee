/* request - one delivery as an HTTP/2 request: made, shrunk, reported. */
#include "apns.h"

#include <jansson.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_uuid(const unsigned char b[16], char text[37])
{
    snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static void make_id(char text[37])
{
    unsigned char b[16] = {0};

    RAND_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    format_uuid(b, text);
}

static uint64_t expiration(const struct apns *apns, const struct dp_message *message)
{
    if (message->flags & DP_MESSAGE_HAS_EXPIRY)
        return (message->expires_at_ms + 999) / 1000;
    if (apns->options.expiration_s == 0)
        return 0;
    return apns->host->wall_ms(apns->host->ctx) / 1000 + apns->options.expiration_s;
}

struct request *request_create(struct lane *lane, struct topic *topic,
                               const struct dp_delivery *delivery)
{
    struct request *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->lane = lane;
    r->topic = topic;
    r->id = delivery->id;
    r->until_ms = now_ms(lane->apns) + lane->apns->options.request_timeout_ms;
    if (delivery->deadline_ms != 0 && delivery->deadline_ms < r->until_ms)
        r->until_ms = delivery->deadline_ms;
    r->payload = malloc(delivery->notification_size + 1);
    r->topic_name = strdup(delivery->device->push_topic);
    if (!r->payload || !r->topic_name ||
        asprintf(&r->path, "/3/device/%s", delivery->device->push_token) < 0) {
        free(r->topic_name);
        free(r->payload);
        free(r);
        return NULL;
    }
    memcpy(r->payload, delivery->notification, delivery->notification_size);
    r->payload_len = delivery->notification_size;
    make_id(r->apns_id);
    format_uuid(delivery->message->mid, r->collapse_id);
    snprintf(r->expiration, sizeof(r->expiration), "%llu",
             (unsigned long long)expiration(lane->apns, delivery->message));
    snprintf(r->priority, sizeof(r->priority), "%u", delivery->message->priority == 5 ? 5u : 10u);
    return r;
}

void request_complete(struct request *request, uint32_t kind, uint64_t retry_after_ms,
                      uint64_t gone_at_ms, const char *reason)
{
    struct lane *lane = request->lane;
    struct apns *apns = lane->apns;
    const struct dp_outcome outcome = {.struct_size = sizeof(outcome),
                                       .kind = kind,
                                       .retry_after_ms = retry_after_ms,
                                       .gone_at_ms = gone_at_ms,
                                       .reason = reason};
    uint64_t id = request->id;

    lane->requests--;
    free(request->path);
    free(request->topic_name);
    free(request->payload);
    free(request);
    switch (kind) {
    case DP_ACCEPTED:
        apns_count(apns, "accepted");
        break;
    case DP_RETRY:
        apns_count(apns, "retried");
        break;
    case DP_DEVICE_GONE:
        apns_count(apns, "devices_gone");
        break;
    default:
        apns_count(apns, "failed");
        break;
    }
    /* last: the host may deliver again from inside */
    apns->host->complete(apns->host->ctx, id, &outcome);
}

struct request *request_first_late(const struct request_list *list, uint64_t now)
{
    struct request *r;

    TAILQ_FOREACH(r, list, link)
    {
        if (now >= r->until_ms)
            return r;
    }
    return NULL;
}

bool request_shrink(struct request *request)
{
    json_t *document = json_loadb(request->payload, request->payload_len, 0, NULL);
    json_t *beckon = json_object_get(document, "beckon");
    bool had = json_object_get(beckon, "data") || json_object_get(beckon, "data_base64");
    char *text = NULL;

    if (had) {
        json_object_del(beckon, "data");
        json_object_del(beckon, "data_base64");
        json_object_set_new(beckon, "truncated", json_true());
        text = json_dumps(document, JSON_COMPACT);
    }
    json_decref(document);
    if (!text)
        return false;
    free(request->payload);
    request->payload = text;
    request->payload_len = strlen(text);
    request->shrunk = true;
    return true;
}
