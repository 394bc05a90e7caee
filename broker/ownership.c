/* ownership - see the header.
 *
 * Problem: when a broker comes or goes, people change hands, while batches are being committed,
 * reads are under way, and records of both views are on the wire. Method: one moment. The writer
 * and the reader finish what they have; then, in one go, people who are not ours any more are
 * forgotten, without any effect in the database but cursors that can only rise, everybody linked is
 * told, and records that waited for somebody are looked at again: whoever is another broker's by
 * now gets no answer, and the connector moves the request. If anybody else can have owned our
 * people since the last view, nothing in memory counts: the path of a restart. So it does not when
 * the database lost history (an asynchronous standby was promoted).
 *
 * A broker that nobody reaches serves nobody, and would keep its share of people for ever: it
 * leaves. */
#include "broker/ownership.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/device.h"
#include "broker/dispatch.h"
#include "broker/inbox.h"
#include "broker/membership.h"
#include "broker/others.h"
#include "broker/pg_target.h"
#include "broker/recover.h"
#include "broker/store.h"
#include "broker/user.h"
#include "common/auto.h"
#include "common/log.h"
#include "common/owner.h"

#include <stdio.h>
#include <stdlib.h>

/* How often it is looked whether anybody is linked, in a lease. */
#define REACH_LOOKS 3
/* The longest that a broker stays away which nobody linked to the last times. */
#define AWAY_LEASES_MAX 64
/* Views that are remembered: what was sent in an older one is still under way only if several
 * brokers came or went within one delay of the wire. A power of two. */
#define VIEWS_KEPT 8

struct ownership {
    struct broker *broker;
    struct membership *membership;
    char name[MEMBER_NAME_MAX + 1];
    struct members members; /* in force */
    /* Those before it, without a gap, by their generation modulo VIEWS_KEPT. */
    struct members past[VIEWS_KEPT];
    unsigned past_count;
    unsigned self;       /* this broker's place in them */
    struct members next; /* to be put in force, when `waiting` */
    bool waiting, fresh;
    bool stale;      /* a batch met the fence: there is a newer view */
    bool lost;       /* the database lacks what this broker wrote: nothing in memory counts */
    bool lease_held; /* as membership sees it; it counts when no view waits */
    bool serving;    /* said once that this broker serves */
    bool cut_off;    /* left, because nobody is linked */
    struct timer reach_timer;
    uint64_t reached_ms; /* monotonic: somebody was linked, or there was nobody else */
    uint64_t cut_off_ms; /* monotonic */
    uint64_t away_ms; /* how long to stay away then; 0: somebody has linked since the last time */
    void (*left)(void *arg);
    void *left_arg;
};

const struct members *ownership_members(const struct broker *broker)
{
    return &broker->ownership->members;
}

const char *ownership_name(const struct broker *broker)
{
    return broker->ownership->name;
}

bool ownership_has(const struct broker *broker, struct bytes user)
{
    const struct ownership *o = broker->ownership;

    return o->members.count > 0 && owner_of(&o->members, user) == o->self;
}

enum ownership_since ownership_since(const struct broker *broker, struct bytes user,
                                     uint64_t generation)
{
    const struct ownership *o = broker->ownership;

    if (!ownership_has(broker, user))
        return OWNERSHIP_BROKEN;
    for (uint64_t g = o->members.generation; g-- > generation;) {
        const struct members *past = &o->past[g % VIEWS_KEPT];

        if (o->members.generation - g > o->past_count)
            return OWNERSHIP_UNKNOWN;
        if (strcmp(past->all[owner_of(past, user)].name, o->name) != 0)
            return OWNERSHIP_BROKEN;
    }
    return OWNERSHIP_HELD;
}

bool ownership_changes(const struct broker *broker)
{
    const struct ownership *o = broker->ownership;

    return o->waiting || o->stale || o->lost;
}

void ownership_fenced(struct broker *broker)
{
    broker->ownership->stale = true;
    membership_look(broker->ownership->membership);
}

void ownership_heard(struct broker *broker, uint64_t generation)
{
    const struct ownership *o = broker->ownership;

    if (generation > broker->generation && !(o->waiting && generation <= o->next.generation))
        membership_look(o->membership);
}

