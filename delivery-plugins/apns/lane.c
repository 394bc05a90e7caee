/* lane - one key at one endpoint: what waits, what is connected, and when not to try. */
#include "apns.h"

#include <stdlib.h>
#include <string.h>

/* A request whose connection was lost goes again, with the same id, so often. */
#define TRIES_MAX 3
/* Deadlines are looked at so often. */
#define TICK_MS 250
/* With its jitter 1 to 2 s; Apple takes rapid reconnecting for an attack. */
#define RECONNECT_FIRST_MS 2000
/* An operator who repaired something should not wait longer. */
#define BREAKER_MAX_MS 60000

void lane_init(struct lane *lane, struct apns *apns, struct key *key,
               const struct endpoint *endpoint)
{
    *lane = (struct lane){.apns = apns, .key = key, .endpoint = endpoint};
    lane->seed = (now_ms(apns) ^ (uint64_t)(uintptr_t)lane) | 1; /* 0 would stay 0 */
    TAILQ_INIT(&lane->queue);
}

/* xorshift64: jitter needs no more. */
uint64_t apns_random(struct lane *lane, uint64_t below)
{
    lane->seed ^= lane->seed << 13;
    lane->seed ^= lane->seed >> 7;
    lane->seed ^= lane->seed << 17;
    return below == 0 ? 0 : lane->seed % below;
}

/* --- the breaker --- */

static void complete_queue(struct lane *lane, uint64_t after_ms, const char *reason)
{
    struct request *r;

    while ((r = TAILQ_FIRST(&lane->queue))) {
        TAILQ_REMOVE(&lane->queue, r, link);
        request_complete(r, DP_RETRY, after_ms + apns_random(lane, 500), 0, reason);
    }
}

void lane_failed(struct lane *lane, const char *why, bool at_once, uint64_t least_ms)
{
    const struct options *o = &lane->apns->options;
    uint64_t for_ms = o->breaker_ms;

    lane->failures++;
    if (lane->breaker == BREAKER_OPEN ||
        (lane->breaker == BREAKER_CLOSED && !at_once && lane->failures < o->breaker_failures))
        return;
    for (uint32_t i = 0; i < lane->breaker_opened && for_ms < BREAKER_MAX_MS; i++)
        for_ms *= 2;
    if (for_ms > BREAKER_MAX_MS)
        for_ms = BREAKER_MAX_MS;
    for_ms = for_ms / 2 + apns_random(lane, for_ms / 2 + 1);
    if (for_ms < least_ms)
        for_ms = least_ms;
    lane->breaker = BREAKER_OPEN;
    lane->breaker_opened++;
    lane->breaker_until_ms = now_ms(lane->apns) + for_ms;
    apns_count(lane->apns, "breaker_opened");
    apns_log(lane->apns, DP_LOG_WARNING, "key %s at %s: %s; no requests for %llu ms",
             lane->key->kid, lane->endpoint->host, why, (unsigned long long)for_ms);
    complete_queue(lane, for_ms, "breaker-open");
}

void lane_worked(struct lane *lane)
{
    if (lane->breaker != BREAKER_CLOSED)
        apns_log(lane->apns, DP_LOG_INFO, "key %s at %s works again", lane->key->kid,
                 lane->endpoint->host);
    lane->breaker = BREAKER_CLOSED;
    lane->failures = 0;
    lane->breaker_opened = 0;
    lane->connect_failures = 0;
}

void lane_connect_failed(struct lane *lane)
{
    uint64_t ms = RECONNECT_FIRST_MS;

    for (uint32_t i = 0; i < lane->connect_failures && ms < lane->apns->options.reconnect_max_ms;
         i++)
        ms *= 2;
    if (ms > lane->apns->options.reconnect_max_ms)
        ms = lane->apns->options.reconnect_max_ms;
    lane->connect_failures++;
    lane->connect_not_before_ms = now_ms(lane->apns) + ms / 2 + apns_random(lane, ms / 2 + 1);
}

/* --- requests --- */

