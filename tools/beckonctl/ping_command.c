/* beckonctl ping: is it there, and does it work? For container health checks and scripts, hence one
 * line and an exit status. */
#include <stdio.h>
#include <time.h>

#include "command.h"
#include "common/topic.h"
#include "ping.h"

/* Above the 2 s after which a connector itself gives up on its broker, so that its answer is seen.
 */
#define TIMEOUT_DEFAULT_MS 5000
#define TIMEOUT_MAX_MS 600000

static const struct option options[] = {
    {"mqtt", required_argument, NULL, 'm'},
    {"broker", required_argument, NULL, 'b'},
    {"user", required_argument, NULL, 'u'},
    {"token", required_argument, NULL, 't'},
    {"server-key", required_argument, NULL, 'k'},
    {"secret-key", required_argument, NULL, 's'},
    {"timeout", required_argument, NULL, 'w'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: beckonctl ping --mqtt HOST:PORT [--user USER --token TOKEN] [--timeout MS]\n"
    "       beckonctl ping --broker ENDPOINT [--server-key FILE --secret-key FILE] "
    "[--timeout MS]\n"
    "Exit status 0: it answered as it should; 1: it did not.\n\n"
    "  --mqtt HOST:PORT   a connector: connects without a token and expects to be refused\n"
    "  --user USER --token TOKEN\n"
    "                     connects and expects to be let in: the broker and its database work too\n"
    "  --broker ENDPOINT  a broker, as tcp://127.0.0.1:7400: says HELLO and expects WELCOME\n"
    "  --server-key FILE --secret-key FILE\n"
    "                     the broker's public key and a connector's key pair, as in "
    "connector.conf\n"
    "  --timeout MS       how long to wait (default 5000)\n";

struct arguments {
    struct ping_mqtt mqtt;
    const char *endpoint, *server_key, *secret_key;
};

uint64_t ping_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* can't fail with this clock */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int ping_left_ms(uint64_t deadline_ms)
{
    uint64_t now_ms = ping_now_ms();

    return now_ms >= deadline_ms ? 0 : (int)(deadline_ms - now_ms); /* at most TIMEOUT_MAX_MS */
}

static int read_arguments(const struct command *self, int argc, char **argv,
                          struct arguments *arguments)
{
    int option;

    while ((option = command_next(self, argc, argv)) >= 0) {
        switch (option) {
        case 'm':
            arguments->mqtt.address = optarg;
            break;
        case 'b':
            arguments->endpoint = optarg;
            break;
        case 'k':
            arguments->server_key = optarg;
            break;
        case 's':
            arguments->secret_key = optarg;
            break;
        case 'u':
            arguments->mqtt.user = optarg;
            break;
        case 't':
            arguments->mqtt.token = optarg;
            break;
        default:
            if (command_uint(optarg, 1, TIMEOUT_MAX_MS, &arguments->mqtt.timeout_ms) != 0) {
                command_misused(self, "--timeout is \"%s\", expected 1 to %d milliseconds", optarg,
                                TIMEOUT_MAX_MS);
                return COMMAND_MISTAKE;
            }
        }
    }
    return option;
}

static int run_mqtt(const struct command *self, const struct ping_mqtt *ping)
{
    struct err_text et;

    if ((ping->user == NULL) != (ping->token == NULL))
        return command_misused(self, "expected both --user and --token, or neither");
    if (ping->user != NULL && !name_is_user(bytes_of_string(ping->user)))
        return command_misused(self,
                               "--user is \"%s\", expected 1 to 64 letters, digits or any of "
                               "._~@:-",
                               ping->user);
    if (ping_mqtt(ping, &et) != 0)
        return command_failed(self, "%s: %s", ping->address, et.text);
    if (ping->user == NULL)
        printf("%s answers\n", ping->address);
    else
        printf("%s let %s in\n", ping->address, ping->user);
    return COMMAND_OK;
}

static int run_broker(const struct command *self, const struct arguments *arguments)
{
    struct ping_broker ping = {.endpoint = arguments->endpoint,
                               .timeout_ms = arguments->mqtt.timeout_ms};
    struct err_text et;
    char name[64];
    int r = 0;

    if ((arguments->server_key == NULL) != (arguments->secret_key == NULL))
        return command_misused(self, "expected both --server-key and --secret-key, or neither");
    if (arguments->server_key != NULL) {
        r = curve_key_load_public("--server-key", arguments->server_key, ping.server_key, &et);
        if (r == 0)
            r = curve_key_load_secret("--secret-key", arguments->secret_key, &ping.own, &et);
    }
    if (r < 0)
        return command_failed(self, "%s", et.text);
    r = ping_broker(&ping, name, sizeof(name), &et);
    curve_key_wipe(&ping.own);
    if (r != 0)
        return command_failed(self, "%s: %s", ping.endpoint, et.text);
    printf("%s answers: %s\n", ping.endpoint, name);
    return COMMAND_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.mqtt.timeout_ms = TIMEOUT_DEFAULT_MS};
    int end = read_arguments(self, argc, argv, &arguments);

    if (end != COMMAND_END)
        return command_ended(end);
    if ((arguments.mqtt.address == NULL) == (arguments.endpoint == NULL))
        return command_misused(self, "expected either --mqtt HOST:PORT or --broker ENDPOINT");
    if (arguments.endpoint != NULL && (arguments.mqtt.user != NULL || arguments.mqtt.token != NULL))
        return command_misused(self, "--user and --token go with --mqtt, not with --broker");
    if (arguments.endpoint == NULL &&
        (arguments.server_key != NULL || arguments.secret_key != NULL))
        return command_misused(self,
                               "--server-key and --secret-key go with --broker, not with --mqtt");
    return arguments.endpoint != NULL ? run_broker(self, &arguments)
                                      : run_mqtt(self, &arguments.mqtt);
}

const struct command ping_command = {
    .name = "ping",
    .summary = "ask a connector or a broker whether it works",
    .help = help,
    .options = options,
    .run = run,
};
