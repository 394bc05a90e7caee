/* fanout: client 0 sends, all others get each message.
 *
 * A broker without inboxes gets it once, on a topic that all subscribe to. Beckon has no topics of
 * that kind, nor groups yet: the sender, whose token is a backend's, publishes it to each inbox by
 * itself, and each of those publishes is acknowledged.
 *
 * Closed loop: at most --ahead messages are on their way, that is, some receiver does not have
 * them; within that the sender's window sets the pace. An acknowledgement would be no measure: a
 * broker may acknowledge before it has sent to anybody. */
#include "bench/load/measure.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/load/arrivals.h"
#include "bench/load/stamp.h"

/* A message on its way. */
struct spread {
    uint64_t seq, due_ns;
    uint32_t left; /* receivers that do not have it; 0: the place is free */
};

struct fanout {
    struct measure measure;
    struct arrivals *receivers;
    uint32_t count;         /* of receivers */
    struct spread *spreads; /* message m in place m mod --ahead */
    uint64_t messages;      /* begun */
    uint32_t published;     /* publishes that message `messages` - 1 has had */
    uint32_t parts;         /* so many it needs */
    uint64_t sent, answered, refused, foreign;
    uint64_t delivered, complete;    /* in the measured time */
    struct histogram delivery, last; /* since the message was begun: each arrival, the last one */
};

static void setup(void *arg, uint32_t number, struct client_setup *ret)
{
    struct run *run = arg;

    if (number == 0) {
        snprintf(run->user, sizeof(run->user), "%s-s", run->options.prefix);
        ret->service = true;
    } else {
        snprintf(run->user, sizeof(run->user), "%s-r%u", run->options.prefix, number - 1);
        ret->filter = run->filter;
        snprintf(run->filter, sizeof(run->filter), run_is_plain(run) ? "fanout/%s" : "inbox/#",
                 run->options.prefix);
    }
    ret->user = run->user;
}

static bool drained(const struct run *run)
{
    const struct fanout *fanout = run->state;

    for (uint32_t i = 0; i < run->options.ahead; i++) {
        if (fanout->spreads[i].left > 0)
            return false;
    }
    return fanout->answered == fanout->sent;
}

