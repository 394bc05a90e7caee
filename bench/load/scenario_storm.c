/* storm: all clients connect at their leisure and subscribe, with sessions that are kept. Then
 * every connection is reset, and all of them connect again at the same moment, as after the crash
 * of whatever stood between them and the server. It is over when each has its session again
 * (CONNACK with Session Present) or a new subscription (SUBACK). Whoever is turned away tries
 * again. */
#include "bench/load/measure.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/auto.h"

/* Until the server is done with what the first connects left to do. */
#define SETTLE_MS 1000
/* A client's pause before it tries again. */
#define RETRY_MS 200

enum stage { STAGE_FIRST, STAGE_STORM, STAGE_AFTER };

struct storm {
    struct run *run;
    struct timer timer;
    enum stage stage;
    double first_s, cpu_from_s, cpu_until_s;
    uint32_t cut, resumed;
    uint32_t lost_before; /* closed by the server, before the storm */
};

static void setup(void *arg, uint32_t number, struct client_setup *ret)
{
    struct run *run = arg;

    snprintf(run->user, sizeof(run->user), "%s-%u", run->options.prefix, number);
    ret->user = run->user;
    ret->filter = run_inbox_filter(run, run->user);
    ret->resumes = true;
}

static double connect_s(const struct engine *engine)
{
    return (double)(engine->connect_until_ns - engine->connect_from_ns) / 1e9;
}

static void begin_storm(struct storm *storm)
{
    struct run *run = storm->run;
    struct engine *engine = &run->engine;
    int r;

    storm->stage = STAGE_STORM;
    storm->first_s = connect_s(engine);
    storm->lost_before = engine->lost;
    storm->cut = engine->open;
    storm->cpu_from_s = own_cpu_s();
    run->connack = run->ready = (struct histogram){0};
    run->options.concurrency = engine->count;
    run->options.connect_rate = 0;
    engine->retry_ms = RETRY_MS;
    for (uint32_t i = 0; i < engine->count; i++)
        client_cut(&engine->clients[i]);
    r = run_connect(run, 0, engine->count);
    if (r < 0)
        run_end(run, r);
}

static void on_timer(struct timer *timer)
{
    struct storm *storm = CONTAINER_OF(timer, struct storm, timer);

    if (storm->stage == STAGE_FIRST)
        begin_storm(storm);
    else
        run_end(storm->run, 0);
}

static void on_open(struct client *client, uint64_t now_ns)
{
    struct run *run = client->engine->arg;
    struct storm *storm = run->state;

    run_on_open(client, now_ns);
    storm->resumed += storm->stage == STAGE_STORM && client->resumed;
}

static void on_all_begun(void *arg)
{
    struct run *run = arg;
    struct storm *storm = run->state;

    if (storm->stage == STAGE_STORM) {
        storm->cpu_until_s = own_cpu_s();
        storm->stage = STAGE_AFTER; /* whom it throws out again is seen */
    }
    loop_timer_add(run->loop, &storm->timer, SETTLE_MS);
}

static int prepare(struct run *run, struct err_text *et)
{
    struct storm *storm;

    if (run->options.session_expiry_s == 0)
        return err_set(et, ERR_CONFIG, "scenario storm needs --session-expiry");
    storm = calloc(1, sizeof(*storm));
    if (storm == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    storm->run = run;
    timer_init(&storm->timer, on_timer);
    run->state = storm;
    return 0;
}

static void report(struct run *run, json_t *result)
{
    const struct storm *storm = run->state;
    const struct engine *engine = &run->engine;
    double seconds = connect_s(engine);
    json_t *more;

    if (storm->stage != STAGE_AFTER)
        return; /* it never came to that */
    more =
        json_pack("{s:f,s:I,s:f,s:I,s:I,s:I,s:I,s:f}", "first_connect_s", storm->first_s, "cut",
                  (json_int_t)storm->cut, "storm_s", seconds, "resumed", (json_int_t)storm->resumed,
                  "subscribed_again", (json_int_t)engine->open - storm->resumed, "retried",
                  (json_int_t)engine->retried, "closed_before", (json_int_t)storm->lost_before,
                  "own_cpu", (storm->cpu_until_s - storm->cpu_from_s) / seconds);
    if (json_object_update(result, more) < 0)
        run->failed = ERR_NO_MEMORY;
    json_decref(more);
}

static void fini(struct run *run)
{
    free(run->state);
}

const struct scenario scenario_storm = {
    .name = "storm",
    .prepare = prepare,
    .setup = setup,
    .events = {.connack = run_on_connack, .open = on_open, .all_begun = on_all_begun},
    .report = report,
    .fini = fini,
};
