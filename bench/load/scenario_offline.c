/* offline: messages for people who are away, and their return.
 *
 *   make   the devices connect, subscribe with a session that is kept, and leave
 *   store  --senders clients publish --messages to each inbox, closed loop
 *   hold   with --hold: whoever started us does something to the server, until standard input has a
 *          line or ends
 *   drain  the devices connect again and get everything
 *
 * The first --senders clients send, all others are devices with an inbox each. An inbox has one
 * sender, so that its messages have an order. A sender that loses its connection while it stores
 * has done what it could: what was not acknowledged may arrive or not, what was must. */
#include "bench/load/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/load/arrivals.h"
#include "bench/load/stamp.h"
#include "common/auto.h"

#define NS_PER_S 1000000000ull
/* Until the server has seen that they left, and, at the end, for what comes twice. */
#define SETTLE_MS 500
#define LOOK_MS 10
/* A device's pause before it tries again to connect. */
#define RETRY_MS 200

enum stage { STAGE_MAKE, STAGE_LEAVE, STAGE_STORE, STAGE_HOLD, STAGE_DRAIN, STAGE_END };

/* A stage that is timed. */
struct timed {
    uint64_t from_ns, until_ns, count;
    double cpu_from_s, cpu_until_s;
};

struct offline {
    struct run *run;
    struct timer timer;
    enum stage stage;
    uint32_t senders, inboxes;
    uint64_t *sent_by;         /* publishes of each sender */
    struct arrivals *arrivals; /* of each inbox */
    uint64_t sent, answered, refused, foreign;
    struct timed store, drain;
    uint64_t quiet_since_ns; /* of the drain: the last arrival */
    uint32_t senders_lost, resumed;
    loop_id input;
    struct histogram puback;
};

/* --- who is who --- */

static void setup(void *arg, uint32_t number, struct client_setup *ret)
{
    struct run *run = arg;
    uint32_t senders = run->options.senders;

    ret->clean = number < senders;
    ret->resumes = true;
    snprintf(run->user, sizeof(run->user), "%s-%c%u", run->options.prefix, ret->clean ? 's' : 'r',
             ret->clean ? number : number - senders);
    ret->user = run->user;
    ret->filter = ret->clean ? NULL : run_inbox_filter(run, run->user);
}

/* Inboxes sender, sender + senders, ... are this one's. */
static uint32_t inboxes_of(const struct offline *offline, uint32_t sender)
{
    return (offline->inboxes - sender + offline->senders - 1) / offline->senders;
}

static uint64_t messages_of(const struct run *run, uint32_t sender)
{
    return (uint64_t)inboxes_of(run->state, sender) * run->options.messages;
}

static void timed_begin(struct timed *timed, uint64_t now_ns)
{
    timed->from_ns = timed->until_ns = now_ns;
    timed->cpu_from_s = own_cpu_s();
}

static double timed_seconds(const struct timed *timed)
{
    return (double)(timed->until_ns - timed->from_ns) / 1e9;
}

/* 0 when nothing happened in it. */
static double timed_rate(const struct timed *timed)
{
    return timed->count > 0 ? (double)timed->count / timed_seconds(timed) : 0;
}

/* --- store --- */

static int send_one(struct run *run, uint32_t number)
{
    struct offline *offline = run->state;
    uint64_t n = offline->sent_by[number]++, now_ns = engine_now_ns();
    uint32_t inbox = number + (uint32_t)(n % inboxes_of(offline, number)) * offline->senders;
    const struct stamp stamp = {inbox, run->id, n / inboxes_of(offline, number), now_ns};
    struct sent sent = {now_ns, stamp.seq * offline->inboxes + inbox};
    char topic[128];

    stamp_put(run->payload, &stamp);
    snprintf(topic, sizeof(topic), "%s/%s-r%u", run_is_plain(run) ? "inbox" : "to/u",
             run->options.prefix, inbox);
    offline->sent++;
    return client_publish(&run->engine.clients[number], bytes_of_string(topic),
                          bytes_of(run->payload, run->options.payload), &sent);
}

static void pump(struct run *run, uint32_t number)
{
    const struct offline *offline = run->state;
    const struct client *sender = &run->engine.clients[number];

    while (client_can_publish(sender) && offline->sent_by[number] < messages_of(run, number)) {
        int r = send_one(run, number);

        if (r < 0) {
            run_end(run, r);
            return;
        }
    }
}

/* Everything is answered, or nobody is left who could hear it. */
static bool stored(const struct run *run)
{
    const struct offline *offline = run->state;
    bool all_sent = true, any_open = false;

    for (uint32_t i = 0; i < offline->senders; i++) {
        if (run->engine.clients[i].state != CLIENT_OPEN)
            continue;
        any_open = true;
        all_sent = all_sent && offline->sent_by[i] == messages_of(run, i);
    }
    return !any_open ||
           (all_sent && offline->senders_lost == 0 && offline->answered == offline->sent);
}

