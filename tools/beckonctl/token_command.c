/* beckonctl token: signs a token with a shared secret. For development and for backends that keep
 * the secret; whoever can run it can be anyone. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "command.h"
#include "common/token.h"

#define TTL_DEFAULT_S (24 * 60 * 60)
/* Ten years: beyond it a typing error is likelier than a wish. */
#define TTL_MAX_S (10u * 365 * 24 * 60 * 60)
#define KID_DEFAULT "dev"

static const struct option options[] = {
    {"user", required_argument, NULL, 'u'}, {"device", required_argument, NULL, 'd'},
    {"svc", no_argument, NULL, 's'},        {"ttl", required_argument, NULL, 't'},
    {"key", required_argument, NULL, 'k'},  {"kid", required_argument, NULL, 'i'},
    {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: beckonctl token --user USER [--device DEVICE] [--svc] [--ttl SECONDS] --key FILE\n"
    "                       [--kid KID]\n"
    "Prints a token that lets USER connect, signed with HS256.\n\n"
    "  --user USER      who the token is for\n"
    "  --device DEVICE  the one device that it is good for (default: any)\n"
    "  --svc            a backend, which may send as anyone\n"
    "  --ttl SECONDS    how long it is good for, from now (default 86400)\n"
    "  --key FILE       the secret, one line (default: the file BECKON_TOKEN_KEY names)\n"
    "  --kid KID        the name of that key in the servers' configuration (default dev);\n"
    "                   empty: the token names none\n";

struct arguments {
    const char *user, *device, *key, *kid;
    bool service;
    uint32_t ttl_s;
};

/* COMMAND_END, or what command_ended takes. */
static int read_arguments(const struct command *self, int argc, char **argv,
                          struct arguments *arguments)
{
    int option;

    while ((option = command_next(self, argc, argv)) >= 0) {
        switch (option) {
        case 'u':
            arguments->user = optarg;
            break;
        case 'd':
            arguments->device = optarg;
            break;
        case 's':
            arguments->service = true;
            break;
        case 't':
            if (command_uint(optarg, 1, TTL_MAX_S, &arguments->ttl_s) != 0) {
                command_misused(self, "--ttl is \"%s\", expected 1 to %u seconds", optarg,
                                TTL_MAX_S);
                return COMMAND_MISTAKE;
            }
            break;
        case 'k':
            arguments->key = optarg;
            break;
        default:
            arguments->kid = optarg;
        }
    }
    return option;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {
        .ttl_s = TTL_DEFAULT_S, .kid = KID_DEFAULT, .key = getenv("BECKON_TOKEN_KEY")};
    int end = read_arguments(self, argc, argv, &arguments);

    if (end != COMMAND_END)
        return command_ended(end);
    if (arguments.user == NULL)
        return command_misused(self, "no user, expected --user USER");
    if (!name_is_user(bytes_of_string(arguments.user)))
        return command_misused(
            self, "--user is \"%s\", expected 1 to 64 letters, digits or any of ._~@:-",
            arguments.user);
    if (arguments.device != NULL && !name_is_device(bytes_of_string(arguments.device)))
        return command_misused(
            self, "--device is \"%s\", expected 1 to 64 letters, digits or any of ._~-",
            arguments.device);
    if (arguments.key == NULL || arguments.key[0] == '\0')
        return command_misused(
            self, "no key, expected --key FILE or BECKON_TOKEN_KEY in the environment");

    uint64_t now_s = (uint64_t)time(NULL);
    struct token_claims claims = {
        .service = arguments.service, .issued_s = now_s, .expires_s = now_s + arguments.ttl_s};
    /* Both fit: their grammar bounds them. */
    snprintf(claims.user, sizeof(claims.user), "%s", arguments.user);
    if (arguments.device != NULL)
        snprintf(claims.device, sizeof(claims.device), "%s", arguments.device);

    struct err_text et;
    char *text = token_sign_hs256(&claims, arguments.kid, arguments.key, &et);
    if (text == NULL)
        return command_failed(self, "%s", et.text);
    puts(text);
    free(text);
    return COMMAND_OK;
}

const struct command token_command = {
    .name = "token",
    .summary = "sign a token with a shared secret",
    .help = help,
    .options = options,
    .run = run,
};
