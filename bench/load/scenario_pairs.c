/* pairs: client 2n publishes to client 2n + 1, which checks what comes.
 *
 * Closed loop (no --rate): a sender publishes whenever its window has room, so the server sets the
 * pace. Open loop: message m of the run is due at start + m / rate and belongs to pair m mod pairs;
 * a sender whose window is full is late, and latency counts from when the message was due.
 *
 * After --warm seconds --seconds are measured: acknowledgements and deliveries that came in that
 * time, and the latencies of the messages that were due in it. Arrivals are checked from the first
 * message to the last one, for which --drain seconds are allowed. */
#include "bench/load/measure.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/load/arrivals.h"
#include "bench/load/stamp.h"

struct pair {
    uint64_t due; /* messages that fell due; of a closed loop: not counted */
    uint64_t sent;
    struct arrivals arrivals;
};

struct pairs {
    struct pair *pairs;
    uint32_t count;
    struct measure measure;
    struct pace pace;
    uint64_t sent, answered, refused, foreign;
    uint64_t acked, delivered;        /* in the measured time */
    uint64_t last_ack_ns, silence_ns; /* the longest time without an acknowledgement */
    struct histogram puback, delivery;
};

/* --- who is who --- */

static void setup(void *arg, uint32_t number, struct client_setup *ret)
{
    struct run *run = arg;
    bool sends = number % 2 == 0;

    snprintf(run->user, sizeof(run->user), "%s-%c%u", run->options.prefix, sends ? 's' : 'r',
             number / 2);
    ret->user = run->user;
    ret->filter = sends ? NULL : run_inbox_filter(run, run->user);
}

/* Nothing more is to come, but for what is lost. */
static bool drained(const struct run *run)
{
    const struct pairs *pairs = run->state;
    uint64_t arrived = 0, due = 0;

    for (uint32_t i = 0; i < pairs->count; i++) {
        arrived += pairs->pairs[i].arrivals.arrived_count;
        due += pairs->pairs[i].due;
    }
    return pairs->answered == pairs->sent && arrived + pairs->refused >= pairs->sent &&
           (run->options.rate == 0 || pairs->sent == due);
}

/* Nobody was answered for so long: a server that stands still answers nobody. */
static void note_silence(struct pairs *pairs, uint64_t now_ns)
{
    uint64_t since_ns = pairs->last_ack_ns;

    if (since_ns < pairs->measure.from_ns)
        since_ns = pairs->measure.from_ns;
    pairs->last_ack_ns = now_ns;
    if (now_ns - since_ns > pairs->silence_ns)
        pairs->silence_ns = now_ns - since_ns;
}

static void on_over(struct run *run)
{
    struct pairs *pairs = run->state;

    pace_stop(&pairs->pace);
    note_silence(pairs, pairs->measure.until_ns);
}