static void begin_drain(struct offline *offline)
{
    struct run *run = offline->run;
    int r;

    offline->stage = STAGE_DRAIN;
    run->connack = run->ready = (struct histogram){0};
    run->engine.retry_ms = RETRY_MS;
    timed_begin(&offline->drain, engine_now_ns());
    r = run_connect(run, offline->senders, offline->inboxes);
    if (r < 0)
        run_end(run, r);
    loop_timer_add(run->loop, &offline->timer, LOOK_MS);
}

static void on_input(void *arg, uint32_t events)
{
    struct run *run = arg;
    const struct offline *offline = run->state;
    char ignored[64];

    (void)events;
    IGNORE_RESULT(read(STDIN_FILENO, ignored, sizeof(ignored))); /* an end says the same */
    loop_io_remove(run->loop, offline->input);
    begin_drain(run->state);
}

static void end_store(struct run *run)
{
    struct offline *offline = run->state;
    int r;

    offline->store.cpu_until_s = own_cpu_s();
    offline->stage = STAGE_HOLD;
    for (uint32_t i = 0; i < offline->senders; i++)
        client_leave(&run->engine.clients[i]);
    if (!run->options.hold) {
        loop_timer_add(run->loop, &offline->timer, SETTLE_MS);
        return;
    }
    report_print(json_pack("{s:s,s:I,s:I}", "event", "stored", "accepted",
                           (json_int_t)offline->store.count, "unanswered",
                           (json_int_t)(offline->sent - offline->answered)));
    r = loop_io_add(run->loop, STDIN_FILENO, EPOLLIN, on_input, run, &offline->input);
    if (r < 0) {
        fputs("beckon-load: standard input can't be waited for; expected a pipe\n", stderr);
        run_end(run, r);
    }
}

static void begin_store(struct run *run)
{
    struct offline *offline = run->state;

    offline->stage = STAGE_STORE;
    if (run->options.hold)
        report_print(
            json_pack("{s:s,s:I}", "event", "storing", "open", (json_int_t)run->engine.open));
    timed_begin(&offline->store, engine_now_ns());
    for (uint32_t i = 0; i < offline->senders; i++)
        pump(run, i);
    loop_timer_add(run->loop, &offline->timer, LOOK_MS);
}

/* --- stages --- */

static void on_all_begun(void *arg)
{
    struct run *run = arg;
    struct offline *offline = run->state;

    if (offline->stage == STAGE_MAKE) {
        offline->stage = STAGE_LEAVE;
        loop_timer_add(run->loop, &offline->timer, SETTLE_MS);
    } else if (offline->stage == STAGE_LEAVE) {
        begin_store(run);
    }
}

/* Not from within a client's events: they may not be closed there. */
static void leave(struct offline *offline)
{
    struct engine *engine = &offline->run->engine;

    for (uint32_t i = offline->senders; i < engine->count; i++)
        client_leave(&engine->clients[i]);
}

static void look_at_drain(struct offline *offline)
{
    struct run *run = offline->run;
    const struct engine *engine = &run->engine;
    uint64_t now_ns = engine_now_ns(), since_ns = offline->quiet_since_ns, lost = 0;

    for (uint32_t i = 0; i < offline->inboxes; i++)
        lost += arrivals_lost(&offline->arrivals[i]);
    if (since_ns < engine->connect_until_ns)
        since_ns = engine->connect_until_ns;
    if (engine->connect_until_ns == 0 ||
        (lost > 0 && now_ns - since_ns < run->options.drain_s * NS_PER_S)) {
        loop_timer_add(run->loop, &offline->timer, LOOK_MS);
        return;
    }
    offline->drain.cpu_until_s = own_cpu_s();
    offline->stage = STAGE_END;
    loop_timer_add(run->loop, &offline->timer, SETTLE_MS);
}

static void on_timer(struct timer *timer)
{
    struct offline *offline = CONTAINER_OF(timer, struct offline, timer);
    struct run *run = offline->run;
    int r;

    switch (offline->stage) {
    case STAGE_LEAVE:
        if (run->engine.open > 0) {
            leave(offline);
            loop_timer_add(run->loop, timer, SETTLE_MS);
            return;
        }
        r = run_connect(run, 0, offline->senders);
        if (r < 0)
            run_end(run, r);
        return;
    case STAGE_STORE:
        if (stored(run))
            end_store(run);
        else
            loop_timer_add(run->loop, timer, LOOK_MS);
        return;
    case STAGE_HOLD:
        begin_drain(offline);
        return;
    case STAGE_DRAIN:
        look_at_drain(offline);
        return;
    default:
        run_end(run, 0);
    }
}

