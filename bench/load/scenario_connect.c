/* connect: all clients connect, once, and leave. idle: they stay until standard input ends. */
#include "bench/load/run.h"

#include <stdio.h>
#include <unistd.h>

static void setup(void *arg, uint32_t number, struct client_setup *ret)
{
    struct run *run = arg;

    snprintf(run->user, sizeof(run->user), "%s-%u", run->options.prefix, number);
    ret->user = run->user;
    ret->filter = run->options.subscribe ? run_inbox_filter(run, run->user) : NULL;
}

static void end(void *arg)
{
    run_end(arg, 0);
}

static void on_input(void *arg, uint32_t events)
{
    char ignored[64];

    (void)events;
    if (read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
        run_end(arg, 0);
}

/* Whoever started us measures now. */
static void hold(void *arg)
{
    struct run *run = arg;
    loop_id io;
    int r = loop_io_add(run->loop, STDIN_FILENO, EPOLLIN, on_input, run, &io);

    if (r < 0) {
        fputs("beckon-load: standard input can't be waited for; expected a pipe\n", stderr);
        run_end(run, r);
        return;
    }

    report_print(json_pack("{s:s,s:I,s:I}", "event", "holding", "open",
                           (json_int_t)run->engine.open, "failed", (json_int_t)run->engine.failed));
}

const struct scenario scenario_connect = {
    .name = "connect",
    .setup = setup,
    .events = {.connack = run_on_connack, .open = run_on_open, .all_begun = end},
};

const struct scenario scenario_idle = {
    .name = "idle",
    .setup = setup,
    .events = {.connack = run_on_connack, .open = run_on_open, .all_begun = hold},
};
