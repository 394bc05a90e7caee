/* beckon-broker - start order, signals, end.
 *
 * Configuration, plugins, then the database (waited for as long as it is away), then the socket for
 * connectors, then membership: whoever links before the broker has joined is asked to try again.
 * Exit status: 0 after SIGTERM or SIGINT, 1 when it can't start or must not go on, 2 for a
 * configuration error. */
#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/curve_config.h"
#include "broker/http.h"
#include "broker/http_config.h"
#include "broker/janitor.h"
#include "broker/others.h"
#include "broker/ownership.h"
#include "broker/pg_target.h"
#include "broker/plugin.h"
#include "broker/publish.h"
#include "broker/recover.h"
#include "broker/routing.h"
#include "broker/schema_check.h"
#include "broker/session.h"
#include "broker/store.h"
#include "broker/user.h"
#include "common/auto.h"
#include "common/log.h"
#include "common/option_reload.h"

#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

/* A commit takes milliseconds; a database that is away is not waited for. */
#define STOP_POLL_MS 5
#define STOP_MAX_MS 2000

struct process {
    struct broker broker;
    struct pg_target database;
    struct option_set options;
    struct option_reload reload;
    struct curve_config curve; /* until the bus takes it */
    struct timer stop_timer;
    uint64_t stop_deadline_ms;
    bool stopping, leaving;
    bool ready; /* the service manager was told so */
};

static const struct option_command command = {
    .program = "beckon-broker",
    .version = BECKON_VERSION,
    .summary = "keeps inboxes in PostgreSQL and routes messages to devices",
    .check = options_check,
};

/* Others serve its people from now on. */
static void on_left(void *arg)
{
    struct process *process = arg;

    loop_stop(process->broker.loop);
}

/* What is under way is committed first: cursors above all, because a message whose acknowledgement
 * is forgotten comes again. Whatever is not committed by the deadline was not acknowledged either.
 */
static void on_stop_timer(struct timer *timer)
{
    struct process *process = CONTAINER_OF(timer, struct process, stop_timer);
    struct broker *broker = &process->broker;

    if (loop_now_ms(broker->loop) >= process->stop_deadline_ms) {
        loop_stop(broker->loop);
        return;
    }
    if (store_idle(broker->store) && !process->leaving) {
        process->leaving = true;
        ownership_leave(broker, on_left, process);
    }
    store_flush(broker->store);
    loop_timer_add(broker->loop, &process->stop_timer, STOP_POLL_MS);
}

/* A second signal ends it at once. */
static void on_stop_signal(void *arg, int signo)
{
    struct process *process = arg;

    log_info(NULL, "stopping on signal %d", signo);
    if (process->stopping) {
        loop_stop(process->broker.loop);
        return;
    }
    IGNORE_RESULT(sd_notify(0, "STOPPING=1")); /* nobody may be listening */
    process->stopping = true;
    process->stop_deadline_ms = loop_now_ms(process->broker.loop) + STOP_MAX_MS;
    timer_init(&process->stop_timer, on_stop_timer);
    on_stop_timer(&process->stop_timer);
}

static void on_counters_signal(void *arg, int signo)
{
    struct process *process = arg;

    (void)signo;
    metrics_log(&process->broker.metrics);
    plugins_log_counters(&process->broker);
}

/* What can fail, before anything is taken. Plain links stay plain: listen.curve.secret_key is not
 * reloadable. */
static int read_reloaded(struct process *process, struct token_keys **ret_tokens,
                         struct curve_clients *ret_clients, struct err_text *et)
{
    struct broker *broker = &process->broker;
    const config_t *config = &process->reload.fresh->config;
    const struct options *fresh = process->reload.fresh->values;
    int r = 0;

    if (bus_has_keys(broker))
        r = curve_clients_read(fresh, config, ret_clients, et);
    /* Tokens are checked with the policy in force: issuer and audience are not reloadable. */
    if (r == 0)
        r = http_config_read_tokens(&broker->options, fresh->auth_key_dir, config, ret_tokens, et);
    if (r == 0)
        r = routing_read(broker, config, &broker->routing, et);
    return r;
}

static void on_reload_signal(void *arg, int signo)
{
    struct process *process = arg;
    struct options *options = &process->broker.options;
    const struct options *fresh;
    struct token_keys *tokens = NULL;
    struct curve_clients clients = {0};
    struct err_text et = {""};
    enum log_level level;

    (void)signo;
    if (option_reload_read(&process->reload) < 0) {
        log_error(NULL, "could not reload, the configuration in force stays");
        return;
    }
    fresh = process->reload.fresh->values;
    if (log_level_parse(fresh->log_level, &level) < 0) {
        log_error(NULL, "could not reload, the configuration in force stays: log.level is not one "
                        "of error, warning, info, debug");
        option_reload_drop(&process->reload);
        return;
    }
    if (read_reloaded(process, &tokens, &clients, &et) < 0) {
        log_error(NULL, "could not reload, the configuration in force stays: %s", et.text);
        token_keys_destroy(tokens);
        curve_clients_fini(&clients);
        option_reload_drop(&process->reload);
        return;
    }
    http_take_tokens(&process->broker, tokens);
    if (bus_has_keys(&process->broker))
        bus_take_clients(&process->broker, &clients);
    option_reload_take(&process->reload, options);
    janitor_hurry(&process->broker);
    log_set_level(level);
    log_info(NULL, "configuration reloaded");
}

