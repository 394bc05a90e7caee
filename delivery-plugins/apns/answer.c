/* answer - what the server said, and what that means: one table, as Apple's documentation has it.
 */
#include "apns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* How long a topic that the key must not use is not tried again. */
#define TOPIC_STOP_MS 300000
/* After TooManyProviderTokenUpdates. */
#define TOKEN_PAUSE_MS 60000

enum action {
    FAIL,        /* this message can't go this way */
    DEFECT,      /* the same, and it is ours: an operator should know */
    GONE,        /* dead since the timestamp */
    BAD_TOKEN,   /* dead, no timestamp: as of when the request was sent */
    AGAIN,       /* on another connection */
    RESIGN,      /* with a new provider token, once */
    TOKEN_PAUSE, /* keep the token, leave that connection */
    STOP_TOPIC,
    BREAK, /* configuration: open the breaker */
    SHRINK,
    DELAY,   /* this device only */
    BACKOFF, /* the service */
};

static const struct rule {
    unsigned status; /* 0 = any */
    const char *reason;
    enum action action;
} rules[] = {
    {400, "BadDeviceToken", BAD_TOKEN},
    {400, "DeviceTokenNotForTopic", FAIL},
    {400, "TopicDisallowed", STOP_TOPIC},
    {400, "IdleTimeout", AGAIN},
    {400, NULL, DEFECT},
    {403, "ExpiredProviderToken", RESIGN},
    {403, "UnrelatedKeyIdInToken", AGAIN},
    {403, "Forbidden", DEFECT},
    {403, NULL, BREAK},
    {404, NULL, DEFECT},
    {405, NULL, DEFECT},
    {410, NULL, GONE},
    {413, NULL, SHRINK},
    {429, "TooManyProviderTokenUpdates", TOKEN_PAUSE},
    {429, NULL, DELAY},
    {503, "Shutdown", AGAIN},
    {0, NULL, BACKOFF}, /* 5xx, and what nobody has seen yet */
};

static enum action find_action(unsigned status, const char *reason)
{
    size_t i = 0;

    while (rules[i].status != 0 &&
           (rules[i].status != status || (rules[i].reason && strcmp(rules[i].reason, reason) != 0)))
        i++;
    return rules[i].action;
}

/* A reason goes into the host's trace: a word, whatever the server sent. */
static void take_reason(const struct request *r, char reason[48], uint64_t *ret_timestamp)
{
    json_t *document = json_loadb(r->body, r->body_len, 0, NULL);
    const char *text = json_string_value(json_object_get(document, "reason"));
    const json_t *timestamp = json_object_get(document, "timestamp");
    size_t n = 0;

    while (text && n < 47 &&
           ((text[n] >= 'A' && text[n] <= 'Z') || (text[n] >= 'a' && text[n] <= 'z') ||
            (text[n] >= '0' && text[n] <= '9'))) {
        reason[n] = text[n];
        n++;
    }
    reason[n] = '\0';
    if (n == 0) /* no body, or not Apple's: a proxy's page */
        snprintf(reason, 48, "status-%u", r->status % 1000);
    *ret_timestamp = json_is_integer(timestamp) && json_integer_value(timestamp) > 0
                         ? (uint64_t)json_integer_value(timestamp)
                         : 0;
    json_decref(document);
}

static void resign(struct request *r, struct connection *connection)
{
    if (r->resigned) {
        connection_drain(connection);
        lane_failed(r->lane, "ExpiredProviderToken", true, 0);
        request_complete(r, DP_RETRY, 0, 0, "ExpiredProviderToken");
        return;
    }
    r->resigned = true;
    /* another request may have had it made anew already */
    if (r->token_iat_s == r->lane->key->iat_s)
        token_expired(r->lane->key);
    connection->draining = true; /* it stays wedged; the next one needs no pause, this is once */
    lane_again(r, "ExpiredProviderToken");
}

static void backoff(struct request *r, const char *reason)
{
    uint64_t after_ms = r->has_retry_after ? r->retry_after_s * 1000 : 0;

    lane_failed(r->lane, reason, false, after_ms);
    request_complete(r, DP_RETRY, after_ms, 0, reason);
}

