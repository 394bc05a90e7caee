/* beckon-connector - holds the sockets of MQTT clients and what a socket needs; everything that
 * must survive it lies with the broker.
 *
 * Start order: options, signals (blocked before ZeroMQ makes its threads), keys and certificates,
 * the link, the listening sockets; then READY. Signals: TERM and INT drain (a second one stops at
 * once), HUP reloads keys, certificates and reloadable options, USR1 logs the counters. Exit
 * status: 0; 1 could not start or run; 2 bad configuration. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <zmq.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/option_reload.h"

#include "connector/auth.h"
#include "connector/brokers.h"
#include "connector/conn.h"
#include "connector/curve_link.h"
#include "connector/drain.h"
#include "connector/ended.h"
#include "connector/endpoints.h"
#include "connector/limits.h"
#include "connector/listener.h"
#include "connector/tls_context.h"
#include "connector/will.h"

#define EXIT_RUN 1
#define EXIT_CONFIG 2
/* Descriptors the process needs besides its clients': epoll, signals, ZeroMQ, log. */
#define OTHER_DESCRIPTORS 64
/* Wills of closed connections kept for a new broker: 100,000 with a short message each. */
#define WILLS_MAX_BYTES (64u << 20)
/* Closed connections of which the broker has not said CLOSED: 500,000, more than a process has. */
#define ENDED_MAX_BYTES (64u << 20)

static const struct option_command command = {
    .program = "beckon-connector",
    .version = BECKON_VERSION,
    .summary = "holds the sockets of MQTT clients and links them to a broker",
    .check = options_check,
};

struct process {
    struct connector connector;
    struct drain drain;
    struct option_set options; /* of the start; owns what a reload may not change */
    struct option_reload reload;
    char name[32];
    struct endpoints endpoints;
    void *context; /* ZeroMQ's */
};

/* Tells systemd, or whoever plays its part; nobody listening is fine. */
static void notify(const char *text)
{
    int r = sd_notify(0, text);

    if (r < 0)
        log_warning(NULL, "could not notify the service manager: %s", strerror(-r));
}

static void on_brokers(void *arg, unsigned linked, unsigned members, const char *why)
{
    char text[320];

    (void)arg;
    if (linked == 0)
        snprintf(text, sizeof(text), "X_BECKON_LINK=down\nSTATUS=no broker%s%s",
                 why != NULL ? ": " : "", why != NULL ? why : "");
    else
        snprintf(text, sizeof(text), "X_BECKON_LINK=%s\nSTATUS=linked to %u of %u brokers",
                 linked == members ? "up" : "partial", linked, members);
    notify(text);
}

static void on_stop_signal(void *arg, int signo)
{
    struct process *process = arg;

    (void)signo;
    notify("STOPPING=1");
    drain_start(&process->drain);
}

static void set_log_level(const char *text)
{
    enum log_level level;

    if (log_level_parse(text, &level) == 0)
        log_set_level(level);
    else
        log_warning(NULL,
                    "ignoring \"log.level\": it is \"%s\", expected error, warning, info or "
                    "debug",
                    text);
}

/* What lies in files, of a new configuration. */
struct fresh {
    struct link_keys link;
    struct auth *auth;
    struct tls_context *tls;
    struct ws_policy policy;
    struct proxy_trust trust;
};

/* Policies that a reload does not change (issuer, audience, which listeners there are) are those in
 * force. */
static int read_fresh(struct process *process, struct fresh *ret_fresh, struct err_text *et)
{
    const struct options *in_force = &process->connector.options;
    const struct option_set *set = process->reload.fresh;
    const struct options *values = set->values;
    int r = curve_link_load(values, &process->endpoints, &set->config, &ret_fresh->link, et);

    if (r == 0)
        r = auth_create(in_force, values->auth_key_dir, &set->config, &ret_fresh->auth, et);
    if (r == 0)
        r = ws_policy_read(in_force->websocket_path, &set->config, &ret_fresh->policy, et);
    if (r == 0)
        r = proxy_trust_read(&set->config, &ret_fresh->trust, et);
    if (r == 0)
        r = doors_read_tls(in_force, &values->tls, &set->config, &ret_fresh->tls, et);
    return r;
}

