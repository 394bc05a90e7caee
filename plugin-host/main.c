/* beckon-plugin-host - one delivery plugin in a process of its own, started by the broker.
 *
 * It ends with its broker, never before: signals that a terminal or a service manager sends to the
 * whole group are left to the broker, which says when (CLOSE). Exit status: 0 when the broker
 * closed it or was told why the plugin can't run, 1 when something else ended it, 2 for a
 * configuration error. */
#include "common/auto.h"
#include "common/log.h"
#include "common/option.h"
#include "plugin-host/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const struct option_command command = {
    .program = "beckon-plugin-host",
    .version = BECKON_VERSION,
    .summary = "runs one delivery plugin for a broker, which starts it",
    .check = host_options_check,
};

static void on_ignored_signal(void *arg, int signo)
{
    (void)arg;
    log_debug(NULL, "ignoring signal %d: the broker says when to end", signo);
}

/* A process that has more data than this can't allocate any more: faster than the broker, which
 * looks at the resident size once a second. Not under sanitizers, whose own maps count. */
static int limit_memory(uint32_t memory_mb, struct err_text *et)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct rlimit limit = {.rlim_cur = (rlim_t)memory_mb * 1024 * 1024};

    limit.rlim_max = limit.rlim_cur;
    if (memory_mb != 0 && setrlimit(RLIMIT_DATA, &limit) < 0)
        return err_set(et, ERR_SYSTEM, "could not limit the memory: %s", strerror(errno));
#else
    (void)memory_mb, (void)et;
#endif
    return 0;
}

static int run(const struct host_options *options, struct err_text *et)
{
    struct loop *loop;
    struct host *host = NULL;
    enum log_level level;
    int r;

    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "log.level is \"%s\", expected error, warning, info or debug",
                       options->log_level);
    if (options->endpoint[0] == '\0')
        return err_set(et, ERR_CONFIG, "endpoint is empty, expected the one of a broker");
    log_init("plugin-host", options->index, level);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return err_set(et, ERR_SYSTEM, "could not follow the broker: %s", strerror(errno));
    r = limit_memory(options->memory_mb, et);
    if (r < 0)
        return r;
    loop = loop_create();
    if (!loop)
        return err_set(et, ERR_SYSTEM, "could not make the event loop");
    if (loop_signal_add(loop, SIGTERM, on_ignored_signal, NULL) < 0 ||
        loop_signal_add(loop, SIGINT, on_ignored_signal, NULL) < 0 ||
        loop_signal_add(loop, SIGHUP, on_ignored_signal, NULL) < 0 ||
        loop_signal_add(loop, SIGUSR1, on_ignored_signal, NULL) < 0)
        r = err_set(et, ERR_SYSTEM, "could not set up signals");
    if (r == 0)
        r = host_create(loop, options, &host, et);
    if (r == 0) {
        r = loop_run(loop);
        if (r == 0)
            r = host_result(host);
        if (r < 0)
            err_format(et, "ended: %s", err_string(r));
    }
    host_destroy(host);
    loop_destroy(loop);
    return r;
}

int main(int argc, char **argv)
{
    static struct host_options options;
    struct option_set set;
    struct err_text et = {""};
    int r;

    option_set_init(&set, host_options_table, host_options_count, &options);
    r = option_command_line(&set, &command, argc, argv);
    if (r != 0) {
        option_set_fini(&set);
        return r < 0 ? 2 : 0;
    }
    r = run(&options, &et);
    if (r == ERR_CONFIG)
        fprintf(stderr, "beckon-plugin-host: %s\n", et.text);
    else if (r < 0)
        log_error(NULL, "%s", et.text);
    option_set_fini(&set);
    return r == ERR_CONFIG ? 2 : r < 0;
}
