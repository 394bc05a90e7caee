/* inbox - see the header.
 *
 * A delivery's id is the device's handle and the low half of the sequence: enough to find its
 * flight again, nothing to allocate. Flights are in ascending order, and acknowledgements come
 * almost always for the oldest, so every step is O(1) in practice. */
#include "broker/inbox.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/delivery.h"
#include "broker/retention.h"
#include "broker/route.h"
#include "broker/store.h"
#include "broker/trace.h"
#include "broker/unread.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

static uint64_t delivery_id(const struct device *device, uint64_t seq)
{
    return (uint64_t)device->handle << 32 | (uint32_t)seq;
}

/* Pops what is done from the front and moves the cursor up to the first that is not. */
static void settle(struct broker *broker, struct device *device)
{
    struct flights *flights = &device->flights;
    uint64_t acked;

    while (flights->count > 0 && flight_at(flights, 0)->state == FLIGHT_DONE)
        flight_pop(flights);
    acked = flights->count > 0 ? flight_at(flights, 0)->seq - 1 : device->feed.next_seq - 1;
    if (acked <= device->acked_seq)
        return;
    device->acked_seq = acked;
    if (device->sent_seq < acked)
        device->sent_seq = acked;
    if (device->user->max_acked < acked)
        device->user->max_acked = acked;
    store_cursor_moved(broker, device);
}

/* --- what was acknowledged beyond a gap, over an earlier connection or as a notification --- */

/* Keeps the sequences of done flights behind the first open one. */
static void done_remember(struct device *device)
{
    for (uint32_t i = 0; i < device->flights.count; i++) {
        const struct flight *flight = flight_at(&device->flights, i);

        if (flight->state == FLIGHT_DONE)
            seq_set_add(&device->done, flight->seq, device->acked_seq);
    }
}

bool inbox_has(const struct device *device, uint64_t seq)
{
    const struct flight *flight;

    if (seq <= device->acked_seq || seq_set_has(&device->done, seq))
        return true;
    flight = flight_find(&device->flights, (uint32_t)seq);
    return flight && flight->state == FLIGHT_DONE;
}

/* --- delivering --- */

/* In messages, and in bytes: a connector disconnects a client for which too much waits, and would
 * do so again at every attempt to send it the same messages. One message always fits. */
static bool window_open(const struct broker *broker, const struct device *device)
{
    const struct flights *flights = &device->flights;

    return flights->outstanding < device->session->window &&
           (flights->outstanding == 0 ||
            flights->outstanding_bytes < broker->options.inbox_window_bytes);
}

/* Not for this device: its cursor passes without a delivery. */
static bool passes(struct broker *broker, struct device *device, const struct message *message)
{
    if (message->origin_device != 0 && message->origin_device == device->no)
        return true;
    if (seq_set_has(&device->done, message->seq))
        return true;
    if (retention_over(broker, message)) {
        broker->metrics.expired++;
        trace_add(broker, device, message->seq, "", "expired", "", 0);
        return true;
    }
    return false;
}

/* One delivery. False when the route does not take it now. */
static bool deliver(struct broker *broker, struct device *device, const struct step *step,
                    struct message *message)
{
    struct flights *flights = &device->flights;
    struct flight *flight = flight_push(flights, message->seq, FLIGHT_SENT);
    struct delivery_source source = {
        .device = device, .message = message, .redelivery = message->seq <= device->sent_seq};
    uint64_t seq = message->seq;

    if (!flight)
        return false;
    flight->mid = message->mid;
    flight->plugin = step->plugin;
    flight->sent_ms = loop_now_ms(broker->loop);
    flight->ack_ms = step->ack_ms;
    flight->bytes = message->body_len;
    flights->outstanding_bytes += flight->bytes;
    message_ref(message);
    if (delivery_start(broker, step->plugin, &source, delivery_id(device, seq)) < 0) {
        message_unref(message);
        flight_unpush(flights); /* the outcome has not come and will not */
        return false;
    }
    broker->metrics.deliveries++;
    feed_take(&device->feed);
    message_unref(message);
    if (device->sent_seq < seq)
        device->sent_seq = seq;
    return true;
}

/* A notification that carries all of it is on its way: its acknowledgement is this one's too. */
static bool cover(struct device *device, const struct message *message)
{
    if (!alert_carries(device, message->seq) ||
        !flight_push(&device->flights, message->seq, FLIGHT_COVERED))
        return false;
    feed_take(&device->feed);
    return true;
}

static void pump_messages(struct broker *broker, struct device *device)
{
    const struct step *step;
    struct message *message;

    while ((step = route_message_step(broker, device)) && window_open(broker, device) &&
           (message = feed_next(broker, &device->feed))) {
        if (!device->inbox && message->seq > device->sent_seq)
            break; /* behind what retention took of the unfinished ones: a new message */
        if (passes(broker, device, message)) {
            if (device->flights.count > 0 &&
                !flight_push(&device->flights, message->seq, FLIGHT_DONE))
                return; /* out of memory: tried again with the next event */
            feed_take(&device->feed);
            continue;
        }
        if (!cover(device, message) && !deliver(broker, device, step, message))
            return;
    }
    settle(broker, device);
}

