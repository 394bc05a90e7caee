/* apns-simulator - Apple's provider API on this machine: strict where Apple is, and misbehaving on
 * request. docs/apns-simulator.md */
#include "common/auto.h"
#include "common/log.h"
#include "common/option.h"
#include "control.h"
#include "door.h"
#include "provider_token.h"
#include "pushes.h"
#include "simulator.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define AT(field) offsetof(struct options, field)

static const struct option options[] = {
    {"log.level", OPTION_STRING, AT(log_level), "info", 0, 16, false,
     "error, warning, info or debug", NULL},
    {"listen.address", OPTION_STRING, AT(listen_address), "127.0.0.1", 0, 64, false,
     "IPv4 or IPv6 address of the provider API", NULL},
    {"listen.port", OPTION_UINT, AT(listen_port), "2197", 1, 65535, false, "its port", NULL},
    {"control.address", OPTION_STRING, AT(control_address), "127.0.0.1", 0, 64, false,
     "IPv4 address of the control door; anyone who reaches it is trusted", NULL},
    {"control.port", OPTION_UINT, AT(control_port), "2198", 1, 65535, false, "its port", NULL},
    {"directory", OPTION_STRING, AT(directory), ".", 0, 4000, false,
     "where the certificates (ca.pem for clients) and the provider's key are made and kept", NULL},
    {"tls.certificate", OPTION_STRING, AT(tls_certificate), "", 0, 4096, false,
     "PEM file; empty: made in the directory", NULL},
    {"tls.key", OPTION_STRING, AT(tls_key), "", 0, 4096, false, "PEM file of its key", NULL},
    {"auth.keys", OPTION_LIST, 0, NULL, 0, 0, false,
     "keys of providers: ( { team = \"...\"; kid = \"...\"; file = \"key.pem\"; } ); none: one is "
     "made",
     provider_keys_check},
    {"auth.team", OPTION_STRING, AT(team), "BECKONTEAM", 0, 15, false, "team id of the made key",
     NULL},
    {"auth.key_id", OPTION_STRING, AT(key_id), "BECKONKEY1", 0, 15, false,
     "key id of the made key, which is AuthKey_KEYID.p8 in the directory", NULL},
    {"auth.min_token_interval_s", OPTION_UINT, AT(min_token_interval_s), "1200", 0, 86400, false,
     "provider tokens that change more often are refused, seconds", NULL},
    {"limits.max_concurrent_streams", OPTION_UINT, AT(max_concurrent_streams), "1000", 1, 100000,
     false, "streams of a connection once its token was accepted; one before", NULL},
    {"limits.max_connections", OPTION_UINT, AT(max_connections), "1000", 1, 10000, false,
     "connections at once; more are closed", NULL},
    {"limits.max_pushes", OPTION_UINT, AT(max_pushes), "100000", 1, 10000000, false,
     "pushes kept for the control door; then the oldest go", NULL},
    {"environment", OPTION_STRING, AT(environment), "development", 0, 16, false,
     "development: answers carry apns-unique-id, as the sandbox does", NULL},
};

static const struct option_command command = {
    .program = "apns-simulator",
    .version = BECKON_VERSION,
    .summary = "Apple's push service for development and tests",
};

static void on_stop(void *arg, int signo)
{
    struct simulator *simulator = arg;

    log_info(NULL, "stopping on signal %d", signo);
    loop_stop(simulator->loop);
}

static int start(struct simulator *simulator, const struct option_set *set, struct err_text *et)
{
    enum log_level level;
    int r;

    if (log_level_parse(simulator->options.log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "log.level is \"%s\", expected error, warning, info or debug",
                       simulator->options.log_level);
    log_init("apns-simulator", 0, level);
    if (mkdir(simulator->options.directory, S_IRWXU) < 0 && errno != EEXIST)
        return err_set(et, ERR_CONFIG, "could not make the directory \"%s\": %m",
                       simulator->options.directory);
    simulator->loop = loop_create();
    simulator->tokens = json_object();
    if (!simulator->loop || !simulator->tokens || pushes_create(simulator) < 0)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = provider_keys_create(simulator, &set->config, et);
    if (r == 0)
        r = door_create(simulator, et);
    if (r == 0)
        r = control_create(simulator, et);
    if (r == 0 && (loop_signal_add(simulator->loop, SIGTERM, on_stop, simulator) < 0 ||
                   loop_signal_add(simulator->loop, SIGINT, on_stop, simulator) < 0))
        r = err_set(et, ERR_SYSTEM, "could not set up signals");
    return r;
}

int main(int argc, char **argv)
{
    static struct simulator simulator;
    struct option_set set;
    struct err_text et = {""};
    int r;

    signal(SIGPIPE, SIG_IGN);
    option_set_init(&set, options, ARRAY_LEN(options), &simulator.options);
    r = option_command_line(&set, &command, argc, argv);
    if (r != 0) {
        option_set_fini(&set);
        return r < 0 ? 2 : 0;
    }
    r = start(&simulator, &set, &et);
    if (r < 0) {
        fprintf(stderr, "apns-simulator: %s\n", et.text);
    } else {
        log_info(NULL, "provider API on %s port %u, control door on %s port %u",
                 simulator.options.listen_address, simulator.options.listen_port,
                 simulator.options.control_address, simulator.options.control_port);
        IGNORE_RESULT(sd_notify(0, "READY=1\nSTATUS=serving")); /* nobody may be listening */
        r = loop_run(simulator.loop);
    }
    if (simulator.loop) {
        control_destroy(&simulator);
        door_destroy(&simulator);
        provider_keys_destroy(&simulator);
        pushes_destroy(&simulator);
        json_decref(simulator.tokens);
        loop_destroy(simulator.loop);
    }
    option_set_fini(&set);
    return r == ERR_CONFIG ? 2 : r < 0;
}
