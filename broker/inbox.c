/* inbox - see the header.
 *
 * A delivery's id is the device's handle and the low half of the sequence: enough to find its
 * flight again, nothing to allocate. Flights are in ascending order, and acknowledgements come
 * almost always for the oldest, so every step is O(1) in practice. */
#include "broker/inbox.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/route.h"
#include "broker/store.h"
#include "common/auto.h"
#include "common/log.h"

#include "beckon/delivery_plugin.h"

#include <stdlib.h>

/* --- flights --- */

static uint64_t delivery_id(const struct device *device, uint64_t seq)
{
    return (uint64_t)device->handle << 32 | (uint32_t)seq;
}

static struct flight *flight_at(const struct device *device, uint32_t index)
{
    return &device->ring[(device->head + index) & (device->cap - 1)];
}

static struct flight *flight_push(struct device *device, uint64_t seq, enum flight_state state)
{
    struct flight *flight;

    if (device->count == device->cap) {
        uint32_t cap = device->cap ? device->cap * 2 : 4;
        struct flight *ring = malloc(cap * sizeof(*ring));

        if (!ring)
            return NULL;
        for (uint32_t i = 0; i < device->count; i++)
            ring[i] = *flight_at(device, i);
        free(device->ring);
        device->ring = ring;
        device->head = 0;
        device->cap = cap;
    }
    flight = flight_at(device, device->count++);
    memset(flight, 0, sizeof(*flight));
    flight->seq = seq;
    flight->state = (uint8_t)state;
    if (state != FLIGHT_DONE)
        device->outstanding++;
    return flight;
}

static void flight_done(struct device *device, struct flight *flight)
{
    if (flight->state != FLIGHT_DONE) {
        device->outstanding--;
        device->outstanding_bytes -= flight->bytes;
    }
    flight->state = FLIGHT_DONE;
}

static void flights_clear(struct device *device)
{
    free(device->ring);
    device->ring = NULL;
    device->head = device->count = device->cap = 0;
    device->outstanding = device->outstanding_bytes = 0;
}

/* The flight with that sequence, or (for ids) that low half of one. */
static struct flight *flight_find(const struct device *device, uint32_t seq_low)
{
    for (uint32_t i = 0; i < device->count; i++) {
        struct flight *flight = flight_at(device, i);

        if ((uint32_t)flight->seq == seq_low)
            return flight;
    }
    return NULL;
}

/* Pops what is done from the front and moves the cursor up to the first that is not. */
static void settle(struct broker *broker, struct device *device)
{
    uint64_t acked;

    while (device->count > 0 && flight_at(device, 0)->state == FLIGHT_DONE) {
        device->head = (device->head + 1) & (device->cap - 1);
        device->count--;
    }
    acked = device->count > 0 ? flight_at(device, 0)->seq - 1 : device->next_seq - 1;
    if (device->count == 0)
        flights_clear(device);
    if (acked <= device->acked_seq)
        return;
    device->acked_seq = acked;
    if (device->sent_seq < acked)
        device->sent_seq = acked;
    if (device->user->max_acked < acked)
        device->user->max_acked = acked;
    store_cursor_moved(broker, device);
}

/* --- what was acknowledged beyond a gap, over an earlier connection --- */

static bool done_before(struct device *device, uint64_t seq)
{
    for (uint32_t i = 0; i < device->done_count; i++) {
        if (device->done[i] == seq)
            return true;
    }
    return false;
}

static void done_forget(struct device *device)
{
    free(device->done);
    device->done = NULL;
    device->done_count = 0;
}

/* Keeps the sequences of done flights behind the first open one. */
static void done_remember(struct device *device)
{
    uint64_t *done = NULL;
    uint32_t count = 0;

    for (uint32_t i = 0; i < device->count; i++) {
        const struct flight *flight = flight_at(device, i);

        if (flight->state != FLIGHT_DONE)
            continue;
        if (!done)
            done = calloc(device->count, sizeof(*done));
        if (!done)
            break; /* out of memory: the device gets them again, with DUP */
        done[count++] = flight->seq;
    }
    done_forget(device);
    device->done = done;
    device->done_count = count;
}

/* --- delivering --- */

/* In messages, and in bytes: a connector disconnects a client for which too much waits, and would
 * do so again at every attempt to send it the same messages. One message always fits. */