uint64_t ownership_lease_left_ms(const struct broker *broker)
{
    return membership_lease_left_ms(broker->ownership->membership);
}

/* --- a view --- */

static void dispatch_again(struct broker *broker, struct parked_list *list)
{
    struct parked *parked;

    while ((parked = STAILQ_FIRST(list))) {
        STAILQ_REMOVE_HEAD(list, link);
        dispatch_parked(broker, parked);
        free(parked);
    }
}

static void say_view(const struct ownership *o, bool everything, size_t forgotten)
{
    log_info(NULL, "generation of ownership is %llu: %u brokers, %zu people forgotten%s",
             (unsigned long long)o->members.generation, o->members.count, forgotten,
             everything ? ", connectors announce everything again" : "");
}

static void serve(struct ownership *o)
{
    bool suspended = !o->lease_held;

    if (o->broker->suspended == suspended)
        return;
    o->broker->suspended = suspended;
    if (suspended)
        log_warning(NULL, "the lease is over: nothing is pushed until it is renewed");
    else
        devices_alert_all(o->broker);
}

/* The view in force, before another one takes its place. After a start afresh nothing is under way
 * that was sent before it: all links are new. */
static void remember(struct ownership *o, bool everything)
{
    if (everything) {
        o->past_count = 0;
        return;
    }
    o->past[o->members.generation % VIEWS_KEPT] = o->members;
    if (o->past_count < VIEWS_KEPT)
        o->past_count++;
}

static void put_in_force(struct ownership *o)
{
    struct broker *broker = o->broker;
    struct parked_list parked = STAILQ_HEAD_INITIALIZER(parked);
    bool first = broker->generation == 0;
    bool everything = o->fresh || first || o->next.generation != o->members.generation + 1;
    bool numbers = !o->lost;
    size_t before = users_count(broker);

    remember(o, everything);
    o->members = o->next;
    o->waiting = o->fresh = o->stale = o->lost = false;
    for (o->self = 0; strcmp(o->members.all[o->self].name, o->name) != 0; o->self++)
        ; /* membership tells of views with this broker in them only */
    broker->generation = o->members.generation;
    users_mark_leaving(broker, everything, numbers);
    store_people_leave(broker, numbers, &parked);
    users_leave(broker, &parked);
    say_view(o, everything && !first, before - users_count(broker));
    bus_view_changed(broker, everything && !first);
    recover_gained(broker, everything);
    if (store_ready(broker->store))
        recover_begin(broker); /* the last of what it waits for may be the first view */
    others_view_changed(broker);
    dispatch_again(broker, &parked);
    bus_take_held(broker);
    serve(o);
    if (!o->serving && broker->on_serving)
        broker->on_serving(broker);
    o->serving = true;
}

static void on_turn(void *arg)
{
    struct ownership *o = arg;

    if ((!o->waiting && !o->lost) || !store_quiet(o->broker->store))
        return;
    if (o->lost && !store_carried(o->broker))
        return;
    if (o->waiting)
        put_in_force(o);
}

/* A standby was promoted that may lack commits: the path of a restart, as a new member, so that the
 * generation is none that anybody knows. */
static void on_history_lost(void *arg)
{
    struct ownership *o = arg;

    o->waiting = false; /* a view of the former database */
    o->lost = true;
    store_history_lost(o->broker);
    membership_start_over(o->membership, o->members.generation);
}

/* --- cut off --- */

/* By others: that this broker reaches them says nothing about who can come to it. */
static bool reached(const struct ownership *o)
{
    struct bus_counts counts = bus_counts(o->broker);

    return counts.connectors > 0 || counts.brokers > 0;
}

static void cut_off(struct ownership *o, uint64_t now_ms)
{
    uint64_t most_ms = (uint64_t)o->broker->options.lease_ms * AWAY_LEASES_MAX;

    log_warning(NULL, "neither a connector nor another broker links to this one: leaving, so that "
                      "others serve its people");
    o->cut_off = true;
    o->cut_off_ms = now_ms;
    o->away_ms = o->away_ms == 0 ? o->broker->options.lease_ms : o->away_ms * 2;
    if (o->away_ms > most_ms)
        o->away_ms = most_ms;
    o->broker->generation = 0; /* nothing is stored; all is forgotten with the next view */
    membership_leave(o->membership);
}