/* The answer is about the provider: its token, its key, its topic, the connection. */
static void provider_refused(struct request *r, struct connection *connection, enum action action,
                             const char *reason)
{
    struct lane *lane = r->lane;
    struct apns *apns = lane->apns;

    switch (action) {
    case AGAIN:
        connection_drain(connection);
        lane_failed(lane, reason, false, 0);
        lane_again(r, reason);
        break;
    case RESIGN:
        resign(r, connection);
        break;
    case TOKEN_PAUSE:
        connection_drain(connection);
        apns_log(apns, DP_LOG_WARNING, "provider tokens of key %s change too often",
                 lane->key->kid);
        request_complete(r, DP_RETRY, r->has_retry_after ? r->retry_after_s * 1000 : TOKEN_PAUSE_MS,
                         0, reason);
        break;
    case STOP_TOPIC:
        if (strcmp(r->topic->name, r->topic_name) == 0)
            r->topic->stopped_until_ms = now_ms(apns) + TOPIC_STOP_MS;
        apns_log(apns, DP_LOG_ERROR, "the topic %s is not allowed for key %s", r->topic_name,
                 lane->key->kid);
        request_complete(r, DP_FAILED, 0, 0, reason);
        break;
    case BREAK:
        connection_drain(connection); /* what is put right later shows on a new one */
        if (lane->breaker != BREAKER_OPEN)
            apns_log(apns, DP_LOG_ERROR, "the service refuses key %s of team %s: %s",
                     lane->key->kid, lane->key->team, reason);
        lane_failed(lane, reason, true, 0);
        request_complete(r, DP_RETRY, 0, 0, reason);
        break;
    default:
        backoff(r, reason);
        break;
    }
}

/* The answer is about the device or the message, or else the provider. */
static void refused(struct request *r, struct connection *connection, enum action action,
                    const char *reason, uint64_t timestamp)
{
    switch (action) {
    case FAIL:
        request_complete(r, DP_FAILED, 0, 0, reason);
        break;
    case DEFECT:
        apns_log(r->lane->apns, DP_LOG_ERROR,
                 "the service refuses a request that should be right: %u %s", r->status, reason);
        request_complete(r, DP_FAILED, 0, 0, reason);
        break;
    case GONE:
        /* without a time it is as of when it was sent: a newer registration stays */
        request_complete(r, DP_DEVICE_GONE, 0, timestamp != 0 ? timestamp : r->sent_wall_ms,
                         reason);
        break;
    case BAD_TOKEN:
        request_complete(r, DP_DEVICE_GONE, 0, r->sent_wall_ms, reason);
        break;
    case SHRINK:
        if (!r->shrunk && request_shrink(r))
            lane_again(r, reason);
        else
            request_complete(r, DP_FAILED, 0, 0, reason);
        break;
    case DELAY:
        request_complete(r, DP_RETRY, r->has_retry_after ? r->retry_after_s * 1000 : 0, 0, reason);
        break;
    default:
        provider_refused(r, connection, action, reason);
        break;
    }
}

/* An answer about the device or the message shows that the provider's token was taken. */
static bool shows_trust(unsigned status, enum action action)
{
    switch (action) {
    case FAIL:
    case DEFECT:
    case GONE:
    case BAD_TOKEN:
    case STOP_TOPIC:
    case SHRINK:
    case DELAY:
        return status != 403;
    default:
        return false;
    }
}

void request_answered(struct request *r)
{
    struct connection *connection = r->connection;
    enum action action;
    char reason[48];
    uint64_t timestamp;

    r->lane->moved_ms = now_ms(r->lane->apns);
    TAILQ_REMOVE(&connection->sent, r, link);
    connection->streams--;
    r->connection = NULL;
    if (r->status == 200) {
        connection->trusted = true;
        lane_worked(r->lane);
        request_complete(r, DP_ACCEPTED, 0, 0, NULL);
        return;
    }
    take_reason(r, reason, &timestamp);
    action = find_action(r->status, reason);
    if (shows_trust(r->status, action)) {
        connection->trusted = true;
        lane_worked(r->lane);
    }
    refused(r, connection, action, reason, timestamp);
}
