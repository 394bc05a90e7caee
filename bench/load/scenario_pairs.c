/* pairs: client 2n publishes to client 2n + 1, which checks what comes.
 *
 * Closed loop (no --rate): a sender publishes whenever its window has room, so the server sets the
 * pace. Open loop: message m of the run is due at start + m / rate and belongs to pair m mod pairs;
 * a sender whose window is full is late, and latency counts from when the message was due.
 *
 * After --warm seconds --seconds are measured: acknowledgements and deliveries that came in that
 * time, and the latencies of the messages that were due in it. Arrivals are checked from the first
 * message to the last one, for which --drain seconds are allowed. */
#include "bench/load/run.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/load/arrivals.h"
#include "common/auto.h"

#define MS_PER_S 1000
/* How often the end of the drain is looked for. */
#define DRAIN_LOOK_MS 10

/* At the beginning of each payload, little-endian, not aligned. */
struct stamp {
    uint32_t pair;
    uint32_t run; /* what an earlier run left in an inbox is not ours */
    uint64_t seq;
    uint64_t due_ns;
};

struct pair {
    uint64_t due; /* messages that fell due; of a closed loop: not counted */
    uint64_t sent;
    struct arrivals arrivals;
};

enum phase { PHASE_WARM, PHASE_MEASURED, PHASE_DRAIN };

struct pairs {
    struct pair *pairs;
    uint32_t count, run;
    enum phase phase;
    struct pace pace;
    uint64_t from_ns, until_ns; /* measured */
    double cpu_from_s, cpu_until_s;
    uint64_t sent, answered, refused, foreign;
    uint64_t acked, delivered; /* in the measured time */
    struct histogram puback, delivery;
    uint8_t *payload;
};

