/* recover - see the header.
 *
 * Problem 1: a broker that has just started, or that stood still, knows less than its connectors:
 * an acknowledgement may lie unread. Method: nothing is pushed until they have had their say.
 *
 * Problem 2: nothing says who was about to be alerted when a broker died. Method: everybody is
 * looked at once, by ranges of their numbers, each range a short read between those of people who
 * connect; some 10 us a person with devices. Loaded people plan their own alerts.
 *
 * Problem 3: people gained from another broker may have been alerted by it a moment ago, and their
 * connectors have not announced them yet. Method: who comes into memory soon after a change settles
 * first: then the cursors are read once more, and only then something is pushed. */
#include "broker/recover.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/plugin.h"
#include "broker/store.h"
#include "broker/user.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

/* People in one read: some 20 ms. */
#define RANGE 2000
/* Between two reads, so that the readers of those who are here come first. */
#define PAUSE_MS 20

/* Standing still for so long is more than a busy machine does, and little beside the deadlines of
 * routes, which are seconds. */
#define STALL_MS 500

struct recover {
    struct broker *broker;
    struct timer timer;
    uint64_t after;
    bool begun;
    struct timer gained_timer;
    uint64_t gained_until_ms; /* who is loaded until then settles */
    struct user_list settling;
};

/* Steps that need no registration reach devices that have none. */
static bool any_device(const struct broker *broker)
{
    const struct steps *steps = &broker->routing.state[ROUTE_OFFLINE];

    for (uint32_t i = 0; i < steps->count; i++) {
        if (steps->step[i].plugin)
            return true;
    }
    return false;
}

static void on_range(struct broker *broker, uint64_t newest)
{
    struct recover *recover = broker->recover;

    recover->after += RANGE;
    if (recover->after >= newest) {
        log_info(NULL, "everybody with something to alert is known");
        return;
    }
    loop_timer_add(broker->loop, &recover->timer, PAUSE_MS);
}

static void on_timer(struct timer *timer)
{
    struct recover *recover = CONTAINER_OF(timer, struct recover, timer);

    store_recover(recover->broker, recover->after, recover->after + RANGE,
                  any_device(recover->broker), on_range);
}

static void settle(struct broker *broker, uint64_t ms)
{
    uint64_t until_ms = loop_now_ms(broker->loop) + ms;

    if (broker->settled_ms < until_ms)
        broker->settled_ms = until_ms;
}

/* What came meanwhile lies in sockets: ACKs, and after three heartbeats the announcements of
 * connectors that gave this broker up. They get the time that they waited, or that of a start. */
static void on_stall(void *arg, uint64_t stalled_ms)
{
    struct broker *broker = arg;
    uint64_t settle_ms = broker->options.settle_ms;

    log_warning(NULL, "stood still for %llu ms", (unsigned long long)stalled_ms);
    settle(broker, stalled_ms < settle_ms ? stalled_ms : settle_ms);
}

/* From the first person on; a look that is under way goes on from there. */
static void look_at_everybody(struct recover *recover)
{
    recover->after = 0;
    loop_timer_cancel(recover->broker->loop, &recover->timer);
    loop_timer_add(recover->broker->loop, &recover->timer, PAUSE_MS);
}

void recover_begin(struct broker *broker)
{
    struct recover *recover = broker->recover;

    if (recover->begun)
        return;
    recover->begun = true;
    settle(broker, broker->options.settle_ms); /* no connector was welcome before */
    look_at_everybody(recover);
}

/* --- people gained --- */

void recover_loaded(struct broker *broker, struct user *user)
{
    struct recover *recover = broker->recover;

    /* a stranger has nothing to be pushed, and comes here again with the number */
    if (user->foreign || user->no == 0 || loop_now_ms(broker->loop) >= recover->gained_until_ms)
        return;
    user->settling = true;
    user_pin(broker, user);
    TAILQ_INSERT_TAIL(&recover->settling, user, settling_link);
}

void recover_forget(struct broker *broker, struct user *user)
{
    TAILQ_REMOVE(&broker->recover->settling, user, settling_link);
    user->settling = false;
}

static void on_settled(struct broker *broker, struct user *user)
{
    struct device *device;

    recover_forget(broker, user);
    TAILQ_FOREACH(device, &user->devices, link)
    alert_run(broker, device);
    user_unpin(broker, user);
}

static void on_gained_timer(struct timer *timer)
{
    struct recover *recover = CONTAINER_OF(timer, struct recover, gained_timer);

    store_read_cursors(recover->broker, &recover->settling, on_settled);
}

void recover_gained(struct broker *broker, bool everything)
{
    struct recover *recover = broker->recover;
    uint32_t settle_ms = broker->options.settle_ms;

    if (!recover->begun)
        return; /* the start does all of it */
    if (everything)
        settle(broker, settle_ms);
    recover->gained_until_ms = loop_now_ms(broker->loop) + settle_ms;
    loop_timer_cancel(broker->loop, &recover->gained_timer);
    loop_timer_add(broker->loop, &recover->gained_timer, settle_ms);
    look_at_everybody(recover);
}

/* --- life cycle --- */

int recover_create(struct broker *broker)
{
    struct recover *recover = calloc(1, sizeof(*recover));

    if (!recover)
        return ERR_NO_MEMORY;
    recover->broker = broker;
    broker->recover = recover;
    settle(broker, broker->options.settle_ms);
    loop_stall_watch(broker->loop, STALL_MS, on_stall, broker);
    timer_init(&recover->timer, on_timer);
    timer_init(&recover->gained_timer, on_gained_timer);
    TAILQ_INIT(&recover->settling);
    return 0;
}

void recover_destroy(struct broker *broker)
{
    if (!broker->recover)
        return;
    loop_stall_watch(broker->loop, 0, NULL, NULL);
    loop_timer_cancel(broker->loop, &broker->recover->timer);
    loop_timer_cancel(broker->loop, &broker->recover->gained_timer);
    free(broker->recover);
    broker->recover = NULL;
}