static bool window_open(const struct broker *broker, const struct device *device)
{
    return device->outstanding < device->session->window &&
           (device->outstanding == 0 ||
            device->outstanding_bytes < broker->options.inbox_window_bytes);
}

/* The next message for the device, or NULL when it must be read (asked for here) or there is none.
 * Moves next_seq over a hole that retention has left. Borrowed until next_seq moves. */
static struct message *next_message(struct broker *broker, struct device *device)
{
    struct message *message;

    if (device->ready_count > 0) {
        message = device->ready[device->ready_head];
        if (message->seq >= device->next_seq) {
            device->next_seq = message->seq;
            return message;
        }
        device_forget_ready(device);
    }
    if (device->next_seq > device->user->last_seq)
        return NULL;
    message = tail_get(&device->user->tail, device->next_seq);
    if (!message)
        store_fetch(broker, device);
    return message;
}

static void take_next(struct device *device)
{
    if (device->ready_count > 0 && device->ready[device->ready_head]->seq == device->next_seq) {
        message_unref(device->ready[device->ready_head++]);
        if (--device->ready_count == 0)
            device_forget_ready(device);
    }
    device->next_seq++;
}

/* Not for this device: its cursor passes without a delivery. */
static bool passes(struct broker *broker, struct device *device, const struct message *message)
{
    if (message->origin_device != 0 && message->origin_device == device->no)
        return true;
    if (device->done_count > 0 && done_before(device, message->seq))
        return true;
    if (message_expired(message, loop_wall_ms(broker->loop))) {
        broker->metrics.expired++;
        return true;
    }
    return false;
}

/* One delivery. False when the route does not take it now. */
static bool deliver(struct broker *broker, struct device *device, struct message *message)
{
    struct flight *flight = flight_push(device, message->seq, FLIGHT_SENT);
    bool redelivery = message->seq <= device->sent_seq;
    uint64_t seq = message->seq;

    if (!flight)
        return false;
    flight->mid = message->mid;
    flight->sent_ms = loop_now_ms(broker->loop);
    flight->bytes = message->body_len;
    device->outstanding_bytes += flight->bytes;
    message_ref(message);
    if (route_deliver(broker, device, message, delivery_id(device, seq), redelivery) < 0) {
        message_unref(message);
        /* the outcome has not come and will not: the flight is the newest */
        device->count--;
        device->outstanding--;
        device->outstanding_bytes -= flight->bytes;
        return false;
    }
    broker->metrics.deliveries++;
    take_next(device);
    message_unref(message);
    if (device->sent_seq < seq)
        device->sent_seq = seq;
    return true;
}

static void pump(struct broker *broker, struct device *device)
{
    struct message *message;

    while (route_available(device) && window_open(broker, device) &&
           (message = next_message(broker, device))) {
        if (passes(broker, device, message)) {
            if (device->count > 0 && !flight_push(device, message->seq, FLIGHT_DONE))
                return; /* out of memory: tried again with the next event */
            take_next(device);
            continue;
        }
        if (!deliver(broker, device, message))
            return;
    }
    settle(broker, device);
}