void lane_add(struct lane *lane, struct request *request)
{
    uint64_t now = now_ms(lane->apns);

    if (lane->requests++ == 0)
        lane->moved_ms = now;
    if (lane->breaker == BREAKER_OPEN && now >= lane->breaker_until_ms)
        lane->breaker = BREAKER_HALF_OPEN;
    if (lane->breaker == BREAKER_OPEN) {
        request_complete(request, DP_RETRY, lane->breaker_until_ms - now + apns_random(lane, 500),
                         0, "breaker-open");
        return;
    }
    if (lane->breaker == BREAKER_HALF_OPEN && lane->requests > 1) {
        /* one tries it out, the others wait for what it finds */
        request_complete(request, DP_RETRY, 1000 + apns_random(lane, 1000), 0, "breaker-open");
        return;
    }
    TAILQ_INSERT_TAIL(&lane->queue, request, link);
    lane_run(lane);
}

void lane_again(struct request *request, const char *reason)
{
    struct lane *lane = request->lane;

    if (lane->apns->closing || ++request->tries > TRIES_MAX) {
        request_complete(request, DP_RETRY, 0, 0, lane->apns->closing ? "closing" : reason);
        return;
    }
    if (lane->breaker == BREAKER_OPEN) {
        uint64_t now = now_ms(lane->apns);
        uint64_t wait_ms = lane->breaker_until_ms > now ? lane->breaker_until_ms - now : 0;

        request_complete(request, DP_RETRY, wait_ms + apns_random(lane, 500), 0, "breaker-open");
        return;
    }
    request->state = REQUEST_QUEUED;
    request->connection = NULL;
    request->status = 0;
    request->body_len = 0;
    request->has_retry_after = false;
    request->payload_sent = 0;
    apns_count(lane->apns, "sent_again");
    TAILQ_INSERT_HEAD(&lane->queue, request, link);
}

static void check_queue(struct lane *lane)
{
    struct request *r;

    /* from the start each time: the host may deliver from inside complete, which moves the list */
    while ((r = request_first_late(&lane->queue, now_ms(lane->apns)))) {
        TAILQ_REMOVE(&lane->queue, r, link);
        apns_count(lane->apns, "timeouts");
        request_complete(r, DP_RETRY, 0, 0, "timeout");
    }
}

/* --- connections --- */

static struct connection *roomiest(struct lane *lane, unsigned *ret_open, bool *ret_connecting)
{
    struct connection *best = NULL;

    *ret_open = 0;
    *ret_connecting = false;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = lane->connections[i];

        if (!c || c->draining)
            continue;
        (*ret_open)++;
        if (connection_room(c) > 0) {
            if (!best || c->streams < best->streams)
                best = c;
        } else if (!c->trusted) {
            /* still to be made, or its first token is out: a second would learn nothing else */
            *ret_connecting = true;
        }
    }
    return best;
}

static void open_one(struct lane *lane)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (lane->connections[i])
            continue;
        lane->connections[i] = connection_create(lane);
        if (!lane->connections[i])
            lane_connect_failed(lane);
        return;
    }
}

static void on_tick(void *arg)
{
    struct lane *lane = arg;

    lane->timer = 0;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (lane->connections[i])
            connection_check(lane->connections[i]);
    }
    check_queue(lane);
    lane_run(lane);
}

void lane_run(struct lane *lane)
{
    struct connection *c;
    struct request *r;
    unsigned open;
    bool connecting, any = false;

    while ((r = TAILQ_FIRST(&lane->queue))) {
        c = roomiest(lane, &open, &connecting);
        if (c) {
            TAILQ_REMOVE(&lane->queue, r, link);
            if (connection_send(c, r) < 0)
                continue;
            connection_flush(c);
            continue;
        }
        /* another one where all are full; none while one is being made: it may be enough */
        if (!connecting && open < lane->apns->options.connections &&
            now_ms(lane->apns) >= lane->connect_not_before_ms)
            open_one(lane);
        break;
    }
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        any = any || lane->connections[i];
    if (!lane->timer && !lane->apns->closing && (any || !TAILQ_EMPTY(&lane->queue)))
        lane->timer = lane->apns->host->timer_start(lane->apns->host->ctx, TICK_MS, on_tick, lane);
}

void lane_fini(struct lane *lane)
{
    struct request *r;

    if (!lane->apns)
        return;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (lane->connections[i])
            connection_close(lane->connections[i], "closing");
    }
    while ((r = TAILQ_FIRST(&lane->queue))) {
        TAILQ_REMOVE(&lane->queue, r, link);
        request_complete(r, DP_RETRY, 0, 0, "closing");
    }
    if (lane->timer)
        lane->apns->host->timer_stop(lane->apns->host->ctx, lane->timer);
    lane->timer = 0;
}