static void drop_fresh(struct fresh *fresh)
{
    auth_destroy(fresh->auth);
    ws_policy_fini(&fresh->policy);
    proxy_trust_fini(&fresh->trust);
    link_keys_wipe(&fresh->link);
}

static void take_fresh(struct connector *connector, struct fresh *fresh, bool plain)
{
    ws_policy_fini(&connector->ws_policy);
    connector->ws_policy = fresh->policy;
    proxy_trust_fini(&connector->proxy_trust);
    connector->proxy_trust = fresh->trust;
    auth_destroy(connector->auth);
    connector->auth = fresh->auth;
    tls_context_unref(connector->tls); /* lives on with the connections that began with it */
    connector->tls = fresh->tls;
    brokers_set_keys(connector->brokers, &fresh->link, plain);
    link_keys_wipe(&fresh->link);
}

/* All or nothing: what can't be read leaves everything as it was. */
static void on_reload_signal(void *arg, int signo)
{
    struct process *process = arg;
    struct connector *connector = &process->connector;
    const struct options *values;
    struct fresh fresh = {.link = {.server_key = ""}};
    struct err_text et = {"see the line before"};
    int r = option_reload_read(&process->reload);

    (void)signo;
    if (r == 0)
        r = read_fresh(process, &fresh, &et);
    if (r < 0) {
        log_error(NULL, "could not reload, keeping the configuration in force: %s", et.text);
        drop_fresh(&fresh);
        option_reload_drop(&process->reload);
        return;
    }
    values = process->reload.fresh->values;
    take_fresh(connector, &fresh, values->plain);
    option_reload_take(&process->reload, &connector->options);
    set_log_level(connector->options.log_level);
    log_info(NULL, "configuration reloaded");
}

static void on_metrics_signal(void *arg, int signo)
{
    struct process *process = arg;

    (void)signo;
    brokers_log(process->connector.brokers);
    metrics_log(&process->connector.metrics);
}

static int add_signals(struct process *process, struct err_text *et)
{
    static const struct {
        int signo;
        loop_signal_fn fn;
    } signals[] = {
        {SIGTERM, on_stop_signal},
        {SIGINT, on_stop_signal},
        {SIGHUP, on_reload_signal},
        {SIGUSR1, on_metrics_signal},
    };

    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        int r = loop_signal_add(process->connector.loop, signals[i].signo, signals[i].fn, process);

        if (r < 0)
            return err_set(et, r, "could not handle signals: %s", strerror(errno));
    }
    return 0;
}

/* One descriptor a client: takes what the system allows. */
static void raise_descriptor_limit(uint32_t max_connections)
{
    struct rlimit limit;
    uint64_t wanted = (uint64_t)max_connections + OTHER_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_cur < limit.rlim_max && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            log_warning(NULL, "could not raise the limit of open files: %s", strerror(errno));
    }
    if (limit.rlim_cur < wanted)
        log_info(NULL, "open files are limited to %llu, fewer than listen.max_connections needs",
                 (unsigned long long)limit.rlim_cur);
}

static int start_links(struct process *process, struct err_text *et)
{
    struct connector *connector = &process->connector;
    const config_t *config = &process->options.config;
    struct link_keys keys;
    struct brokers_config brokers = {
        .name = process->name,
        .endpoints = &process->endpoints,
        .keys = &keys,
        .plain = connector->options.plain,
        .pending_bytes = connector->options.pending_bytes,
        .changed = on_brokers,
    };
    int r = endpoints_read(config, &process->endpoints, et);

    if (r == 0)
        r = curve_link_load(&connector->options, &process->endpoints, config, &keys, et);
    if (r < 0)
        return r;
    brokers.context = process->context = zmq_ctx_new();
    r = process->context == NULL
            ? err_set(et, ERR_SYSTEM, "could not start ZeroMQ: %s", strerror(errno))
            : brokers_create(connector, &brokers, et);
    link_keys_wipe(&keys);
    return r;
}

