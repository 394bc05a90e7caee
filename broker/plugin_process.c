/* plugin_process - see the header.
 *
 * posix_spawn, because a broker with gigabytes in memory would stand still while fork copies its
 * page tables. A pidfd tells of the end: no signal handler, no pid that was reused meanwhile. */
#include "broker/plugin_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 30000

static int reap(struct plugin_process *process)
{
    int status = 0;

    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        ;
    loop_io_remove(process->loop, process->io);
    close(process->pidfd);
    process->pid = 0;
    return status;
}

static void on_exit_event(void *arg, uint32_t events)
{
    struct plugin_process *process = arg;

    (void)events;
    process->fn(process->arg, reap(process));
}

static int spawn(char *const *argv, pid_t *ret_pid)
{
    const short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    int error;

    error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_setflags(&attributes, flags);
    posix_spawnattr_setpgroup(&attributes, 0); /* a terminal's ^C is for the broker */
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    error = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int plugin_process_start(struct plugin_process *process, struct loop *loop, char *const *argv,
                         plugin_process_fn fn, void *arg, struct err_text *et)
{
    pid_t pid = 0;
    int error = spawn(argv, &pid);

    if (error != 0)
        return err_set(et, ERR_SYSTEM, "could not start \"%s\": %s", argv[0], strerror(error));
    *process = (struct plugin_process){
        .loop = loop, .pid = pid, .pidfd = pidfd_open(pid, 0), .fn = fn, .arg = arg};
    if (process->pidfd < 0 ||
        loop_io_add(loop, process->pidfd, EPOLLIN, on_exit_event, process, &process->io) < 0) {
        err_format(et, "could not watch \"%s\": %s", argv[0], strerror(errno));
        kill(pid, SIGKILL);
        reap(process);
        return ERR_SYSTEM;
    }
    return 0;
}

void plugin_process_kill(struct plugin_process *process)
{
    if (process->pid != 0)
        kill(process->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
}

void plugin_process_end(struct plugin_process *process, uint64_t until_ms)
{
    struct pollfd fd = {.fd = process->pidfd, .events = POLLIN};

    uint64_t now_ms = plugin_clock_ms();

    if (process->pid == 0)
        return;
    if (poll(&fd, 1, now_ms < until_ms ? (int)(until_ms - now_ms) : 0) <= 0)
        plugin_process_kill(process);
    reap(process);
}

uint64_t plugin_clock_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t plugin_process_backoff_ms(uint32_t failures)
{
    uint64_t delay_ms = BACKOFF_MAX_MS;
    uint16_t random = 0;

    if (failures < 10 && (uint64_t)BACKOFF_MIN_MS << failures < BACKOFF_MAX_MS)
        delay_ms = (uint64_t)BACKOFF_MIN_MS << failures;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = UINT16_MAX / 2;
    return delay_ms * 3 / 4 + delay_ms / 2 * random / UINT16_MAX;
}

uint64_t plugin_process_rss(const struct plugin_process *process)
{
    char path[64], line[128] = "", *resident;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)process->pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(line, sizeof(line), file))
        line[0] = '\0';
    fclose(file);
    resident = strchr(line, ' '); /* the second number, in pages: proc(5) */
    return resident ? strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void plugin_process_describe(int status, char *buf, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(buf, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(buf, size, "exit status %d", WEXITSTATUS(status));
}