static void pump(struct broker *broker, struct device *device)
{
    pump_messages(broker, device);
    alert_run(broker, device);
}

/* Lets the person's tail go up to where all online devices are past it. */
static void trim(struct broker *broker, struct user *user)
{
    struct device *device;
    uint64_t before = UINT64_MAX;

    if (user->tail.count == 0)
        return;
    TAILQ_FOREACH(device, &user->devices, link)
    {
        uint64_t wanted = route_wants(broker, device);

        if (wanted < before)
            before = wanted;
    }
    tail_trim(&user->tail, before, broker->options.tail_messages, broker->options.tail_bytes);
}

void inbox_pump(struct broker *broker, struct device *device)
{
    pump(broker, device);
    trim(broker, device->user);
}

static void tap(struct broker *broker, struct device *device, const struct message *message)
{
    struct wire_deliver record = {.conn = device->session->conn,
                                  .encoded_body = message_body(message)};

    wire_put_deliver(bus_out(broker, device->session->peer), &record);
}

void inbox_append(struct broker *broker, struct user *user, struct message *message)
{
    struct device *device;
    bool wanted = false;

    user->last_seq = message->seq;
    unread_count(broker, user, message);
    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (device->tap && device->session && device->session->opened &&
            message->origin_tap != device->handle)
            tap(broker, device, message);
        wanted = wanted || route_wants(broker, device) <= message->seq;
    }
    if (!wanted)
        return;
    tail_append(&user->tail, message);
    if (!user->touched) {
        user->touched = true;
        user_pin(broker, user);
        STAILQ_INSERT_TAIL(&broker->touched, user, touched_link);
    }
}

void inbox_pump_touched(struct broker *broker)
{
    struct user *user;

    while ((user = STAILQ_FIRST(&broker->touched))) {
        struct device *device;

        STAILQ_REMOVE_HEAD(&broker->touched, touched_link);
        user->touched = false;
        TAILQ_FOREACH(device, &user->devices, link)
        pump(broker, device);
        trim(broker, user);
        user_unpin(broker, user);
    }
}

void inbox_fetched(struct broker *broker, struct feed *feed, struct message **ready, uint32_t count,
                   uint64_t none_up_to)
{
    feed_fetched(feed, ready, count, none_up_to);
    inbox_pump(broker, feed->device);
}

/* --- outcomes --- */

/* The socket answered for one flight: its plugin hears it and reports the outcome, except where no
 * plugin has the delivery. */
static void socket_result(struct device *device, struct flight *flight, uint32_t result)
{
    if (flight->state == FLIGHT_SENT)
        plugin_socket_result(flight->plugin, delivery_id(device, flight->seq), result);
    else if (flight->state == FLIGHT_ADOPTED)
        flight_done(&device->flights, flight);
}

static struct session *current(struct broker *broker, struct peer *peer, uint64_t conn,
                               uint64_t epoch)
{
    struct session *session = session_find(broker, peer, conn);

    return session && session->epoch == epoch && session->device->session == session ? session
                                                                                     : NULL;
}

void inbox_on_ack(struct broker *broker, struct peer *peer, const struct wire_ack *ack)
{
    struct session *session = current(broker, peer, ack->conn, ack->epoch);
    struct wire_list more = ack->more;
    struct device *device;
    uint64_t seq;

    if (!session)
        return; /* an older connection's word does not count any more */
    device = session->device;
    for (uint32_t i = 0;
         i < device->flights.count && flight_at(&device->flights, i)->seq <= ack->acked_seq; i++)
        socket_result(device, flight_at(&device->flights, i), DP_SOCKET_ACKED);
    while (wire_seq_next(&more, &seq) == 1) {
        struct flight *flight = flight_find(&device->flights, (uint32_t)seq);

        if (flight)
            socket_result(device, flight, DP_SOCKET_ACKED);
    }
    settle(broker, device);
    inbox_pump(broker, device);
}

void inbox_on_notified(struct broker *broker, struct peer *peer, const struct wire_ack *ack)
{
    struct session *session = current(broker, peer, ack->conn, ack->epoch);

    if (!session)
        return;
    alert_on_notified(session->device, ack);
    inbox_pump(broker, session->device);
}

void inbox_on_skip(struct broker *broker, struct peer *peer, const struct wire_skip *skip)
{
    struct session *session = current(broker, peer, skip->conn, skip->epoch);
    struct flight *flight;

    if (!session)
        return;
    log_limited(loop_now_ms(broker->loop), LOG_WARNING, NULL,
                "a message is too large for the device: user=%s device=%s size=%u limit=%u",
                session->device->user->id, session->device->id, skip->size, skip->limit);
    if (skip->notification) {
        alert_on_skip(session->device, skip->seq);
    } else {
        flight = flight_find(&session->device->flights, (uint32_t)skip->seq);
        if (!flight)
            return;
        socket_result(session->device, flight, DP_SOCKET_TOO_LARGE);
        settle(broker, session->device);
    }
    inbox_pump(broker, session->device);
}