/* Who is no member is linked to by nobody. That it reaches another one is a sign, and no more: if
 * nobody comes after all, it stays away for longer. When there is nobody else, it is needed. */
static bool may_return(const struct ownership *o, uint64_t now_ms)
{
    return membership_last_view(o->membership)->count == 0 ||
           (others_linked(o->broker) > 0 && now_ms - o->cut_off_ms >= o->away_ms);
}

/* A lease and two rounds of membership: one that died, and left this broker alone, is removed by
 * then. */
static void on_reach_timer(struct timer *timer)
{
    struct ownership *o = CONTAINER_OF(timer, struct ownership, reach_timer);
    uint64_t now_ms = loop_now_ms(o->broker->loop);
    uint32_t look_ms = o->broker->options.lease_ms / REACH_LOOKS;

    loop_timer_add(o->broker->loop, &o->reach_timer, look_ms);
    if (o->cut_off) {
        if (!may_return(o, now_ms))
            return;
        o->cut_off = false;
        o->reached_ms = now_ms;
        membership_rejoin(o->membership);
    } else if (reached(o)) {
        o->reached_ms = now_ms;
        o->away_ms = 0;
    } else if (o->members.count < 2) {
        o->reached_ms = now_ms;
    } else if (o->broker->generation != 0 && !o->left &&
               now_ms - o->reached_ms >= o->broker->options.lease_ms + 2 * look_ms) {
        cut_off(o, now_ms);
    }
}

/* --- what membership tells --- */

static void on_view(void *arg, const struct members *members, bool fresh)
{
    struct ownership *o = arg;

    o->next = *members;
    o->fresh = o->fresh || fresh;
    o->waiting = true;
}

static void on_replaced(void *arg)
{
    struct ownership *o = arg;

    log_error(NULL, "another broker of the name \"%s\" has joined, giving up", o->name);
    loop_stop(o->broker->loop);
    o->broker->generation = 0; /* nothing is sent any more */
}

static void on_lease(void *arg, bool held)
{
    struct ownership *o = arg;

    o->lease_held = held;
    if (!held || !o->waiting)
        serve(o);
}

static void on_left(void *arg)
{
    struct ownership *o = arg;

    if (o->left) /* else it is cut off */
        o->left(o->left_arg);
}

void ownership_leave(struct broker *broker, void (*done)(void *arg), void *arg)
{
    broker->ownership->left = done;
    broker->ownership->left_arg = arg;
    membership_leave(broker->ownership->membership);
}

/* --- life cycle --- */

int ownership_create(struct broker *broker)
{
    static const struct membership_events events = {on_view, on_replaced, on_lease, on_left};
    const struct options *options = &broker->options;
    struct ownership *o = calloc(1, sizeof(*o));
    int r;

    if (!o)
        return ERR_NO_MEMORY;
    o->broker = broker;
    broker->ownership = o;
    broker->suspended = true; /* until the lease is held */
    if (options->broker_name[0] != '\0')
        snprintf(o->name, sizeof(o->name), "%s", options->broker_name);
    else
        snprintf(o->name, sizeof(o->name), "broker-%u", options->index);
    r = loop_hook_add(broker->loop, on_turn, o);
    if (r < 0)
        return r;
    const struct membership_config config = {.loop = broker->loop,
                                             .target = broker->database,
                                             .name = o->name,
                                             .endpoint = options_advertised(options),
                                             .lease_ms = options->lease_ms};
    timer_init(&o->reach_timer, on_reach_timer);
    loop_timer_add(broker->loop, &o->reach_timer, options->lease_ms);
    o->membership = membership_create(&config, &events, o);
    if (!o->membership)
        return ERR_NO_MEMORY;
    broker->database->on_history_lost = on_history_lost;
    broker->database->history_arg = o;
    return 0;
}

void ownership_destroy(struct broker *broker)
{
    struct ownership *o = broker->ownership;

    if (!o)
        return;
    loop_timer_cancel(broker->loop, &o->reach_timer);
    membership_destroy(o->membership);
    free(o);
    broker->ownership = NULL;
}
