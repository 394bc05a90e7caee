/* push_host - a dp_host for tests: I/O on common/loop, time on a clock of its own.
 *
 * The clock moves only when nothing is ready to be read or written, from timer to timer, so that a
 * test of half a minute takes milliseconds and is the same on a busy machine. The server under the
 * same loop uses the same watches. One instance of the plugin a host. */
#ifndef BECKON_TESTS_PUSH_HOST_H
#define BECKON_TESTS_PUSH_HOST_H

#include "beckon/delivery_plugin.h"
#include "common/loop.h"

#include <stdbool.h>

#define PUSH_OUTCOMES_MAX 4096
#define PUSH_WALL_MS UINT64_C(1780000000000) /* when a test begins */

struct push_outcome {
    uint64_t id, retry_after_ms, gone_at_ms, at_ms;
    uint32_t kind;
    char reason[64];
};

struct push_watch {
    struct push_host *owner;
    int fd;
    loop_id io;
    dp_watch_fn fn;
    void *arg;
};

struct push_counter {
    char name[32];
    uint64_t value;
};

struct push_timer;

struct push_host {
    struct dp_host host;
    struct loop *loop;
    struct timer_wheel wheel;
    int64_t wall_step_ms; /* a clock that was set */
    struct push_timer *timers;
    uint64_t last_timer;
    struct push_watch watches[256];
    uint64_t activity;
    struct push_outcome outcomes[PUSH_OUTCOMES_MAX];
    size_t outcome_count;
    struct push_counter counters[64];
    uint64_t errors; /* lines of level error */
    char last_error[384];
    void *instance;
    char error[512]; /* of open */
    /* inside complete; NULL = nothing to do */
    void (*on_outcome)(struct push_host *host, const struct push_outcome *outcome);
};

void push_host_init(struct push_host *host);
/* Closes the instance if there is one; no watch or timer may be left. */
void push_host_fini(struct push_host *host);

/* The plugin's open with exactly these settings. */
int32_t push_host_open_with(struct push_host *host, const struct dp_setting *settings,
                            size_t count);
void push_host_close(struct push_host *host);
/* What deliver returned. */
int32_t push_host_deliver(struct push_host *host, uint64_t id);
/* The same with something else in place of a field; NULL = as push_host_deliver has it. */
struct push_changes {
    const char *token, *topic, *environment, *document;
    uint64_t expires_at_ms, deadline_ms;
    uint32_t priority;
};
int32_t push_host_deliver_as(struct push_host *host, uint64_t id,
                             const struct push_changes *changes);
void push_host_cancel(struct push_host *host, uint64_t id);

/* Runs until condition holds, at most max_ms of the test's clock. False: it never did. */
bool push_host_until(struct push_host *host, uint64_t max_ms, bool (*condition)(void *arg),
                     void *arg);
/* Runs until so many outcomes are there; fails the test after two minutes of its clock. */
void push_host_await(struct push_host *host, size_t outcomes);
/* Runs for so long on the test's clock. */
void push_host_pass(struct push_host *host, uint64_t ms);
/* The clock jumps; what became due runs at the next turn. */
void push_host_skip(struct push_host *host, uint64_t ms);

uint64_t push_host_counter(const struct push_host *host, const char *name);
/* The outcome of id; fails the test unless there is exactly one. */
const struct push_outcome *push_host_outcome(const struct push_host *host, uint64_t id);

#endif
