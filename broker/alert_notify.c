/* alert_notify - notifications on the socket of a device in the background. */
#include "broker/alert_internal.h"

#include "broker/delivery.h"
#include "broker/inbox.h"
#include "broker/session.h"
#include "broker/trace.h"

static uint64_t delivery_id(const struct device *device, uint64_t seq)
{
    return (uint64_t)device->handle << 32 | (uint32_t)seq;
}

static bool window_open(const struct alert *alert)
{
    const struct flights *flights = &alert->notified;

    return flights->outstanding < alert->device->session->window &&
           (flights->outstanding == 0 ||
            flights->outstanding_bytes < alert->broker->options.inbox_window_bytes);
}

static bool send_one(struct alert *alert, const struct step *step, struct message *message)
{
    struct device *device = alert->device;
    struct flight *flight = flight_push(&alert->notified, message->seq, FLIGHT_SENT);
    struct delivery_source source = {.device = device, .message = message, .flight = flight};
    int r;

    if (!flight)
        return false;
    flight->mid = message->mid;
    flight->plugin = step->plugin;
    flight->sent_ms = loop_now_ms(alert->broker->loop);
    flight->ack_ms = step->ack_ms;
    flight->bytes = message->body_len;
    alert->notified.outstanding_bytes += flight->bytes;
    message_ref(message);
    r = delivery_start(alert->broker, step->plugin, &source, delivery_id(device, message->seq));
    message_unref(message);
    if (r < 0) {
        flight_unpush(&alert->notified);
        return false;
    }
    alert->broker->metrics.notifications++;
    if (route_has_alert(alert->broker, device))
        alert_wake_at(alert, alert_flight_due(alert, flight));
    feed_take(&alert->feed);
    return true;
}

/* Behind what was sent on this connection as a message, which has its deadline there, and behind
 * what was sent as a notification: a push may have moved the feed back for one of those. */
static uint64_t first_to_notify(const struct alert *alert)
{
    const struct device *device = alert->device;
    const struct flights *notified = &alert->notified;
    uint64_t first = alerted_up_to(device) + 1;

    if (device->feed.next_seq > first)
        first = device->feed.next_seq;
    if (notified->count > 0 && flight_at(notified, notified->count - 1)->seq >= first)
        first = flight_at(notified, notified->count - 1)->seq + 1;
    return first;
}

void alert_notify(struct alert *alert)
{
    struct broker *broker = alert->broker;
    struct device *device = alert->device;
    const struct step *step;
    struct message *message;
    uint64_t first;

    while (!alert->push.message && !alert->reading && (step = route_notify_step(broker, device)) &&
           window_open(alert)) {
        const char *why;
        uint64_t held_ms;

        first = first_to_notify(alert);
        if (alert->feed.next_seq < first || alert->notified.count == 0)
            feed_seek(&alert->feed, first);
        message = feed_next(broker, &alert->feed);
        if (!message)
            break;
        why = alert_done(alert, message->seq) ? "acknowledged"
                                              : alert_suppressed(broker, device, message);
        if (!why) {
            held_ms = alert_held_until(broker, device, message);
            if (held_ms > 0) {
                alert_wake_at(alert, held_ms);
                break;
            }
            if (!send_one(alert, step, message))
                break;
            continue;
        }
        if (!flight_push(&alert->notified, message->seq, FLIGHT_DONE))
            break;
        feed_take(&alert->feed);
        alert_settle(alert);
    }
}

/* --- the socket's answers --- */

static void socket_result(struct device *device, struct flight *flight, uint32_t result)
{
    if (flight->state == FLIGHT_SENT)
        plugin_socket_result(flight->plugin, delivery_id(device, flight->seq), result);
    else if (flight->state == FLIGHT_ADOPTED && result == DP_SOCKET_ACKED)
        /* whether it carried everything is not known: the message follows in the foreground */
        flight_done(&device->alert->notified, flight);
}

void alert_on_notified(struct device *device, const struct wire_ack *ack)
{
    struct alert *alert = device->alert;
    struct wire_list more = ack->more;
    uint64_t seq;

    if (!alert)
        return;
    for (uint32_t i = 0;
         i < alert->notified.count && flight_at(&alert->notified, i)->seq <= ack->acked_seq; i++)
        socket_result(device, flight_at(&alert->notified, i), DP_SOCKET_ACKED);
    while (wire_seq_next(&more, &seq) == 1) {
        struct flight *flight = flight_find(&alert->notified, (uint32_t)seq);

        if (flight)
            socket_result(device, flight, DP_SOCKET_ACKED);
    }
    alert_settle(alert);
}