static int prepare(struct run *run, struct err_text *et)
{
    struct fanout *fanout;

    if (run->options.clients < 2 || run->options.rate > 0)
        return err_set(et, ERR_CONFIG, "scenario fanout needs two clients or more, and no --rate");
    fanout = calloc(1, sizeof(*fanout));
    if (fanout == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    run->state = fanout;
    fanout->count = run->options.clients - 1;
    fanout->parts = fanout->published = run_is_plain(run) ? 1 : fanout->count;
    fanout->receivers = calloc(fanout->count, sizeof(*fanout->receivers));
    fanout->spreads = calloc(run->options.ahead, sizeof(*fanout->spreads));
    if (fanout->receivers == NULL || fanout->spreads == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    fanout->measure.drained = drained;
    return 0;
}

static void fini(struct run *run)
{
    struct fanout *fanout = run->state;

    if (fanout == NULL)
        return;
    for (uint32_t i = 0; fanout->receivers != NULL && i < fanout->count; i++)
        arrivals_fini(&fanout->receivers[i]);
    free(fanout->receivers);
    free(fanout->spreads);
    free(fanout);
}

/* --- sending --- */

static struct spread *spread_of(const struct run *run, uint64_t seq)
{
    const struct fanout *fanout = run->state;

    return &fanout->spreads[seq % run->options.ahead];
}

/* The next part of the message that was begun last. */
static int send_part(struct run *run)
{
    struct fanout *fanout = run->state;
    const struct spread *spread = spread_of(run, fanout->messages - 1);
    uint32_t part = fanout->published++;
    const struct stamp stamp = {part, run->id, spread->seq, spread->due_ns};
    struct sent sent = {spread->due_ns, spread->seq * fanout->parts + part};
    char topic[128];

    stamp_put(run->payload, &stamp);
    if (run_is_plain(run))
        snprintf(topic, sizeof(topic), "fanout/%s", run->options.prefix);
    else
        snprintf(topic, sizeof(topic), "to/u/%s-r%u", run->options.prefix, part);
    fanout->sent++;
    return client_publish(&run->engine.clients[0], bytes_of_string(topic),
                          bytes_of(run->payload, run->options.payload), &sent);
}

static bool begin_message(struct run *run)
{
    struct fanout *fanout = run->state;
    struct spread *spread = spread_of(run, fanout->messages);

    if (fanout->measure.phase == PHASE_DRAIN || spread->left > 0)
        return false;
    *spread = (struct spread){fanout->messages++, engine_now_ns(), fanout->count};
    fanout->published = 0;
    return true;
}

static void pump(struct run *run)
{
    struct fanout *fanout = run->state;

    while (client_can_publish(&run->engine.clients[0]) &&
           (fanout->published < fanout->parts || begin_message(run))) {
        int r = send_part(run);

        if (r < 0) {
            run_end(run, r);
            return;
        }
    }
}

static void on_all_begun(void *arg)
{
    struct run *run = arg;
    struct fanout *fanout = run->state;

    measure_start(&fanout->measure, run);
    pump(run);
}

/* --- what comes back --- */

/* So many receivers have it, or never will. */
static void spread_less(struct run *run, uint64_t seq, uint32_t count, uint64_t now_ns)
{
    struct fanout *fanout = run->state;
    struct spread *spread = spread_of(run, seq);

    if (spread->seq != seq || spread->left < count)
        return;
    spread->left -= count;
    if (spread->left > 0)
        return;
    if (fanout->measure.phase == PHASE_MEASURED)
        fanout->complete++;
    if (measure_has(&fanout->measure, spread->due_ns))
        histogram_add(&fanout->last, now_ns - spread->due_ns);
}

static int accept_part(struct fanout *fanout, uint64_t seq, uint32_t part)
{
    int r = 0;

    if (fanout->parts > 1)
        return arrivals_accepted(&fanout->receivers[part], seq);
    for (uint32_t i = 0; i < fanout->count && r == 0; i++)
        r = arrivals_accepted(&fanout->receivers[i], seq);
    return r;
}

static void on_acked(struct client *client, const struct sent *sent, uint8_t reason,
                     uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct fanout *fanout = run->state;
    uint64_t seq = sent->seq / fanout->parts;
    int r = 0;

    fanout->answered++;
    if (reason >= 0x80) {
        fanout->refused++;
        spread_less(run, seq, fanout->count / fanout->parts, now_ns);
    } else {
        r = accept_part(fanout, seq, (uint32_t)(sent->seq % fanout->parts));
    }
    if (r < 0)
        run_end(run, r);
    pump(run);
}

static void on_message(struct client *client, const struct packet *publish, uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct fanout *fanout = run->state;
    uint32_t receiver = client->number - 1;
    struct stamp stamp;
    int first;

    if (client->number == 0 || !stamp_take(publish->payload, run->id, &stamp) ||
        stamp.stream != (fanout->parts > 1 ? receiver : 0) || stamp.seq >= fanout->messages) {
        fanout->foreign++;
        return;
    }
    first = arrivals_arrived(&fanout->receivers[receiver], stamp.seq);
    if (first < 0)
        run_end(run, first);
    if (first != 1)
        return;
    if (fanout->measure.phase == PHASE_MEASURED)
        fanout->delivered++;
    if (measure_has(&fanout->measure, stamp.due_ns))
        histogram_add(&fanout->delivery, now_ns - stamp.due_ns);
    spread_less(run, stamp.seq, 1, now_ns);
    pump(run);
}

/* --- the report --- */

static void report(struct run *run, json_t *result)
{
    const struct fanout *fanout = run->state;
    double seconds = measure_seconds(&fanout->measure);
    struct tally tally = {0};
    json_t *more;

    if (fanout->measure.phase != PHASE_DRAIN)
        return; /* it never came to that */
    for (uint32_t i = 0; i < fanout->count; i++)
        tally_add(&tally, &fanout->receivers[i]);
    more = json_pack(
        "{s:I,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "receivers",
        (json_int_t)fanout->count, "measured_s", seconds, "delivered_per_s",
        (double)fanout->delivered / seconds, "messages_per_s", (double)fanout->complete / seconds,
        "own_cpu", measure_own_cpu(&fanout->measure), "messages", (json_int_t)fanout->messages,
        "sent", (json_int_t)fanout->sent, "unanswered",
        (json_int_t)(fanout->sent - fanout->answered), "refused", (json_int_t)fanout->refused,
        "lost", (json_int_t)tally.lost, "doubled", (json_int_t)tally.doubled, "swapped",
        (json_int_t)tally.swapped, "foreign", (json_int_t)fanout->foreign, "delivery",
        report_histogram(&fanout->delivery), "last", report_histogram(&fanout->last));
    if (json_object_update(result, more) < 0)
        run->failed = ERR_NO_MEMORY;
    json_decref(more);
}

const struct scenario scenario_fanout = {
    .name = "fanout",
    .prepare = prepare,
    .setup = setup,
    .events = {.connack = run_on_connack,
               .open = run_on_open,
               .all_begun = on_all_begun,
               .acked = on_acked,
               .message = on_message},
    .report = report,
    .fini = fini,
};
