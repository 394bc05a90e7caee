/* beckonctl trace: where is this message, and why did it go that way? */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "common/auto.h"
#include "common/mid.h"
#include "common/token.h"
#include "http_client.h"

#define URL_DEFAULT "http://127.0.0.1:7480"
/* As long as the question takes. */
#define TOKEN_TTL_S 60

static const struct option options[] = {
    {"url", required_argument, NULL, 'U'}, {"token", required_argument, NULL, 't'},
    {"key", required_argument, NULL, 'k'}, {"kid", required_argument, NULL, 'i'},
    {"ca", required_argument, NULL, 'c'},  {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},      {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: beckonctl trace MID [--url URL] [--token TOKEN | --key FILE [--kid KID]]\n"
    "                           [--ca FILE] [--json]\n"
    "Prints the life of a message: when it was accepted, and for each device the steps, outcomes,\n"
    "reasons and times. The ordinary case is one line, \"acknowledged\".\n\n"
    "  --url URL      the broker's HTTP door (default: BECKON_HTTP, or http://127.0.0.1:7480)\n"
    "  --token TOKEN  the sender's, or a service's\n"
    "  --key FILE     the secret to sign a service's token with (default: the file\n"
    "                 BECKON_TOKEN_KEY names)\n"
    "  --kid KID      the name of that key (default dev)\n"
    "  --ca FILE      certificates to trust, PEM (default: the system's)\n"
    "  --json         the answer as it came\n";

struct arguments {
    const char *url, *token, *key, *kid, *ca;
    bool json;
};

static int read_arguments(const struct command *self, int argc, char **argv,
                          struct arguments *arguments)
{
    int option;

    while ((option = command_next(self, argc, argv)) >= 0) {
        switch (option) {
        case 'U':
            arguments->url = optarg;
            break;
        case 't':
            arguments->token = optarg;
            break;
        case 'k':
            arguments->key = optarg;
            break;
        case 'i':
            arguments->kid = optarg;
            break;
        case 'c':
            arguments->ca = optarg;
            break;
        default:
            arguments->json = true;
        }
    }
    return option;
}

static const char *string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void print_event(const json_t *event, json_int_t accepted)
{
    const char *step = string(event, "step"), *reason = string(event, "reason");
    json_int_t took = json_integer_value(json_object_get(event, "ms"));

    printf("      +%8.3f s  %-12s %s",
           (double)(json_integer_value(json_object_get(event, "at")) - accepted) / 1000,
           step[0] != '\0' ? step : "-", string(event, "outcome"));
    if (reason[0] != '\0')
        printf(" (%s)", reason);
    if (took > 0)
        printf(" after %lld ms", (long long)took);
    printf("\n");
}

static void print_recipient(const json_t *recipient, json_int_t accepted)
{
    const json_t *device, *event;
    size_t i, k;

    printf("  to %s, number %lld in the inbox%s%s\n", string(recipient, "user"),
           (long long)json_integer_value(json_object_get(recipient, "seq")),
           json_is_true(json_object_get(recipient, "copy")) ? ", the sender's copy" : "",
           json_is_true(json_object_get(recipient, "read")) ? ", read" : "");
    if (json_array_size(json_object_get(recipient, "devices")) == 0)
        printf("    no device yet: it waits\n");
    json_array_foreach(json_object_get(recipient, "devices"), i, device)
    {
        printf("    %s: %s\n", string(device, "device"), string(device, "state"));
        json_array_foreach(json_object_get(device, "events"), k, event)
            print_event(event, accepted);
    }
}

static void print_trace(const json_t *document)
{
    json_int_t accepted = json_integer_value(json_object_get(document, "accepted"));
    time_t seconds = (time_t)(accepted / 1000);
    const json_t *recipient;
    struct tm utc;
    char text[32];
    size_t i;

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &utc));
    printf("%s from %s, sent %s.%03dZ\n", string(document, "mid"), string(document, "from"), text,
           (int)(accepted % 1000));
    json_array_foreach(json_object_get(document, "recipients"), i, recipient)
        print_recipient(recipient, accepted);
}

static int show(const struct command *self, const struct arguments *arguments, const char *body,
                long status)
{
    json_t *document = json_loads(body, 0, NULL);
    int r = COMMAND_OK;

    if (status != 200 && !json_object_get(document, "detail")) /* not what a broker says */
        r = command_failed(self, "%s: status %ld", arguments->url, status);
    else if (status != 200)
        r = command_failed(self, "%ld %s: %s", status, string(document, "title"),
                           string(document, "detail"));
    else if (!json_is_array(json_object_get(document, "recipients")))
        r = command_failed(self, "%s: the answer is not a trace", arguments->url);
    else if (arguments->json)
        printf("%s\n", body);
    else
        print_trace(document);
    json_decref(document);
    return r;
}

static int ask(const struct command *self, const struct arguments *arguments, const char *token,
               const char *mid)
{
    AUTO_FREE char *url = NULL;
    AUTO_FREE char *body = NULL;
    size_t len = strlen(arguments->url);
    struct err_text et;
    long status = 0;

    while (len > 0 && arguments->url[len - 1] == '/')
        len--;
    if (asprintf(&url, "%.*s/v1/messages/%s/trace", (int)len, arguments->url, mid) < 0) {
        url = NULL;
        return command_failed(self, "out of memory");
    }
    if (http_get(url, token, arguments->ca, &body, &status, &et) < 0)
        return command_failed(self, "%s", et.text);
    return show(self, arguments, body, status);
}

static int run(const struct command *self, int argc, char **argv)
{
    const char *url = getenv("BECKON_HTTP"), *mid_text;
    struct arguments arguments = {
        .url = url ? url : URL_DEFAULT, .key = getenv("BECKON_TOKEN_KEY"), .kid = "dev"};
    struct token_claims claims = {.user = "beckonctl", .service = true};
    AUTO_FREE char *signed_token = NULL;
    struct err_text et;
    struct mid mid;
    int end;

    if (argc < 2 || argv[1][0] == '-') {
        end = read_arguments(self, argc, argv, &arguments);
        return end == COMMAND_END ? command_misused(self, "expected a message id")
                                  : command_ended(end);
    }
    mid_text = argv[1];
    if (mid_parse(bytes_of_string(mid_text), &mid) < 0)
        return command_misused(self, "\"%s\" is no message id, expected a UUIDv7", mid_text);
    end = read_arguments(self, argc - 1, argv + 1, &arguments);
    if (end != COMMAND_END)
        return command_ended(end);
    if (!arguments.token) {
        if (!arguments.key)
            return command_misused(self, "expected --token, --key or BECKON_TOKEN_KEY");
        claims.issued_s = (uint64_t)time(NULL);
        claims.expires_s = claims.issued_s + TOKEN_TTL_S;
        signed_token = token_sign_hs256(&claims, arguments.kid, arguments.key, &et);
        if (!signed_token)
            return command_failed(self, "%s", et.text);
    }
    return ask(self, &arguments, arguments.token ? arguments.token : signed_token, mid_text);
}

const struct command trace_command = {
    .name = "trace",
    .summary = "show which way a message went, and why",
    .help = help,
    .options = options,
    .run = run,
};
