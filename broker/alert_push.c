/* alert_push - one push at a time a device, in order, through the steps of its route.
 *
 * A device that nothing reaches waits in its backoff, one whose plugin is full in that plugin's
 * queue; neither costs the others anything. */
#include "broker/alert_internal.h"

#include "broker/delivery.h"
#include "broker/inbox.h"
#include "broker/push.h"
#include "broker/retention.h"
#include "broker/session.h"
#include "broker/trace.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

/* Backoff of a step that asks to be tried again and does not say when. */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 60000
#define MINUTE_MS 60000
/* A plugin that is full says when it is not any more; if it forgets, it is asked. */
#define FULL_RETRY_MS 5000
/* As many as plugins in one configuration, with room. */
#define QUEUES_MAX 32

/* Devices that wait for room in a plugin. */
struct alerts {
    struct {
        struct plugin *plugin;
        TAILQ_HEAD(alert_queue, alert) list;
    } queue[QUEUES_MAX];
};

int alerts_create(struct broker *broker)
{
    broker->alerts = calloc(1, sizeof(*broker->alerts));
    return broker->alerts ? 0 : ERR_NO_MEMORY;
}

void alerts_destroy(struct broker *broker)
{
    free(broker->alerts);
    broker->alerts = NULL;
}

/* --- waiting for a plugin --- */

static void wait_for(struct alert *alert, struct plugin *plugin)
{
    struct alerts *alerts = alert->broker->alerts;

    for (size_t i = 0; i < QUEUES_MAX; i++) {
        if (!alerts->queue[i].plugin) {
            alerts->queue[i].plugin = plugin;
            TAILQ_INIT(&alerts->queue[i].list);
        }
        if (alerts->queue[i].plugin != plugin)
            continue;
        alert->waiting_for = plugin;
        TAILQ_INSERT_TAIL(&alerts->queue[i].list, alert, wait_link);
        break;
    }
    alert->push.not_before_ms = loop_now_ms(alert->broker->loop) + FULL_RETRY_MS;
    alert_wake_at(alert, alert->push.not_before_ms);
}

void alert_wait_leave(struct alert *alert)
{
    struct alerts *alerts = alert->broker->alerts;

    for (size_t i = 0; alert->waiting_for && i < QUEUES_MAX; i++) {
        if (alerts->queue[i].plugin != alert->waiting_for)
            continue;
        TAILQ_REMOVE(&alerts->queue[i].list, alert, wait_link);
        alert->waiting_for = NULL;
    }
}

void alert_plugin_ready(struct broker *broker, struct plugin *plugin)
{
    struct alerts *alerts = broker->alerts;
    struct alert *alert, *last;

    for (size_t i = 0; alerts && i < QUEUES_MAX && alerts->queue[i].plugin; i++) {
        if (alerts->queue[i].plugin != plugin)
            continue;
        last = TAILQ_LAST(&alerts->queue[i].list, alert_queue);
        while ((alert = TAILQ_FIRST(&alerts->queue[i].list))) {
            bool again;

            alert_wait_leave(alert);
            alert->push.not_before_ms = 0;
            alert_run(broker, alert->device);
            /* whoever did not get in is at the end again: it is full, or everyone had a turn */
            again = alert->waiting_for == NULL && alert != last;
            if (!again)
                return;
        }
    }
}

/* --- the push under way --- */

void alert_push_drop(struct alert *alert)
{
    struct alert_push *push = &alert->push;

    if (!push->message)
        return;
    if (push->sent)
        plugin_cancel(push->plugin, (uint64_t)alert->device->handle << 32 | push->id);
    alert_wait_leave(alert);
    message_unref(push->message);
    *push = (struct alert_push){.due_ms = NEVER};
}

void alert_push_stop(struct alert *alert, const char *why)
{
    struct alert_push *push = &alert->push;
    uint64_t seq = push->message->seq;

    if (push->sent)
        alert->broker->metrics.push_cancels++;
    trace_add(alert->broker, alert->device, seq, push->plugin ? plugin_name(push->plugin) : "",
              push->sent ? "cancelled" : "suppressed", why,
              loop_now_ms(alert->broker->loop) - push->began_ms);
    alert_push_drop(alert);
    alert_passed(alert, seq);
}

