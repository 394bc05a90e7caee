/* plugin_process - a child process that runs beckon-plugin-host: started, watched, measured, ended.
 * Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_PROCESS_H
#define BECKON_BROKER_PLUGIN_PROCESS_H

#include "common/err.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct plugin_process;
/* It has ended and was reaped. status as waitpid gives it. */
typedef void (*plugin_process_fn)(void *arg, int status);

/* Embedded in its owner. Zeroed is not running. */
struct plugin_process {
    struct loop *loop;
    pid_t pid; /* 0: not running */
    int pidfd;
    loop_id io;
    plugin_process_fn fn;
    void *arg;
};

/* Starts argv[0] (a path) with no descriptor but the standard three, default signals and a process
 * group of its own. ERR_SYSTEM with et. */
MUST_CHECK int plugin_process_start(struct plugin_process *process, struct loop *loop,
                                    char *const *argv, plugin_process_fn fn, void *arg,
                                    struct err_text *et);
/* SIGKILL; fn follows. No effect when it does not run. */
void plugin_process_kill(struct plugin_process *process);
/* Waits until until_ms (plugin_clock_ms), then kills; returns when the process is reaped. No
 * callback. */
void plugin_process_end(struct plugin_process *process, uint64_t until_ms);
/* CLOCK_MONOTONIC in milliseconds, now: for waits during which the loop and its clock stand. */
uint64_t plugin_clock_ms(void);
/* Resident memory in bytes, 0 when it can't be read. */
uint64_t plugin_process_rss(const struct plugin_process *process);
/* How long to wait before the next start after `failures` ends in a row: from 100 ms, doubling, to
 * 30 s. Random by a quarter, so that plugins that fail together do not start together. */
uint64_t plugin_process_backoff_ms(uint32_t failures);
/* "signal 11 (Segmentation fault)", "exit status 1". */
void plugin_process_describe(int status, char *buf, size_t size);

#endif
