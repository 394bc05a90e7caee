/* apns-simulator - start order, signals, end.
 *
 * Keys and certificates first, then both doors: whoever can reach it can use it. Exit status: 0
 * after SIGTERM or SIGINT, 1 when it can't start, 2 for a configuration error. */
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "common/auto.h"
#include "common/log.h"

#include "control.h"
#include "door.h"
#include "simulator.h"

/* What is under way is milliseconds from its end unless somebody asked for a delay. */
#define STOP_MAX_MS 1000

struct process {
    struct simulator simulator;
    struct option_set options;
    bool stopping;
};

static const struct option_command command = {
    .program = "apns-simulator",
    .version = BECKON_VERSION,
    .summary = "stands in for Apple's push service: its rules, its answers, its bad days",
    .check = options_check,
};

static void on_stopped(void *arg)
{
    struct process *process = arg;

    loop_stop(process->simulator.loop);
}

/* A second signal ends it at once. */
static void on_stop_signal(void *arg, int signo)
{
    struct process *process = arg;

    log_info(NULL, "stopping on signal %d", signo);
    if (process->stopping) {
        loop_stop(process->simulator.loop);
        return;
    }
    process->stopping = true;
    IGNORE_RESULT(sd_notify(0, "STOPPING=1")); /* nobody may be listening */
    door_stop(process->simulator.door, STOP_MAX_MS, on_stopped, process);
}

static int start_auth(struct process *process, struct err_text *et)
{
    struct simulator *simulator = &process->simulator;
    const struct options *options = &simulator->options;
    const config_setting_t *setting = config_lookup(&process->options.config, "auth.keys");
    const struct provider_key_default made = {options->auth_directory, options->auth_team,
                                              options->auth_kid};
    struct provider_keys keys = {0};
    int r = setting != NULL && config_setting_length(setting) > 0
                ? provider_keys_load(setting, &keys, et)
                : provider_keys_make(&made, &keys, et);

    if (r < 0)
        return r;
    simulator->judge.auth = provider_auth_create(&keys, options->min_token_interval_s);
    if (simulator->judge.auth != NULL)
        return 0;
    provider_keys_fini(&keys);
    return err_set(et, ERR_NO_MEMORY, "out of memory");
}

static int start_parts(struct process *process, struct err_text *et)
{
    struct simulator *simulator = &process->simulator;
    const struct options *options = &simulator->options;
    int r;

    /* OpenSSL writes to sockets that may be closed. */
    if (sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) < 0)
        return err_set(et, ERR_SYSTEM, "could not ignore SIGPIPE");
    simulator->loop = loop_create();
    simulator->rules = device_rules_create();
    simulator->pushes = pushes_create(options->store_max_pushes, options->store_max_bytes);
    if (simulator->loop == NULL || simulator->rules == NULL || simulator->pushes == NULL)
        return err_set(et, ERR_NO_MEMORY, "could not set up the process: out of memory");
    r = start_auth(process, et);
    if (r < 0)
        return r;
    simulator->judge.topics = config_lookup(&process->options.config, "topics");
    simulator->judge.environment = options->environment;
    simulator->judge.rules = simulator->rules;
    simulator->judge.behaviour = &simulator->behaviour;
    if (loop_signal_add(simulator->loop, SIGTERM, on_stop_signal, process) < 0 ||
        loop_signal_add(simulator->loop, SIGINT, on_stop_signal, process) < 0)
        return err_set(et, ERR_SYSTEM, "could not set up signals");
    r = door_create(simulator, et);
    return r < 0 ? r : control_create(simulator, et);
}

static void stop_parts(struct simulator *simulator)
{
    door_destroy(simulator->door);
    control_destroy(simulator->control);
    provider_auth_destroy(simulator->judge.auth);
    device_rules_destroy(simulator->rules);
    if (simulator->loop != NULL)
        loop_destroy(simulator->loop); /* and what was closed in the last turn */
    pushes_destroy(simulator->pushes);
}

static int start_log(const struct options *options, struct err_text *et)
{
    enum log_level level;

    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG, "log.level is \"%s\"", options->log_level);
    log_init("apns-simulator", 0, level);
    return 0;
}

static int serve(struct process *process, struct err_text *et)
{
    const struct options *options = &process->simulator.options;
    int r = options_check(&process->options, et);

    if (r == 0)
        r = start_log(options, et);
    if (r == 0)
        r = start_parts(process, et);
    if (r < 0)
        return r;
    log_info(NULL, "listening on %s port %u (APNs) and %s port %u (control)",
             options->listen_address, options->listen_port, options->control_address,
             options->control_port);
    IGNORE_RESULT(sd_notify(0, "READY=1\nSTATUS=serving")); /* nobody may be listening */
    r = loop_run(process->simulator.loop);
    return r < 0 ? err_set(et, r, "the event loop failed: %s", err_string(r)) : 0;
}

int main(int argc, char **argv)
{
    static struct process process;
    struct err_text et = {""};
    int r;

    option_set_init(&process.options, simulator_options, simulator_option_count,
                    &process.simulator.options);
    r = option_command_line(&process.options, &command, argc, argv);
    if (r != 0) {
        option_set_fini(&process.options);
        return r < 0 ? 2 : 0;
    }
    r = serve(&process, &et);
    if (r < 0)
        fprintf(stderr, "apns-simulator: %s\n", et.text);
    stop_parts(&process.simulator);
    option_set_fini(&process.options);
    return r == ERR_CONFIG ? 2 : r < 0;
}
