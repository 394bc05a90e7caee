/* alert - see the header. The planner: when to look, and what is settled. */
#include "broker/alert_internal.h"

#include "broker/inbox.h"
#include "broker/session.h"
#include "broker/store.h"
#include "broker/unread.h"

#include "common/auto.h"
#include <stdlib.h>

void alert_destroy(struct broker *broker, struct device *device)
{
    struct alert *alert = device->alert;

    if (!alert)
        return;
    alert_push_drop(alert);
    alert_wait_leave(alert);
    loop_timer_cancel(broker->loop, &alert->timer);
    store_forget_feed(broker, &alert->feed);
    feed_fini(&alert->feed);
    flights_clear(&alert->notified);
    seq_set_clear(&alert->shown);
    device->alert = NULL;
    free(alert);
}

static void on_timer(struct timer *timer)
{
    struct alert *alert = CONTAINER_OF(timer, struct alert, timer);

    inbox_pump(alert->broker, alert->device);
}

struct alert *alert_of(struct broker *broker, struct device *device)
{
    struct alert *alert = device->alert;

    if (alert)
        return alert;
    alert = calloc(1, sizeof(*alert));
    if (!alert)
        return NULL; /* tried again with the next event */
    alert->broker = broker;
    alert->device = device;
    alert->feed =
        (struct feed){.device = device, .next_seq = alerted_up_to(device) + 1, .alerts = true};
    alert->push.due_ms = NEVER;
    timer_init(&alert->timer, on_timer);
    device->alert = alert;
    return alert;
}

/* --- the cursor --- */

bool alert_done(const struct alert *alert, uint64_t seq)
{
    const struct flight *flight = flight_find(&alert->notified, (uint32_t)seq);

    return (flight && flight->state == FLIGHT_DONE) || seq_set_has(&alert->shown, seq) ||
           inbox_has(alert->device, seq);
}

void alert_settle(struct alert *alert)
{
    struct device *device = alert->device;
    uint64_t alerted = alerted_up_to(device);

    while (alerted < device->user->last_seq) {
        if (!alert_done(alert, alerted + 1))
            break;
        alerted++;
    }
    while (alert->notified.count > 0 && flight_at(&alert->notified, 0)->seq <= alerted)
        flight_pop(&alert->notified);
    if (alerted <= device->alerted_seq)
        return;
    device->alerted_seq = alerted;
    store_cursor_moved(alert->broker, device);
}

void alert_passed(struct alert *alert, uint64_t seq)
{
    struct device *device = alert->device;

    if (seq == alerted_up_to(device) + 1) {
        device->alerted_seq = seq;
        store_cursor_moved(alert->broker, device);
    }
    alert_settle(alert);
}

struct feed *alert_feed(struct device *device)
{
    return device->alert ? &device->alert->feed : NULL;
}

uint64_t alert_next_seq(const struct device *device)
{
    uint64_t next = alerted_up_to(device) + 1;
    const struct alert *alert = device->alert;

    if (!alert)
        return next;
    if (alert->push.message && alert->push.message->seq >= next)
        return alert->push.message->seq + 1;
    return alert->feed.next_seq > next && alert->notified.count > 0 ? alert->feed.next_seq : next;
}

bool alert_carries(const struct device *device, uint64_t seq)
{
    const struct flight *flight =
        device->alert ? flight_find(&device->alert->notified, (uint32_t)seq) : NULL;

    return flight_open(flight) && flight->whole && !flight->timed_out;
}

/* --- planning --- */

/* Nothing to alert, nothing in flight that could become overdue. */
static bool nothing_to_do(struct broker *broker, const struct device *device)
{
    const struct alert *alert = device->alert;

    if (device->no == 0)
        return true;
    if (alert && (alert->notified.count > 0 || alert->push.message || alert->pinned ||
                  timer_armed(&alert->timer)))
        return false;
    if (device->flights.count == 0 && alerted_up_to(device) >= device->user->last_seq)
        return true;
    return !route_has_alert(broker, device) && !route_notify_step(broker, device);
}

static bool busy(const struct alert *alert)
{
    return alert->push.message || alert->feed.fetching || timer_armed(&alert->timer) ||
           alert->waiting_for;
}

/* A pinned user is not forgotten while one of its devices waits for something. */
static void pin(struct alert *alert)
{
    if (alert->pinned == busy(alert))
        return;
    alert->pinned = !alert->pinned;
    if (alert->pinned)
        user_pin(alert->broker, alert->device->user);
    else
        user_unpin(alert->broker, alert->device->user);
}

static void set_timer(struct alert *alert)
{
    uint64_t now_ms = loop_now_ms(alert->broker->loop);

    loop_timer_cancel(alert->broker->loop, &alert->timer);
    if (alert->wake_ms != NEVER)
        loop_timer_add(alert->broker->loop, &alert->timer,
                       alert->wake_ms > now_ms ? alert->wake_ms - now_ms : 0);
}

void alert_run(struct broker *broker, struct device *device)
{
    struct alert *alert = device->alert;

    if (alert && alert->running) {
        alert->again = true;
        return;
    }
    if (nothing_to_do(broker, device) || !unread_fresh(broker, device->user) ||
        !(alert = alert_of(broker, device)))
        return;
    alert->running = true;
    do {
        alert->again = false;
        alert->wake_ms = NEVER;
        alert_settle(alert);
        alert_check_deadlines(alert);
        alert->reading = false;
        /* a push that was read back comes first: notifications would move the feed on */
        while (alert_push_next(alert))
            ;
        alert_notify(alert);
        while (alert_push_next(alert))
            ;
    } while (alert->again);
    alert->running = false;
    set_timer(alert);
    pin(alert);
}

void alert_heard(struct broker *broker, struct device *device)
{
    struct session *session = device->session;

    if (!session)
        return;
    session->doubtful = false;
    /* its background time was over, and it is there all the same: it gets some more */
    if (session->lease_until_ms != 0 && session->lease_until_ms <= loop_now_ms(broker->loop))
        session->lease_until_ms =
            loop_now_ms(broker->loop) + (uint64_t)broker->options.background_lease_s * 1000;
    inbox_pump(broker, device);
}

void alert_seen(struct broker *broker, struct device *device, uint64_t seq)
{
    struct alert *alert = device->alert;

    if (!alert || seq <= alerted_up_to(device))
        return;
    /* whatever waits is looked at again, and finds that it is not needed */
    alert_run(broker, device);
}

void alert_shown(struct broker *broker, struct device *device, uint64_t seq)
{
    struct alert *alert;
    struct flight *flight;

    if (seq <= alerted_up_to(device) || !(alert = alert_of(broker, device)))
        return;
    flight = flight_find(&alert->notified, (uint32_t)seq);
    if (!flight)
        seq_set_add(&alert->shown, seq, alerted_up_to(device));
    else if (flight->state != FLIGHT_SENT)
        flight_done(&alert->notified, flight);
    if (alert->push.message && alert->push.message->seq == seq)
        alert_push_stop(alert, "shown");
    alert_run(broker, device);
}
