/* beckon-load: reads its options, runs one scenario, prints one JSON object. Exit status 0: the run
 * was carried out, whatever it found; 1: it could not be; 2: bad options. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/run.h"
#include "common/auto.h"

static const struct scenario *const scenarios[] = {&scenario_connect, &scenario_fanout,
                                                   &scenario_idle,    &scenario_offline,
                                                   &scenario_pairs,   &scenario_storm};

void run_end(struct run *run, int err)
{
    if (run->failed == 0)
        run->failed = err;
    loop_stop(run->loop);
}

void run_on_connack(struct client *client, uint64_t now_ns)
{
    struct run *run = client->engine->arg;

    histogram_add(&run->connack, now_ns - client->due_ns);
}

void run_on_open(struct client *client, uint64_t now_ns)
{
    struct run *run = client->engine->arg;

    histogram_add(&run->ready, now_ns - client->due_ns);
}

bool run_is_plain(const struct run *run)
{
    return strcmp(run->options.topics, "plain") == 0;
}

const char *run_inbox_filter(struct run *run, const char *user)
{
    if (!run_is_plain(run))
        return "inbox/#";
    snprintf(run->filter, sizeof(run->filter), "inbox/%s", user);
    return run->filter;
}

static void on_connect_timeout(struct timer *timer)
{
    struct run *run = CONTAINER_OF(timer, struct run, connect_timer);

    if (run->engine.connect_until_ns == 0) {
        fprintf(stderr, "beckon-load: %u of %u clients connected within %u s (%s)\n",
                run->engine.open, run->engine.count, run->options.connect_timeout_s,
                run->engine.reason);
        run_end(run, ERR_EXPIRED);
    }
}

int run_connect(struct run *run, uint32_t first, uint32_t count)
{
    loop_timer_cancel(run->loop, &run->connect_timer);
    loop_timer_add(run->loop, &run->connect_timer, (uint64_t)run->options.connect_timeout_s * 1000);
    return engine_connect(&run->engine, first, count);
}

static int prepare(struct run *run, struct err_text *et)
{
    run->loop = loop_create();
    if (run->loop == NULL)
        return err_set(et, ERR_SYSTEM, "could not make a loop");
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        if (strcmp(run->options.scenario, scenarios[i]->name) == 0)
            run->scenario = scenarios[i];
    }
    if (run->scenario == NULL)
        return err_set(et, ERR_CONFIG, "there is no scenario \"%s\"", run->options.scenario);
    run->id = (uint32_t)engine_now_ns();
    run->payload = malloc(run->options.payload);
    if (run->payload == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    memset(run->payload, 'x', run->options.payload);
    if (run->scenario->prepare != NULL) {
        int r = run->scenario->prepare(run, et);

        if (r < 0)
            return r;
    }
    run->engine.loop = run->loop;
    run->engine.options = &run->options;
    run->engine.events = &run->scenario->events;
    run->engine.setup = run->scenario->setup;
    run->engine.arg = run;
    return engine_init(&run->engine, run->options.clients, et);
}

static void report(struct run *run)
{
    const struct engine *engine = &run->engine;
    double seconds = (double)(engine->connect_until_ns - engine->connect_from_ns) / 1e9;
    json_t *result = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:f,s:f,s:o,s:o}", "event", "result", "scenario",
        run->scenario->name, "clients", (json_int_t)engine->count, "open", (json_int_t)engine->open,
        "failed", (json_int_t)engine->failed, "closed_by_server", (json_int_t)engine->lost,
        "first_failure", engine->reason, "connect_s", seconds, "connects_per_s",
        (double)(engine->batch - engine->batch_failed) / seconds, "connack",
        report_histogram(&run->connack), "ready", report_histogram(&run->ready));

    if (result != NULL && run->scenario->report != NULL)
        run->scenario->report(run, result);
    report_print(result);
}

static int play(struct run *run)
{
    int r;

    timer_init(&run->connect_timer, on_connect_timeout);
    r = run->scenario->begin != NULL ? run->scenario->begin(run)
                                     : run_connect(run, 0, run->engine.count);
    if (r == 0)
        r = loop_run(run->loop);
    if (r == 0)
        r = run->failed;
    if (r < 0) {
        fprintf(stderr, "beckon-load: %s\n", err_string(r));
        return r;
    }
    report(run);
    engine_close(&run->engine);
    return run->failed;
}

static void fini(struct run *run)
{
    engine_fini(&run->engine);
    if (run->scenario != NULL && run->scenario->fini != NULL)
        run->scenario->fini(run);
    loop_destroy(run->loop);
    free(run->payload);
    free(run);
}

int main(int argc, char **argv)
{
    struct run *run = calloc(1, sizeof(*run));
    struct err_text et = {0};
    int r, status;

    if (run == NULL)
        return 1;
    r = load_options_read(argc, argv, &run->options, &et);
    if (r == ERR_EXISTS) { /* --help */
        free(run);
        return 0;
    }
    if (r == 0)
        r = prepare(run, &et);
    if (r < 0) {
        fprintf(stderr, "beckon-load: %s\n", et.text);
        status = r == ERR_CONFIG ? 2 : 1;
    } else {
        /* A socket that closed is seen where it is written to. */
        signal(SIGPIPE, SIG_IGN);
        status = play(run) < 0;
    }
    if (run->loop != NULL)
        fini(run);
    else
        free(run);
    return status;
}