static int prepare(struct run *run, struct err_text *et)
{
    struct offline *offline;

    if (run->options.session_expiry_s == 0 || run->options.rate > 0 ||
        run->options.clients < 2 * run->options.senders)
        return err_set(et, ERR_CONFIG,
                       "scenario offline needs --session-expiry, no --rate, and at least twice as "
                       "many --clients as --senders");
    offline = calloc(1, sizeof(*offline));
    if (offline == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    run->state = offline;
    offline->run = run;
    offline->senders = run->options.senders;
    offline->inboxes = run->options.clients - offline->senders;
    timer_init(&offline->timer, on_timer);
    offline->sent_by = calloc(offline->senders, sizeof(*offline->sent_by));
    offline->arrivals = calloc(offline->inboxes, sizeof(*offline->arrivals));
    if (offline->sent_by == NULL || offline->arrivals == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    return 0;
}

static int begin(struct run *run)
{
    const struct offline *offline = run->state;

    return run_connect(run, offline->senders, offline->inboxes);
}

static void fini(struct run *run)
{
    struct offline *offline = run->state;

    if (offline == NULL)
        return;
    for (uint32_t i = 0; offline->arrivals != NULL && i < offline->inboxes; i++)
        arrivals_fini(&offline->arrivals[i]);
    free(offline->arrivals);
    free(offline->sent_by);
    free(offline);
}

/* --- what comes back --- */

static void on_open(struct client *client, uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct offline *offline = run->state;

    run_on_open(client, now_ns);
    offline->resumed += offline->stage == STAGE_DRAIN && client->resumed;
}

static void on_lost(struct client *client)
{
    struct run *run = client->engine->arg;
    struct offline *offline = run->state;

    offline->senders_lost += offline->stage == STAGE_STORE && client->number < offline->senders;
}

static void on_acked(struct client *client, const struct sent *sent, uint8_t reason,
                     uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct offline *offline = run->state;
    struct arrivals *arrivals = &offline->arrivals[sent->seq % offline->inboxes];

    offline->answered++;
    if (reason >= 0x80) {
        offline->refused++;
    } else if (arrivals_accepted(arrivals, sent->seq / offline->inboxes) < 0) {
        run_end(run, ERR_NO_MEMORY);
        return;
    } else {
        offline->store.count++;
        offline->store.until_ns = now_ns;
    }
    histogram_add(&offline->puback, now_ns - sent->at_ns);
    pump(run, client->number);
}

static void on_message(struct client *client, const struct packet *publish, uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct offline *offline = run->state;
    struct stamp stamp;
    int first;

    if (!stamp_take(publish->payload, run->id, &stamp) || stamp.stream >= offline->inboxes ||
        client->number != offline->senders + stamp.stream || stamp.seq >= run->options.messages) {
        offline->foreign++;
        return;
    }
    first = arrivals_arrived(&offline->arrivals[stamp.stream], stamp.seq);
    if (first < 0)
        run_end(run, first);
    offline->quiet_since_ns = now_ns;
    if (first != 1)
        return;
    offline->drain.count++;
    offline->drain.until_ns = now_ns;
}

/* --- the report --- */

static json_t *report_timed(const struct timed *timed)
{
    double seconds = timed_seconds(timed);

    return json_pack("{s:I,s:f,s:f,s:f}", "messages", (json_int_t)timed->count, "seconds", seconds,
                     "per_s", timed_rate(timed), "own_cpu",
                     seconds > 0 ? (timed->cpu_until_s - timed->cpu_from_s) / seconds : 0.0);
}

static void report(struct run *run, json_t *result)
{
    const struct offline *offline = run->state;
    struct tally tally = {0};
    json_t *more;

    if (offline->stage != STAGE_END)
        return; /* it never came to that */
    for (uint32_t i = 0; i < offline->inboxes; i++)
        tally_add(&tally, &offline->arrivals[i]);
    more = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "inboxes",
        (json_int_t)offline->inboxes, "sent", (json_int_t)offline->sent, "unanswered",
        (json_int_t)(offline->sent - offline->answered), "refused", (json_int_t)offline->refused,
        "senders_lost", (json_int_t)offline->senders_lost, "resumed", (json_int_t)offline->resumed,
        "retried", (json_int_t)run->engine.retried, "lost", (json_int_t)tally.lost, "doubled",
        (json_int_t)tally.doubled, "swapped", (json_int_t)tally.swapped, "foreign",
        (json_int_t)offline->foreign, "store", report_timed(&offline->store), "drain",
        report_timed(&offline->drain), "puback", report_histogram(&offline->puback));
    if (json_object_update(result, more) < 0)
        run->failed = ERR_NO_MEMORY;
    json_decref(more);
}

const struct scenario scenario_offline = {
    .name = "offline",
    .prepare = prepare,
    .setup = setup,
    .events = {.connack = run_on_connack,
               .open = on_open,
               .all_begun = on_all_begun,
               .lost = on_lost,
               .acked = on_acked,
               .message = on_message},
    .begin = begin,
    .report = report,
    .fini = fini,
};
