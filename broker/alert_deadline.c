/* alert_deadline - the socket's deadlines: a ghost costs one of them, once.
 *
 * Each message and notification on a socket has its own deadline, or the end of the device's
 * background time if that is earlier. The first that passes makes the device doubtful; the others
 * keep theirs, because the device may still answer them in time. */
#include "broker/alert_internal.h"

#include "broker/bus.h"
#include "broker/plugin.h"
#include "broker/session.h"
#include "broker/trace.h"
#include "common/auto.h"
#include "common/log.h"

/* End of the background time, NEVER when there is none. */
static uint64_t lease_end(const struct session *session)
{
    return session && session->state == WIRE_BACKGROUND && session->lease_until_ms != 0
               ? session->lease_until_ms
               : NEVER;
}

uint64_t alert_flight_due(const struct alert *alert, const struct flight *flight)
{
    uint64_t lease_ms = lease_end(alert->device->session);
    uint64_t due_ms = flight->ack_ms == 0 ? NEVER : flight->sent_ms + flight->ack_ms;

    return due_ms < lease_ms ? due_ms : lease_ms;
}

static bool mark_overdue(struct alert *alert, struct flights *flights, const char *step)
{
    uint64_t now_ms = loop_now_ms(alert->broker->loop);
    bool overdue = false;

    for (uint32_t i = 0; i < flights->count; i++) {
        struct flight *flight = flight_at(flights, i);
        uint64_t due_ms;

        if (flight->state == FLIGHT_DONE || flight->state == FLIGHT_COVERED || flight->timed_out)
            continue;
        due_ms = alert_flight_due(alert, flight);
        if (due_ms > now_ms) {
            alert_wake_at(alert, due_ms);
            break; /* sent later, due later */
        }
        flight_timed_out(flights, flight);
        alert->broker->metrics.timed_out++;
        trace_add(alert->broker, alert->device, flight->seq,
                  flight->plugin ? plugin_name(flight->plugin) : step, "timed-out", "",
                  now_ms - flight->sent_ms);
        overdue = true;
    }
    return overdue;
}

static void doubt(struct alert *alert, const char *why)
{
    struct session *session = alert->device->session;

    if (session->doubtful)
        return;
    session->doubtful = true;
    alert->broker->metrics.doubts++;
    log_debug(NULL, "user=%s device=%s is doubtful: %s", alert->device->user->id, alert->device->id,
              why);
    wire_put_session(bus_out(alert->broker, session->peer), WIRE_DOUBT,
                     &(struct wire_session){.conn = session->conn, .epoch = session->epoch});
}

void alert_check_deadlines(struct alert *alert)
{
    struct device *device = alert->device;
    uint64_t lease_ms = lease_end(device->session);
    bool overdue;

    if (!device->session || alert->broker->suspended || !route_has_alert(alert->broker, device))
        return;
    overdue = mark_overdue(alert, &device->flights, "live");
    overdue = mark_overdue(alert, &alert->notified, "local-push") || overdue;
    if (overdue)
        doubt(alert, "it did not answer in time");
    if (lease_ms == NEVER || device->session->doubtful)
        return;
    if (lease_ms <= loop_now_ms(alert->broker->loop))
        doubt(alert, "its background time is over");
    else
        alert_wake_at(alert, lease_ms);
}
