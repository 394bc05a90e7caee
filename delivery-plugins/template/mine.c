/* mine - the smallest complete delivery plugin. Copy it, rename it, replace what send_it does.
 *
 * This one "delivers" by waiting a little and counting, which is the shape of every real one: take
 * what is needed out of the delivery, start something, report how it ended. Nothing blocks, and
 * every delivery is reported exactly once, also when the plugin is closed meanwhile. */
#include <beckon/delivery_plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a real plugin would wait for its service. */
#define ANSWER_MS 5
/* Deliveries under way at most: above it the host keeps them and asks again. */
#define IN_FLIGHT_MAX 100

struct mine;

/* One delivery under way. Nothing of struct dp_delivery lives longer than deliver: copy. */
struct job {
    struct job *next, **pprev;
    struct mine *mine;
    uint64_t id;
    uint64_t timer;
    char user[64];
};

/* One instance; there may be several in a process, so no global variables. */
struct mine {
    const struct dp_host *host;
    char greeting[64];
    struct job *jobs;
    unsigned in_flight;
};

static void finish(struct job *job, uint32_t kind, const char *reason)
{
    struct mine *mine = job->mine;
    struct dp_outcome outcome;
    uint64_t id = job->id;

    memset(&outcome, 0, sizeof(outcome));
    outcome.struct_size = sizeof(outcome);
    outcome.kind = kind;
    outcome.reason = reason;
    *job->pprev = job->next;
    if (job->next)
        job->next->pprev = job->pprev;
    free(job);
    mine->in_flight--;
    /* last, because the host may call deliver from inside complete */
    mine->host->complete(mine->host->ctx, id, &outcome);
}

/* The service answered. */
static void on_answer(void *arg)
{
    struct job *job = arg;

    job->mine->host->count(job->mine->host->ctx, "accepted", 1);
    finish(job, DP_ACCEPTED, NULL);
}

/* Here a real plugin writes to a socket that host->watch watches. 0, or -1. */
static int send_it(struct job *job)
{
    const struct dp_host *host = job->mine->host;

    job->timer = host->timer_start(host->ctx, ANSWER_MS, on_answer, job);
    return job->timer ? 0 : -1;
}

static int32_t mine_open(const struct dp_host *host, const struct dp_setting *settings,
                         size_t setting_count, void **ret_instance, char *error, size_t error_size)
{
    struct mine *mine = calloc(1, sizeof(*mine));

    if (!mine) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    mine->host = host;
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].path, "greeting") != 0) {
            snprintf(error, error_size, "%s: unknown setting \"%s\", expected greeting",
                     settings[i].where, settings[i].path);
            free(mine);
            return -1;
        }
        snprintf(mine->greeting, sizeof(mine->greeting), "%s", settings[i].value);
    }
    *ret_instance = mine;
    return 0;
}

static int32_t mine_deliver(void *instance, const struct dp_delivery *delivery)
{
    struct mine *mine = instance;
    struct job *job;

    if (mine->in_flight >= IN_FLIGHT_MAX)
        return -1;
    job = calloc(1, sizeof(*job));
    if (!job)
        return -1;
    job->mine = mine;
    job->id = delivery->id;
    snprintf(job->user, sizeof(job->user), "%s", delivery->device->user);
    job->next = mine->jobs;
    if (job->next)
        job->next->pprev = &job->next;
    job->pprev = &mine->jobs;
    mine->jobs = job;
    mine->in_flight++;
    if (send_it(job) < 0)
        finish(job, DP_RETRY, "out-of-memory"); /* taken, so it is reported */
    return 0;
}

/* The host does not need it any more: stop, and report all the same. */
static void mine_cancel(void *instance, uint64_t id)
{
    struct mine *mine = instance;
    struct job *job = mine->jobs;

    while (job && job->id != id)
        job = job->next;
    if (!job)
        return; /* it was reported already */
    mine->host->timer_stop(mine->host->ctx, job->timer);
    finish(job, DP_RETRY, "cancelled");
}

static void mine_close(void *instance)
{
    struct mine *mine = instance;

    while (mine->jobs) {
        mine->host->timer_stop(mine->host->ctx, mine->jobs->timer);
        finish(mine->jobs, DP_RETRY, "plugin-closed");
    }
    free(mine);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "mine",
        .version = "1.0",
        .flags = DP_USES_NOTIFICATION,
        .open = mine_open,
        .deliver = mine_deliver,
        .cancel = mine_cancel,
        .close = mine_close,
    };

    (void)host_abi;
    return &plugin;
}