static void finish(struct alert *alert, const char *outcome, const char *reason)
{
    struct alert_push *push = &alert->push;
    uint64_t seq = push->message->seq;

    if (outcome)
        trace_add(alert->broker, alert->device, seq, push->plugin ? plugin_name(push->plugin) : "",
                  outcome, reason, loop_now_ms(alert->broker->loop) - push->began_ms);
    push->sent = false; /* its outcome is in */
    alert_push_drop(alert);
    alert_passed(alert, seq);
}

static void begin_step(struct alert *alert, uint8_t step)
{
    struct alert_push *push = &alert->push;

    push->step = step;
    push->attempt = 0;
    push->sent = false;
    push->plugin = NULL;
    push->began_ms = loop_now_ms(alert->broker->loop);
    push->not_before_ms = 0;
    push->due_ms = NEVER;
}

static uint64_t backoff_ms(uint32_t attempt)
{
    uint64_t ms = RETRY_FIRST_MS;

    while (attempt-- > 1 && ms < RETRY_MAX_MS)
        ms *= 2;
    if (ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    /* half of it fixed, half by chance: devices that failed together do not come back together */
    return ms / 2 + (uint64_t)random() % (ms / 2 + 1);
}

/* The plugin takes it, or the device waits. False: there is no such step. */
static bool start(struct alert *alert)
{
    struct broker *broker = alert->broker;
    struct device *device = alert->device;
    struct alert_push *push = &alert->push;
    struct delivery_source source = {.device = device,
                                     .message = push->message,
                                     .attempt = push->attempt + 1,
                                     .summarized = push->summarized};
    uint32_t ack_ms;

    if (!route_alert_step(broker, device, (enum route_state)push->state, push->step, &push->plugin,
                          &ack_ms)) {
        if (push->step > 0 || push->state == ROUTE_OFFLINE)
            return false;
        /* its state has no other step: then as any device that can't be reached */
        push->state = ROUTE_OFFLINE;
        return start(alert);
    }
    if (push->due_ms == NEVER && ack_ms > 0)
        push->due_ms = loop_now_ms(broker->loop) + ack_ms;
    push->registered_at_ms = device->push ? device->push->registered_at_ms : 0;
    push->id = ++alert->last_id;
    push->attempt++;
    push->sent = true; /* the outcome may come inside */
    source.deadline_ms = push->due_ms == NEVER ? 0 : push->due_ms;
    if (delivery_start(broker, push->plugin, &source, (uint64_t)device->handle << 32 | push->id) <
        0) {
        push->sent = false;
        push->attempt--;
        wait_for(alert, push->plugin);
        return true;
    }
    broker->metrics.pushes++;
    return true;
}

/* Next step, or the end of alerting: the message stays in the inbox. */
static void next_step(struct alert *alert)
{
    struct plugin *plugin;
    uint32_t ack_ms;

    if (route_alert_step(alert->broker, alert->device, (enum route_state)alert->push.state,
                         alert->push.step + 1u, &plugin, &ack_ms))
        begin_step(alert, (uint8_t)(alert->push.step + 1));
    else
        finish(alert, NULL, "");
}

/* --- which one is next --- */

enum next { NEXT_PASS, NEXT_PUSH, NEXT_WAIT };

/* What to do about seq, and for NEXT_PUSH by whose steps. */
static enum next classify(struct alert *alert, uint64_t seq, enum route_state *ret_state)
{
    struct broker *broker = alert->broker;
    struct device *device = alert->device;
    const struct flight *message = flight_find(&device->flights, (uint32_t)seq);
    const struct flight *notified = flight_find(&alert->notified, (uint32_t)seq);
    const struct flight *open = flight_open(notified) ? notified : message;
    uint64_t until_ms;

    *ret_state = ROUTE_OFFLINE;
    if (alert_done(alert, seq))
        return NEXT_PASS;
    if (flight_open(open)) {
        *ret_state = route_state(device);
        if (open->timed_out)
            return NEXT_PUSH;
        return NEXT_WAIT; /* its deadline wakes us */
    }
    if (route_pending(broker, device, &until_ms)) {
        alert_wake_at(alert, until_ms);
        return NEXT_WAIT;
    }
    if (route_message_step(broker, device) || route_notify_step(broker, device))
        return NEXT_WAIT; /* the socket will have it */
    return NEXT_PUSH;
}

/* True: the step is over, or was never needed. */
static bool go_on(struct alert *alert)
{
    struct alert_push *push = &alert->push;
    uint64_t now_ms = loop_now_ms(alert->broker->loop), seq = push->message->seq;
    enum route_state state;
    const char *why = inbox_has(alert->device, seq)
                          ? "acknowledged"
                          : alert_suppressed(alert->broker, alert->device, push->message);

    if (why) {
        alert_push_stop(alert, why);
        return true;
    }
    if (push->due_ms <= now_ms) {
        trace_add(alert->broker, alert->device, seq, push->plugin ? plugin_name(push->plugin) : "",
                  "timed-out", "", now_ms - push->began_ms);
        if (push->sent)
            plugin_cancel(push->plugin, (uint64_t)alert->device->handle << 32 | push->id);
        push->sent = false;
        alert_wait_leave(alert);
        next_step(alert);
        return true;
    }
    alert_wake_at(alert, push->due_ms);
    alert_wake_at(alert, now_ms + (retention_end_ms(alert->broker, push->message) -
                                   retention_now_ms(alert->broker)));
    if (push->sent)
        return false;
    if (classify(alert, seq, &state) == NEXT_WAIT) {
        alert_push_drop(alert); /* the device has come back: its socket is the faster way */
        return true;
    }
    if (push->not_before_ms > now_ms) {
        alert_wake_at(alert, push->not_before_ms);
        return false;
    }
    alert_wait_leave(alert);
    if (!start(alert)) {
        finish(alert, "failed", "no-route");
        return true;
    }
    if (push->message)
        alert_wake_at(alert, push->due_ms);
    return push->message == NULL || alert->again;
}

/* --- a new one --- */

/* Above the limit of a minute the next push comes at its end, and stands for all that wait. */
static bool within_rate(struct alert *alert)
{
    uint64_t now_ms = loop_now_ms(alert->broker->loop);

    if (now_ms - alert->minute_ms >= MINUTE_MS) {
        alert->minute_ms = now_ms;
        alert->minute_count = 0;
    }
    if (alert->minute_count < alert->broker->options.push_per_minute)
        return true;
    alert_wake_at(alert, alert->minute_ms + MINUTE_MS);
    return false;
}

/* The newest of what waits without a socket stands for the others. */
static uint64_t summarize(struct alert *alert, uint64_t seq, uint32_t *ret_summarized)
{
    struct device *device = alert->device;
    uint64_t last = device->user->last_seq;

    *ret_summarized = 0;
    if (alert->minute_count != 0 || alert->minute_ms == 0 || last == seq ||
        device->flights.count > 0 || alert->notified.count > 0 ||
        last - seq < alert->broker->options.push_per_minute)
        return seq;
    *ret_summarized = (uint32_t)(last - seq);
    return last;
}

static bool begin(struct alert *alert, uint64_t seq, enum route_state state)
{
    struct broker *broker = alert->broker;
    struct device *device = alert->device;
    uint64_t now_ms = loop_now_ms(broker->loop), held_ms;
    struct message *message;
    uint32_t summarized;
    const char *why;

    if (now_ms < broker->settled_ms) {
        alert_wake_at(alert, broker->settled_ms); /* connectors are still announcing */
        return false;
    }
    if (device->user->settling)
        return false; /* recover.c plans again */
    if (!within_rate(alert))
        return false;
    feed_seek(&alert->feed, summarize(alert, seq, &summarized));
    message = feed_next(broker, &alert->feed);
    alert->reading = !message && alert->feed.fetching;
    if (!message) {
        if (alert->feed.next_seq > seq && !alert->feed.fetching)
            device->alerted_seq = alert->feed.next_seq - 1; /* retention has taken them */
        return false;
    }
    if (message->seq > seq && summarized == 0)
        device->alerted_seq = message->seq - 1;
    why = alert_suppressed(broker, device, message);
    if (why) {
        if (strcmp(why, "copy") != 0)
            trace_add(broker, device, message->seq, "", "suppressed", why, 0);
        if (summarized == 0)
            alert_passed(alert, message->seq);
        return summarized == 0;
    }
    held_ms = alert_held_until(broker, device, message);
    if (held_ms > 0) {
        alert_wake_at(alert, held_ms);
        return false;
    }
    if (summarized > 0) {
        trace_add(broker, device, message->seq, "", "summary", "", summarized);
        device->alerted_seq = message->seq - 1;
    }
    alert->minute_count++;
    alert->push = (struct alert_push){.message = message_ref(message),
                                      .state = (uint8_t)state,
                                      .summarized = summarized,
                                      .due_ms = NEVER};
    begin_step(alert, 0);
    return true;
}

bool alert_push_next(struct alert *alert)
{
    struct device *device = alert->device;
    uint64_t seq = alerted_up_to(device) + 1;
    enum route_state state;

    if (alert->broker->suspended)
        return false; /* it may be somebody else's to push; devices_alert_all follows */
    if (alert->push.message)
        return go_on(alert);
    if (seq > device->user->last_seq || !route_has_alert(alert->broker, device))
        return false;
    switch (classify(alert, seq, &state)) {
    case NEXT_PASS:
        alert_passed(alert, seq);
        return true;
    case NEXT_WAIT:
        return false;
    case NEXT_PUSH:
        break;
    }
    return begin(alert, seq, state);
}

/* --- outcomes --- */

/* The token is dead; unless the device has registered since, which starts anew. */
static void device_gone(struct alert *alert, const struct dp_outcome *outcome)
{
    struct broker *broker = alert->broker;
    struct device *device = alert->device;
    uint64_t gone_ms = outcome->gone_at_ms ? outcome->gone_at_ms : loop_wall_ms(broker->loop);

    if (device->push && (device->push->registered_at_ms != alert->push.registered_at_ms ||
                         device->push->registered_at_ms > gone_ms)) {
        trace_add(broker, device, alert->push.message->seq, plugin_name(alert->push.plugin),
                  "retry", "registered-again", loop_now_ms(broker->loop) - alert->push.began_ms);
        begin_step(alert, 0);
        return;
    }
    trace_add(broker, device, alert->push.message->seq, plugin_name(alert->push.plugin),
              "device-gone", outcome->reason ? outcome->reason : "",
              loop_now_ms(broker->loop) - alert->push.began_ms);
    broker->metrics.devices_gone++;
    if (device->push)
        push_forget(broker, device);
    /* the push steps are gone with the registration: what is at this index now is the next one */
    begin_step(alert, alert->push.step);
}

static void retry(struct alert *alert, const struct dp_outcome *outcome)
{
    struct alert_push *push = &alert->push;
    uint64_t now_ms = loop_now_ms(alert->broker->loop);
    uint64_t after_ms =
        outcome->retry_after_ms ? outcome->retry_after_ms : backoff_ms(push->attempt);

    trace_add(alert->broker, alert->device, push->message->seq, plugin_name(push->plugin), "retry",
              outcome->reason ? outcome->reason : "", now_ms - push->began_ms);
    alert->broker->metrics.push_retries++;
    push->not_before_ms = now_ms + after_ms;
}

void alert_push_outcome(struct broker *broker, struct plugin *plugin, uint64_t id,
                        const struct dp_outcome *outcome)
{
    struct device *device = device_by_handle(broker, (uint32_t)(id >> 32));
    struct alert *alert = device ? device->alert : NULL;
    const char *reason = outcome->reason ? outcome->reason : "";

    if (!alert || !alert->push.message || !alert->push.sent || alert->push.id != (uint32_t)id ||
        alert->push.plugin != plugin) {
        broker->metrics.late_outcomes++;
        return;
    }
    alert->push.sent = false;
    switch (outcome->kind) {
    case DP_ACKNOWLEDGED:
    case DP_ACCEPTED:
        broker->metrics.pushed++;
        delivery_log_push(broker, device, alert->push.message, plugin_name(plugin),
                          alert->push.began_ms);
        finish(alert, outcome->kind == DP_ACCEPTED ? "accepted" : "acknowledged", reason);
        break;
    case DP_RETRY:
        retry(alert, outcome);
        break;
    case DP_DEVICE_GONE:
        device_gone(alert, outcome);
        break;
    default:
        trace_add(broker, device, alert->push.message->seq, plugin_name(plugin), "failed", reason,
                  loop_now_ms(broker->loop) - alert->push.began_ms);
        broker->metrics.push_failures++;
        next_step(alert);
        break;
    }
    alert_run(broker, device);
}
