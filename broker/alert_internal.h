/* alert_internal - shared by the alert*.c files only. */
#ifndef BECKON_BROKER_ALERT_INTERNAL_H
#define BECKON_BROKER_ALERT_INTERNAL_H

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/route.h"

#define NEVER UINT64_MAX

/* The push under way. */
struct alert_push {
    struct message *message;   /* reference; NULL = none under way */
    struct plugin *plugin;     /* that has it, or is to take it */
    uint64_t began_ms;         /* this step */
    uint64_t not_before_ms;    /* the next attempt */
    uint64_t due_ms;           /* the step's deadline, NEVER = none */
    uint64_t registered_at_ms; /* of the registration it was sent to */
    uint32_t id;               /* low half of its delivery id: each attempt has another */
    uint32_t attempt;
    uint32_t summarized; /* messages it stands for beside its own */
    uint8_t step;        /* index among the state's alert steps */
    uint8_t state;       /* enum route_state: whose steps */
    bool sent;           /* the plugin has it, its outcome is awaited */
};

struct alert {
    struct broker *broker;
    struct device *device;
    struct timer timer; /* the first of whatever this device waits for */
    uint64_t wake_ms;   /* collected while planning */
    struct feed feed;
    struct flights notified;
    struct seq_set shown; /* as notifications, beyond a gap over an earlier connection */
    struct alert_push push;
    TAILQ_ENTRY(alert) wait_link;
    struct plugin *waiting_for; /* in that plugin's queue; NULL = not */
    uint64_t minute_ms;         /* start of the minute that pushes are counted in */
    uint32_t minute_count;
    uint32_t last_id;
    bool pinned; /* its user stays in memory */
    bool running, again;
    bool reading; /* a push that is next is being read: the feed stays at its place */
};

static inline void alert_wake_at(struct alert *alert, uint64_t when_ms)
{
    if (when_ms < alert->wake_ms)
        alert->wake_ms = when_ms;
}
/* Everything up to here was alerted or acknowledged. */
static inline uint64_t alerted_up_to(const struct device *device)
{
    return device->alerted_seq > device->acked_seq ? device->alerted_seq : device->acked_seq;
}
/* The device's alert, made when it has none; NULL when out of memory. */
struct alert *alert_of(struct broker *broker, struct device *device);
/* No alert for that sequence any more; settles when it is the next one. */
void alert_passed(struct alert *alert, uint64_t seq);
/* The person was alerted to it, or has it. */
bool alert_done(const struct alert *alert, uint64_t seq);
/* Moves the cursor over what needs no alert. */
void alert_settle(struct alert *alert);

/* alert_rules.c: why a message is not alerted, NULL = it is. */
const char *alert_suppressed(struct broker *broker, const struct device *device,
                             const struct message *message);
/* Until when the alert waits because the person is at another device; 0 = it does not. */
uint64_t alert_held_until(struct broker *broker, const struct device *device,
                          const struct message *message);

/* alert_deadline.c: marks what is overdue on the socket and doubts the device. */
void alert_check_deadlines(struct alert *alert);
/* When the flight is overdue; NEVER = there is no deadline. */
uint64_t alert_flight_due(const struct alert *alert, const struct flight *flight);

/* alert_notify.c: fills the window of notifications. */
void alert_notify(struct alert *alert);

/* alert_push.c: one step of the pushes. True: something moved, try again. */
bool alert_push_next(struct alert *alert);
/* The push under way is not needed any more: says why. */
void alert_push_stop(struct alert *alert, const char *why);
/* Lets go of the push under way. */
void alert_push_drop(struct alert *alert);
void alert_wait_leave(struct alert *alert);

#endif