static int prepare(struct run *run, struct err_text *et)
{
    struct pairs *pairs = calloc(1, sizeof(*pairs));

    if (run->options.clients % 2 != 0) {
        free(pairs);
        return err_set(et, ERR_CONFIG, "--clients is %u, expected an even number",
                       run->options.clients);
    }
    if (pairs == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    run->state = pairs;
    pairs->pace.fd = -1;
    pairs->count = run->options.clients / 2;
    pairs->pairs = calloc(pairs->count, sizeof(*pairs->pairs));
    if (pairs->pairs == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    pairs->measure.drained = drained;
    pairs->measure.over = on_over;
    return 0;
}

static void fini(struct run *run)
{
    struct pairs *pairs = run->state;

    if (pairs == NULL)
        return;
    pace_stop(&pairs->pace);
    for (uint32_t i = 0; pairs->pairs != NULL && i < pairs->count; i++)
        arrivals_fini(&pairs->pairs[i].arrivals);
    free(pairs->pairs);
    free(pairs);
}

/* --- sending --- */

static int send_one(struct run *run, uint32_t number, uint64_t due_ns)
{
    struct pairs *pairs = run->state;
    struct pair *pair = &pairs->pairs[number];
    struct sent sent = {.at_ns = due_ns, .seq = pair->sent};
    const struct stamp stamp = {number, run->id, sent.seq, due_ns};
    char topic[128];

    stamp_put(run->payload, &stamp);
    snprintf(topic, sizeof(topic), "%s/%s-r%u", run_is_plain(run) ? "inbox" : "to/u",
             run->options.prefix, number);
    pair->sent++;
    pairs->sent++;
    return client_publish(&run->engine.clients[2 * number], bytes_of_string(topic),
                          bytes_of(run->payload, run->options.payload), &sent);
}

/* As much as is due and the window lets out. */
static void pump(struct run *run, uint32_t number)
{
    struct pairs *pairs = run->state;
    struct pair *pair = &pairs->pairs[number];
    const struct client *sender = &run->engine.clients[2 * number];
    bool open_loop = run->options.rate > 0;

    while (client_can_publish(sender) &&
           (open_loop ? pair->sent < pair->due : pairs->measure.phase != PHASE_DRAIN)) {
        uint64_t due_ns = open_loop ? pace_due_ns(&pairs->pace, pair->sent * pairs->count + number)
                                    : engine_now_ns();

        int r = send_one(run, number, due_ns);
        if (r < 0) {
            run_end(run, r);
            return;
        }
    }
}

static void on_due(void *arg, uint64_t number, uint64_t due_ns)
{
    struct run *run = arg;
    struct pairs *pairs = run->state;
    uint32_t pair = (uint32_t)(number % pairs->count);

    (void)due_ns;
    pairs->pairs[pair].due++;
    pump(run, pair);
}

/* --- phases --- */

static void on_all_begun(void *arg)
{
    struct run *run = arg;
    struct pairs *pairs = run->state;
    int r = 0;

    measure_start(&pairs->measure, run);
    if (run->options.rate > 0)
        r = pace_start(&pairs->pace, run->loop, run->options.rate, on_due, run);
    if (r < 0)
        run_end(run, r);
    for (uint32_t i = 0; run->options.rate == 0 && i < pairs->count; i++)
        pump(run, i);
}

/* --- what comes back --- */

static void on_acked(struct client *client, const struct sent *sent, uint8_t reason,
                     uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct pairs *pairs = run->state;
    uint32_t number = client->number / 2;

    pairs->answered++;
    if (reason >= 0x80) {
        pairs->refused++;
    } else if (arrivals_accepted(&pairs->pairs[number].arrivals, sent->seq) < 0) {
        run_end(run, ERR_NO_MEMORY);
        return;
    }
    if (pairs->measure.phase == PHASE_MEASURED) {
        pairs->acked++;
        note_silence(pairs, now_ns);
    }
    if (measure_has(&pairs->measure, sent->at_ns))
        histogram_add(&pairs->puback, now_ns - sent->at_ns);
    pump(run, number);
}

static void on_message(struct client *client, const struct packet *publish, uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct pairs *pairs = run->state;
    struct stamp stamp;
    int first;

    if (!stamp_take(publish->payload, run->id, &stamp) ||
        client->number != (uint64_t)stamp.stream * 2 + 1 ||
        stamp.seq >= pairs->pairs[client->number / 2].sent) {
        pairs->foreign++;
        return;
    }
    first = arrivals_arrived(&pairs->pairs[client->number / 2].arrivals, stamp.seq);
    if (first < 0)
        run_end(run, first);
    if (first == 1 && pairs->measure.phase == PHASE_MEASURED)
        pairs->delivered++;
    if (first == 1 && measure_has(&pairs->measure, stamp.due_ns))
        histogram_add(&pairs->delivery, now_ns - stamp.due_ns);
}

/* --- the report --- */

static void report(struct run *run, json_t *result)
{
    const struct pairs *pairs = run->state;
    double seconds = measure_seconds(&pairs->measure);
    struct tally tally = {0};

    if (pairs->measure.phase != PHASE_DRAIN)
        return; /* it never came to that */
    for (uint32_t i = 0; i < pairs->count; i++)
        tally_add(&tally, &pairs->pairs[i].arrivals);
    json_t *more = json_pack(
        "{s:f,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "measured_s", seconds,
        "acknowledged_per_s", (double)pairs->acked / seconds, "delivered_per_s",
        (double)pairs->delivered / seconds, "own_cpu", measure_own_cpu(&pairs->measure),
        "longest_silence_us", (double)pairs->silence_ns / 1000, "sent", (json_int_t)pairs->sent,
        "unanswered", (json_int_t)(pairs->sent - pairs->answered), "refused",
        (json_int_t)pairs->refused, "lost", (json_int_t)tally.lost, "doubled",
        (json_int_t)tally.doubled, "swapped", (json_int_t)tally.swapped, "foreign",
        (json_int_t)pairs->foreign, "puback", report_histogram(&pairs->puback), "delivery",
        report_histogram(&pairs->delivery));
    if (json_object_update(result, more) < 0)
        run->failed = ERR_NO_MEMORY;
    json_decref(more);
}

const struct scenario scenario_pairs = {
    .name = "pairs",
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