void alert_on_skip(struct device *device, uint64_t seq)
{
    struct flight *flight =
        device->alert ? flight_find(&device->alert->notified, (uint32_t)seq) : NULL;

    if (flight)
        socket_result(device, flight, DP_SOCKET_TOO_LARGE);
}

void alert_connection_lost(struct device *device)
{
    struct alert *alert = device->alert;

    if (!alert)
        return;
    for (uint32_t i = 0; i < alert->notified.count; i++) {
        if (flight_at(&alert->notified, i)->state == FLIGHT_SENT)
            plugin_socket_result(flight_at(&alert->notified, i)->plugin,
                                 delivery_id(device, flight_at(&alert->notified, i)->seq),
                                 DP_SOCKET_LOST);
    }
    alert_settle(alert);
    for (uint32_t i = 0; i < alert->notified.count; i++) {
        if (flight_at(&alert->notified, i)->state == FLIGHT_DONE)
            seq_set_add(&alert->shown, flight_at(&alert->notified, i)->seq, alerted_up_to(device));
    }
    flights_clear(&alert->notified);
    feed_seek(&alert->feed, alerted_up_to(device) + 1);
}

/* What the connector has sent and not got acknowledged, and what it has: everything up to there
 * that is not in its list was shown, or needed no showing. Except what is on its way as a message:
 * that has its own deadline. */
void alert_adopt(struct broker *broker, struct device *device, const struct wire_progress *notified)
{
    struct wire_list list = notified->sent, more = notified->more;
    uint64_t seq = alerted_up_to(device), newest = notified->acked_seq, open = 0, beyond;
    struct alert *alert;

    while (wire_seq_next(&more, &beyond) == 1)
        newest = beyond; /* what is open before it is in the other list */
    if (newest <= seq && list.count == 0)
        return;
    alert = alert_of(broker, device);
    if (!alert)
        return; /* out of memory: it is alerted again, with the same id */
    while (seq < device->user->last_seq) {
        struct flight *flight = NULL;

        while (open <= seq && wire_seq_next(&list, &open) == 1)
            ;
        seq++;
        if (seq > newest && open < seq)
            break;
        if (seq == open)
            flight = flight_push(&alert->notified, seq, FLIGHT_ADOPTED);
        else if (!flight_open(flight_find(&device->flights, (uint32_t)seq)))
            flight_push(&alert->notified, seq, FLIGHT_DONE);
        if (flight) {
            flight->sent_ms = loop_now_ms(broker->loop);
            flight->ack_ms = route_ack_ms(broker, true);
        }
        feed_seek(&alert->feed, seq + 1);
    }
    alert_settle(alert);
}

void alert_notify_outcome(struct broker *broker, uint64_t id, const struct dp_outcome *outcome)
{
    struct device *device = device_by_handle(broker, (uint32_t)(id >> 32));
    struct alert *alert = device ? device->alert : NULL;
    struct flight *flight = alert ? flight_find(&alert->notified, (uint32_t)id) : NULL;
    const char *step;
    uint64_t took_ms;

    if (!flight || flight->state != FLIGHT_SENT) {
        broker->metrics.late_outcomes++;
        return;
    }
    took_ms = loop_now_ms(broker->loop) - flight->sent_ms;
    step = plugin_name(flight->plugin);
    switch (outcome->kind) {
    case DP_ACKNOWLEDGED:
        broker->metrics.notified++;
        delivery_log(broker, device, flight, step, "alerted");
        if (!flight->whole || flight->timed_out)
            trace_add(broker, device, flight->seq, step, flight->whole ? "acknowledged" : "shown",
                      "", took_ms);
        flight_done(&alert->notified, flight);
        if (flight->whole)
            inbox_acknowledged(broker, device, flight->seq, step);
        break;
    case DP_FAILED:
        /* too large for this client: the next step has it at once */
        trace_add(broker, device, flight->seq, step, "failed",
                  outcome->reason ? outcome->reason : "", took_ms);
        if (route_has_alert(broker, device))
            flight_timed_out(&alert->notified, flight);
        else
            flight_done(&alert->notified, flight);
        break;
    default:
        break; /* the connection was lost: alert_connection_lost makes it due */
    }
}