void inbox_outcome(struct broker *broker, uint64_t id, const struct dp_outcome *outcome)
{
    struct device *device = device_by_handle(broker, (uint32_t)(id >> 32));
    struct flight *flight = device ? flight_find(&device->flights, (uint32_t)id) : NULL;

    if (!flight || flight->state != FLIGHT_SENT) {
        broker->metrics.late_outcomes++;
        return;
    }
    switch (outcome->kind) {
    case DP_ACKNOWLEDGED:
        broker->metrics.acknowledged++;
        device->acked_by = plugin_name(flight->plugin);
        delivery_log(broker, device, flight, plugin_name(flight->plugin), "delivered");
        flight_done(&device->flights, flight);
        break;
    case DP_FAILED:
        if (outcome->reason && strcmp(outcome->reason, "too-large") == 0) {
            broker->metrics.too_large++;
            trace_add(broker, device, flight->seq, plugin_name(flight->plugin), "failed",
                      "too-large", 0);
            flight_done(&device->flights, flight);
        }
        /* any other failure leaves the flight open: the message waits for the next connection */
        break;
    default:
        /* DP_RETRY: the connection was lost, inbox_connection_lost makes it due again */
        broker->metrics.connection_lost++;
        break;
    }
}

void inbox_acknowledged(struct broker *broker, struct device *device, uint64_t seq,
                        const char *step)
{
    struct flight *flight = flight_find(&device->flights, (uint32_t)seq);

    device->acked_by = step;
    if (flight) {
        flight_done(&device->flights, flight);
    } else if (seq == device->feed.next_seq && device->flights.count == 0) {
        feed_seek(&device->feed, seq + 1);
        while (seq_set_has(&device->done, device->feed.next_seq))
            feed_seek(&device->feed, device->feed.next_seq + 1);
    } else if (seq >= device->feed.next_seq) {
        seq_set_add(&device->done, seq, device->acked_seq);
    }
    settle(broker, device);
}

/* --- connections --- */

void inbox_forget_flights(struct device *device)
{
    struct flights *flights = &device->flights;

    alert_connection_lost(device);
    for (uint32_t i = 0; i < flights->count; i++) {
        if (flight_at(flights, i)->state == FLIGHT_SENT)
            plugin_socket_result(flight_at(flights, i)->plugin,
                                 delivery_id(device, flight_at(flights, i)->seq), DP_SOCKET_LOST);
    }
}

void inbox_connection_lost(struct broker *broker, struct device *device)
{
    struct flights *flights = &device->flights;

    inbox_forget_flights(device);
    settle(broker, device);
    if (flights->count > 0) {
        done_remember(device);
        store_cursor_moved(broker, device); /* sent_seq: what comes again comes with DUP */
    }
    flights_clear(flights);
    feed_forget(&device->feed);
    device->feed.next_seq = device->acked_seq + 1;
    alert_run(broker, device);
    trim(broker, device->user);
}

void inbox_adopt(struct broker *broker, struct device *device, const struct wire_progress *messages,
                 const struct wire_progress *notified)
{
    struct wire_list sent = messages->sent, more = messages->more;
    uint64_t seq, newest = device->acked_seq;

    if (messages->acked_seq > device->acked_seq && messages->acked_seq <= device->user->last_seq) {
        device->acked_seq = newest = messages->acked_seq;
        store_cursor_moved(broker, device);
    }
    while (wire_seq_next(&more, &seq) == 1) {
        if (seq <= device->user->last_seq)
            seq_set_add(&device->done, seq, device->acked_seq);
    }
    while (wire_seq_next(&sent, &seq) == 1) {
        struct flight *flight;

        if (seq <= newest || seq > device->user->last_seq)
            continue;
        flight = flight_push(&device->flights, seq, FLIGHT_ADOPTED);
        if (!flight)
            break; /* out of memory: the device gets the rest again */
        flight->sent_ms = loop_now_ms(broker->loop);
        flight->ack_ms = route_ack_ms(broker, false);
        newest = seq;
    }
    feed_forget(&device->feed);
    device->feed.next_seq = newest + 1;
    if (device->sent_seq < newest)
        device->sent_seq = newest;
    if (device->user->max_acked < device->acked_seq)
        device->user->max_acked = device->acked_seq;
    alert_adopt(broker, device, notified);
}

void inbox_restart(struct broker *broker, struct device *device)
{
    seq_set_clear(&device->done);
    if (device->sent_seq != device->acked_seq) {
        /* written, because without a subscription it says what is still owed */
        device->sent_seq = device->acked_seq;
        store_cursor_moved(broker, device);
    }
    feed_forget(&device->feed);
    device->feed.next_seq = device->acked_seq + 1;
}