static int start_parts(struct process *process, struct err_text *et)
{
    struct connector *connector = &process->connector;
    int r;

    connector->scratch = malloc(SCRATCH_BYTES);
    connector->seqs = calloc(2 * (size_t)INFLIGHT_MAX, sizeof(uint64_t));
    connector->wills = wills_create(WILLS_MAX_BYTES);
    connector->ended = ended_create(ENDED_MAX_BYTES);
    connector->limits = limits_create(LIMITS_ENTRIES);
    if (connector->scratch == NULL || connector->seqs == NULL || connector->wills == NULL ||
        connector->ended == NULL || connector->limits == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = auth_create(&connector->options, connector->options.auth_key_dir, &process->options.config,
                    &connector->auth, et);
    if (r == 0)
        r = doors_read_tls(&connector->options, &connector->options.tls, &process->options.config,
                           &connector->tls, et);
    if (r == 0)
        r = ws_policy_read(connector->options.websocket_path, &process->options.config,
                           &connector->ws_policy, et);
    if (r == 0)
        r = proxy_trust_read(&process->options.config, &connector->proxy_trust, et);
    if (r < 0)
        return r;
    /* Its end-of-turn hook comes before that of the links: what closing connections have to say to
     * the broker goes out in the same turn. */
    r = conns_create(connector);
    if (r < 0)
        return err_set(et, r, "could not start: %s", err_string(r));
    r = start_links(process, et);
    if (r < 0)
        return r;
    return listeners_open(connector, et);
}

static void stop_parts(struct process *process)
{
    struct connector *connector = &process->connector;

    listeners_close(connector);
    conns_destroy(connector->conns);
    brokers_destroy(connector->brokers);
    if (process->context != NULL)
        zmq_ctx_term(process->context); /* waits for the linger at most */
    endpoints_fini(&process->endpoints);
    wills_destroy(connector->wills);
    ended_destroy(connector->ended);
    limits_destroy(connector->limits);
    auth_destroy(connector->auth);
    tls_context_unref(connector->tls);
    ws_policy_fini(&connector->ws_policy);
    proxy_trust_fini(&connector->proxy_trust);
    loop_destroy(connector->loop);
    buf_release(&connector->properties);
    buf_release(&connector->record);
    free(connector->scratch);
    free(connector->seqs);
}

static int run(struct process *process, struct err_text *et)
{
    struct connector *connector = &process->connector;
    const struct options *options = &connector->options;
    enum log_level level;
    int r;

    log_init("connector", options->index, LOG_INFO);
    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "\"log.level\" is \"%s\", expected error, warning, info or debug",
                       options->log_level);
    log_set_level(level);
    snprintf(process->name, sizeof(process->name), "connector/%u", options->index);
    connector->loop = loop_create();
    if (connector->loop == NULL)
        return err_set(et, ERR_SYSTEM, "could not make an event loop: %s", strerror(errno));
    raise_descriptor_limit(options->max_connections);
    drain_init(&process->drain, connector);
    r = add_signals(process, et);
    if (r == 0)
        r = start_parts(process, et);
    if (r < 0)
        return r;
    log_info(NULL, "version " BECKON_VERSION " started, broker %s", process->endpoints.all[0]);
    notify("READY=1\nSTATUS=listening, no broker yet");
    r = loop_run(connector->loop);
    if (r < 0)
        return err_set(et, r, "the event loop failed: %s", strerror(errno));
    metrics_log(&connector->metrics);
    return 0;
}

int main(int argc, char **argv)
{
    static struct process process; /* zeroed, and too large for comfort on a stack */
    struct err_text et = {""};
    int r;

    process.reload = (struct option_reload){.command = &command,
                                            .table = connector_options,
                                            .count = connector_option_count,
                                            .values_size = sizeof(struct options),
                                            .argc = argc,
                                            .argv = argv};
    option_set_init(&process.options, connector_options, connector_option_count,
                    &process.connector.options);
    r = option_command_line(&process.options, &command, argc, argv);
    if (r == 0) {
        r = run(&process, &et);
        if (r < 0)
            log_error(NULL, "%s", et.text);
        stop_parts(&process);
    }
    option_reload_fini(&process.reload);
    option_set_fini(&process.options);
    if (r == ERR_CONFIG)
        return EXIT_CONFIG;
    return r < 0 ? EXIT_RUN : EXIT_SUCCESS;
}