static double cpu_s(void)
{
    struct rusage usage = {0};

    /* Fails only for a bad address; then it is 0. */
    IGNORE_RESULT(getrusage(RUSAGE_SELF, &usage));
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

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
    pairs->run = (uint32_t)engine_now_ns();
    pairs->pairs = calloc(pairs->count, sizeof(*pairs->pairs));
    pairs->payload = malloc(run->options.payload);
    if (pairs->pairs == NULL || pairs->payload == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    memset(pairs->payload, 'x', run->options.payload);
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
    free(pairs->payload);
    free(pairs);
}

/* --- sending --- */

static int send_one(struct run *run, uint32_t number, uint64_t due_ns)
{
    struct pairs *pairs = run->state;
    struct pair *pair = &pairs->pairs[number];
    struct sent sent = {.at_ns = due_ns, .seq = pair->sent};
    struct stamp stamp = {htole32(number), htole32(pairs->run), htole64(sent.seq), htole64(due_ns)};
    char topic[128];

    memcpy(pairs->payload, &stamp, sizeof(stamp));
    snprintf(topic, sizeof(topic), "%s/%s-r%u",
             strcmp(run->options.topics, "plain") == 0 ? "inbox" : "to/u", run->options.prefix,
             number);
    pair->sent++;
    pairs->sent++;
    return client_publish(&run->engine.clients[2 * number], bytes_of_string(topic),
                          bytes_of(pairs->payload, run->options.payload), &sent);
}

/* As much as is due and the window lets out. */
static void pump(struct run *run, uint32_t number)
{
    struct pairs *pairs = run->state;
    struct pair *pair = &pairs->pairs[number];
    const struct client *sender = &run->engine.clients[2 * number];
    bool open_loop = run->options.rate > 0;

    while (client_can_publish(sender) &&
           (open_loop ? pair->sent < pair->due : pairs->phase != PHASE_DRAIN)) {
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

static void begin_measuring(struct run *run)
{
    struct pairs *pairs = run->state;

    pairs->phase = PHASE_MEASURED;
    pairs->from_ns = engine_now_ns();
    pairs->cpu_from_s = cpu_s();
    loop_timer_add(run->loop, &run->timer, (uint64_t)run->options.seconds * MS_PER_S);
}

static void on_timer(struct timer *timer)
{
    struct run *run = CONTAINER_OF(timer, struct run, timer);
    struct pairs *pairs = run->state;
    uint64_t now_ns = engine_now_ns();

    if (pairs->phase == PHASE_WARM) {
        begin_measuring(run);
        return;
    }
    if (pairs->phase == PHASE_MEASURED) {
        pairs->phase = PHASE_DRAIN;
        pairs->until_ns = now_ns;
        pairs->cpu_until_s = cpu_s();
        pace_stop(&pairs->pace);
    }
    if (drained(run) || now_ns - pairs->until_ns > run->options.drain_s * 1000000000ull)
        run_end(run, 0);
    else
        loop_timer_add(run->loop, timer, DRAIN_LOOK_MS);
}

static void on_all_begun(void *arg)
{
    struct run *run = arg;
    struct pairs *pairs = run->state;
    int r = 0;

    timer_init(&run->timer, on_timer);
    if (run->options.warm_s > 0)
        loop_timer_add(run->loop, &run->timer, (uint64_t)run->options.warm_s * MS_PER_S);
    else
        begin_measuring(run); /* the first message counts */
    if (run->options.rate > 0)
        r = pace_start(&pairs->pace, run->loop, run->options.rate, on_due, run);
    if (r < 0)
        run_end(run, r);
    for (uint32_t i = 0; run->options.rate == 0 && i < pairs->count; i++)
        pump(run, i);
}

/* --- what comes back --- */

static bool is_measured(const struct pairs *pairs, uint64_t due_ns)
{
    return pairs->phase != PHASE_WARM && due_ns >= pairs->from_ns &&
           (pairs->phase == PHASE_MEASURED || due_ns < pairs->until_ns);
}

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
    if (pairs->phase == PHASE_MEASURED)
        pairs->acked++;
    if (is_measured(pairs, sent->at_ns))
        histogram_add(&pairs->puback, now_ns - sent->at_ns);
    pump(run, number);
}

static void on_message(struct client *client, const struct packet *publish, uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct pairs *pairs = run->state;
    struct stamp stamp;
    uint64_t due_ns;
    int first;

    if (publish->payload.len < sizeof(stamp)) {
        pairs->foreign++;
        return;
    }
    memcpy(&stamp, publish->payload.data, sizeof(stamp));
    if (le32toh(stamp.run) != pairs->run || client->number != le32toh(stamp.pair) * 2 + 1 ||
        le64toh(stamp.seq) >= pairs->pairs[client->number / 2].sent) {
        pairs->foreign++;
        return;
    }
    first = arrivals_arrived(&pairs->pairs[client->number / 2].arrivals, le64toh(stamp.seq));
    if (first < 0)
        run_end(run, first);
    due_ns = le64toh(stamp.due_ns);
    if (first == 1 && pairs->phase == PHASE_MEASURED)
        pairs->delivered++;
    if (first == 1 && is_measured(pairs, due_ns))
        histogram_add(&pairs->delivery, now_ns - due_ns);
}

/* --- the report --- */

static void report(struct run *run, json_t *result)
{
    const struct pairs *pairs = run->state;
    double seconds = (double)(pairs->until_ns - pairs->from_ns) / 1e9;
    uint64_t lost = 0, doubled = 0, swapped = 0;

    if (pairs->phase != PHASE_DRAIN)
        return; /* it never came to that */
    for (uint32_t i = 0; i < pairs->count; i++) {
        lost += arrivals_lost(&pairs->pairs[i].arrivals);
        doubled += pairs->pairs[i].arrivals.doubled;
        swapped += pairs->pairs[i].arrivals.swapped;
    }
    json_t *more = json_pack(
        "{s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "measured_s", seconds,
        "acknowledged_per_s", (double)pairs->acked / seconds, "delivered_per_s",
        (double)pairs->delivered / seconds, "own_cpu",
        (pairs->cpu_until_s - pairs->cpu_from_s) / seconds, "sent", (json_int_t)pairs->sent,
        "unanswered", (json_int_t)(pairs->sent - pairs->answered), "refused",
        (json_int_t)pairs->refused, "lost", (json_int_t)lost, "doubled", (json_int_t)doubled,
        "swapped", (json_int_t)swapped, "foreign", (json_int_t)pairs->foreign, "puback",
        report_histogram(&pairs->puback), "delivery", report_histogram(&pairs->delivery));
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