static int start_log(const struct options *options, struct err_text *et)
{
    enum log_level level;

    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "log.level is \"%s\", expected error, warning, info or debug",
                       options->log_level);
    log_init("broker", options->index, level);
    return 0;
}

/* End of a turn. A broker serves when both its connections to the database are there; until then it
 * refuses connectors, which then wait up to a second before they ask again. */
static void tell_ready(void *arg)
{
    struct process *process = arg;

    if (process->ready || !store_ready(process->broker.store))
        return;
    process->ready = true;
    IGNORE_RESULT(sd_notify(0, "READY=1\nSTATUS=serving")); /* nobody may be listening */
}

static int start_parts(struct process *process, struct err_text *et)
{
    struct broker *broker = &process->broker;
    int r;

    STAILQ_INIT(&broker->touched);
    broker->database = &process->database;
    broker->loop = loop_create();
    if (!broker->loop)
        return err_set(et, ERR_SYSTEM, "could not make the event loop");
    r = pg_target_init(&process->database, broker->options.database_dsn,
                       broker->options.database_timeout_ms, &broker->metrics, et);
    if (r == 0)
        r = curve_config_read(&broker->options, &process->options.config, &process->curve, et);
    if (r == 0)
        r = plugins_create(broker, &process->options.config, et);
    if (r == 0)
        r = routing_read(broker, &process->options.config, &broker->routing, et);
    if (r == 0)
        r = http_create(broker, &process->options.config, et);
    if (r == 0)
        r = options_check_membership(&broker->options, et);
    if (r == 0)
        r = schema_prepare(broker, et);
    if (r < 0)
        return r;
    if (ownership_create(broker) < 0 || users_create(broker) < 0 || sessions_create(broker) < 0 ||
        publishes_create(broker) < 0 || alerts_create(broker) < 0 || store_create(broker) < 0 ||
        janitor_create(broker) < 0 || recover_create(broker) < 0)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    /* Only now: while the database was waited for, a signal simply ended the process. */
    if (loop_signal_add(broker->loop, SIGTERM, on_stop_signal, process) < 0 ||
        loop_signal_add(broker->loop, SIGINT, on_stop_signal, process) < 0 ||
        loop_signal_add(broker->loop, SIGHUP, on_reload_signal, process) < 0 ||
        loop_signal_add(broker->loop, SIGUSR1, on_counters_signal, process) < 0)
        return err_set(et, ERR_SYSTEM, "could not set up signals");
    if (loop_hook_add(broker->loop, tell_ready, process) < 0)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = http_start(broker, et);
    if (r == 0)
        r = bus_create(broker, &process->curve, et);
    return r < 0 ? r : others_create(broker, et);
}

static void stop_parts(struct process *process)
{
    struct broker *broker = &process->broker;

    curve_config_fini(&process->curve);
    if (!broker->loop)
        return;
    http_destroy(broker);
    others_destroy(broker);
    bus_destroy(broker);
    if (broker->plugins)
        plugins_destroy(broker);
    janitor_destroy(broker);
    recover_destroy(broker);
    sessions_destroy(broker);
    publishes_destroy(broker);
    users_destroy(broker);
    store_destroy(broker);
    pg_target_fini(&process->database);
    alerts_destroy(broker);
    ownership_destroy(broker);
    hash_fini(&broker->devices);
    loop_destroy(broker->loop);
}

static void on_serving(struct broker *broker)
{
    log_info(NULL, "listening on %s", broker->options.listen_endpoint);
    IGNORE_RESULT(sd_notify(0, "READY=1\nSTATUS=serving")); /* nobody may be listening */
}

int main(int argc, char **argv)
{
    static struct process process;
    struct err_text et = {""};
    int r;

    /* plugins and libraries write to sockets whose other end may be gone */
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    process.reload = (struct option_reload){.command = &command,
                                            .table = broker_options,
                                            .count = broker_option_count,
                                            .values_size = sizeof(struct options),
                                            .argc = argc,
                                            .argv = argv};
    option_set_init(&process.options, broker_options, broker_option_count, &process.broker.options);
    r = option_command_line(&process.options, &command, argc, argv);
    if (r != 0) {
        option_set_fini(&process.options);
        return r < 0 ? 2 : 0;
    }
    r = start_log(&process.broker.options, &et);
    if (r == 0)
        r = start_parts(&process, &et);
    if (r < 0) {
        if (r == ERR_CONFIG)
            fprintf(stderr, "beckon-broker: %s\n", et.text);
        else
            log_error(NULL, "could not start: %s", et.text);
    } else {
        process.broker.on_serving = on_serving;
        r = loop_run(process.broker.loop);
        if (r == 0 && !process.stopping)
            r = ERR_DATABASE; /* another broker of this name has joined */
    }
    stop_parts(&process);
    option_reload_fini(&process.reload);
    option_set_fini(&process.options);
    return r == ERR_CONFIG ? 2 : r < 0;
}