/* Lets the person's tail go up to where all online devices are past it. */
static void trim(struct broker *broker, struct user *user)
{
    const struct device *device;
    uint64_t before = UINT64_MAX;

    if (user->tail.count == 0)
        return;
    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (route_available(device) && device->next_seq < before)
            before = device->next_seq;
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
    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (!device->session || !device->session->opened)
            continue;
        if (device->tap)
            tap(broker, device, message);
        wanted = wanted || device->inbox;
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

void inbox_fetched(struct broker *broker, struct device *device, struct message **ready,
                   uint32_t count, uint64_t none_up_to)
{
    device_forget_ready(device);
    if (count > 0) {
        device->ready = ready;
        device->ready_count = count;
    } else {
        free(ready);
        if (none_up_to >= device->next_seq)
            device->next_seq = none_up_to + 1;
    }
    inbox_pump(broker, device);
}

/* --- outcomes --- */

static void log_delivery(struct broker *broker, const struct device *device,
                         const struct flight *flight)
{
    char mid[MID_TEXT_SIZE];

    mid_format(&flight->mid, mid);
    log_info(NULL, "delivered mid=%s to=%s device=%s route=live ms=%llu", mid, device->user->id,
             device->id, (unsigned long long)(loop_now_ms(broker->loop) - flight->sent_ms));
}

/* The socket answered for one flight: its plugin hears it and reports the outcome, except where no
 * plugin has the delivery. */
static void socket_result(struct broker *broker, struct device *device, struct flight *flight,
                          uint32_t result)
{
    if (flight->state == FLIGHT_SENT)
        route_socket_result(broker, delivery_id(device, flight->seq), result);
    else if (flight->state == FLIGHT_ADOPTED)
        flight_done(device, flight);
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
    for (uint32_t i = 0; i < device->count && flight_at(device, i)->seq <= ack->acked_seq; i++)
        socket_result(broker, device, flight_at(device, i), DP_SOCKET_ACKED);
    while (wire_seq_next(&more, &seq) == 1) {
        struct flight *flight = flight_find(device, (uint32_t)seq);

        if (flight)
            socket_result(broker, device, flight, DP_SOCKET_ACKED);
    }
    settle(broker, device);
    inbox_pump(broker, device);
}

void inbox_on_skip(struct broker *broker, struct peer *peer, const struct wire_skip *skip)
{
    struct session *session = current(broker, peer, skip->conn, skip->epoch);
    struct flight *flight;

    if (!session)
        return;
    flight = flight_find(session->device, (uint32_t)skip->seq);
    if (!flight)
        return;
    log_limited(loop_now_ms(broker->loop), LOG_WARNING, NULL,
                "a message is too large for the device: user=%s device=%s size=%u limit=%u",
                session->device->user->id, session->device->id, skip->size, skip->limit);
    socket_result(broker, session->device, flight, DP_SOCKET_TOO_LARGE);
    settle(broker, session->device);
    inbox_pump(broker, session->device);
}

void inbox_outcome(struct broker *broker, uint64_t id, uint32_t kind, const char *reason)
{
    struct device *device = device_by_handle(broker, (uint32_t)(id >> 32));
    struct flight *flight = device ? flight_find(device, (uint32_t)id) : NULL;

    if (!flight || flight->state != FLIGHT_SENT) {
        broker->metrics.late_outcomes++;
        return;
    }
    switch (kind) {
    case DP_ACKNOWLEDGED:
        broker->metrics.acknowledged++;
        if (broker->options.log_deliveries)
            log_delivery(broker, device, flight);
        flight_done(device, flight);
        break;
    case DP_FAILED:
        if (reason && strcmp(reason, "too-large") == 0) {
            broker->metrics.too_large++;
            flight_done(device, flight);
        }
        /* any other failure leaves the flight open: the message waits for the next connection */
        break;
    default:
        /* DP_RETRY: the connection was lost, inbox_connection_lost makes it due again */
        broker->metrics.connection_lost++;
        break;
    }
}

/* --- connections --- */

void inbox_connection_lost(struct broker *broker, struct device *device)
{
    for (uint32_t i = 0; i < device->count; i++) {
        if (flight_at(device, i)->state == FLIGHT_SENT)
            route_socket_result(broker, delivery_id(device, flight_at(device, i)->seq),
                                DP_SOCKET_LOST);
    }
    settle(broker, device);
    if (device->count > 0) {
        done_remember(device);
        store_cursor_moved(broker, device); /* sent_seq: what comes again comes with DUP */
    }
    flights_clear(device);
    device_forget_ready(device);
    device->fetch_stale = true;
    device->next_seq = device->acked_seq + 1;
    trim(broker, device->user);
}

void inbox_adopt(struct broker *broker, struct device *device, uint64_t acked_seq,
                 struct wire_list sent)
{
    uint64_t seq, newest = device->acked_seq;

    done_forget(device);
    if (acked_seq > device->acked_seq && acked_seq <= device->user->last_seq) {
        device->acked_seq = newest = acked_seq;
        store_cursor_moved(broker, device);
    }
    while (wire_seq_next(&sent, &seq) == 1) {
        if (seq <= newest || seq > device->user->last_seq)
            continue;
        if (!flight_push(device, seq, FLIGHT_ADOPTED))
            break; /* out of memory: the device gets the rest again */
        newest = seq;
    }
    device->next_seq = newest + 1;
    if (device->sent_seq < newest)
        device->sent_seq = newest;
    if (device->user->max_acked < device->acked_seq)
        device->user->max_acked = device->acked_seq;
    device_forget_ready(device);
    device->fetch_stale = true;
}

void inbox_restart(struct broker *broker, struct device *device)
{
    (void)broker;
    done_forget(device);
    device->sent_seq = device->acked_seq;
    device->next_seq = device->acked_seq + 1;
}
