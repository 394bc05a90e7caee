#include "bench/load/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

#define PAYLOAD_MIN 32     /* above STAMP_BYTES */
#define PAYLOAD_MAX 131072 /* below every server's default packet limit */

enum kind { TEXT, NUMBER, FLAG };

static const struct load_option {
    const char *name;
    enum kind kind;
    size_t offset;
    uint32_t min, max;
    const char *help;
} table[] = {
#define AT(member) offsetof(struct load_options, member)
    {"scenario", TEXT, AT(scenario), 0, 0, "connect, fanout, idle, offline, pairs or storm"},
    {"host", TEXT, AT(host), 0, 0, "numeric address of the server (127.0.0.1)"},
    {"port", NUMBER, AT(port), 1, 65535, "its port"},
    {"ca", TEXT, AT(ca), 0, 0, "TLS; PEM file of the authority that signed the server"},
    {"websocket", FLAG, AT(websocket), 0, 0, "MQTT over WebSocket, path /mqtt"},
    {"token-key", TEXT, AT(token_key), 0, 0, "HS256 secret: user and token in CONNECT"},
    {"kid", TEXT, AT(kid), 0, 0, "of the token's key (dev)"},
    {"prefix", TEXT, AT(prefix), 0, 0, "of user names (load)"},
    {"topics", TEXT, AT(topics), 0, 0, "beckon, or plain for a broker without inboxes (beckon)"},
    {"source", TEXT, AT(source), 0, 0, "first IPv4 address to connect from"},
    {"sources", NUMBER, AT(sources), 1, 250, "addresses to connect from, one after the other (1)"},
    {"level", NUMBER, AT(level), 4, 5, "4 is MQTT 3.1.1, 5 is MQTT 5 (5)"},
    {"clients", NUMBER, AT(clients), 1, LOAD_CLIENTS_MAX, "connections (2)"},
    {"concurrency", NUMBER, AT(concurrency), 1, LOAD_CLIENTS_MAX, "being made at once (64)"},
    {"connect-rate", NUMBER, AT(connect_rate), 0, 1000000, "a second; 0: closed loop (0)"},
    {"keep-alive", NUMBER, AT(keep_alive_s), 0, 65535, "seconds (1200)"},
    {"session-expiry", NUMBER, AT(session_expiry_s), 0, UINT32_MAX - 1,
     "seconds; 0: a clean session that ends with the connection (0)"},
    {"subscribe", FLAG, AT(subscribe), 0, 0, "connect, idle: each subscribes to its inbox"},
    {"window", NUMBER, AT(window), 1, 65535, "unacknowledged publishes a sender (16)"},
    {"rate", NUMBER, AT(rate), 0, 10000000, "publishes a second; 0: closed loop (0)"},
    {"ahead", NUMBER, AT(ahead), 1, 65535, "fanout: messages on their way at once (4)"},
    {"senders", NUMBER, AT(senders), 1, LOAD_CLIENTS_MAX, "offline: so many clients send (50)"},
    {"messages", NUMBER, AT(messages), 1, 1000000, "offline: to each inbox (10)"},
    {"hold", FLAG, AT(hold), 0, 0, "offline: before the drain, wait for standard input"},
    {"payload", NUMBER, AT(payload), PAYLOAD_MIN, PAYLOAD_MAX, "bytes (256)"},
    {"warm", NUMBER, AT(warm_s), 0, 3600, "seconds before the measurement (1)"},
    {"seconds", NUMBER, AT(seconds), 1, 86400, "measured (5)"},
    {"drain", NUMBER, AT(drain_s), 0, 3600, "seconds that deliveries may take afterwards (30)"},
    {"connect-timeout", NUMBER, AT(connect_timeout_s), 1, 3600,
     "seconds until all must be connected (120)"},
#undef AT
};

static void print_help(void)
{
    puts("usage: beckon-load --scenario NAME --port PORT [--OPTION VALUE...]\n"
         "Plays many MQTT clients, checks every delivery, prints figures as JSON.\n"
         "connect: connects all, once; idle: then holds them until standard input ends;\n"
         "pairs: every second client publishes to its neighbour;\n"
         "fanout: the first client's messages go to all others;\n"
         "offline: messages for clients that are away, and then come back;\n"
         "storm: all connections are reset, and all clients connect again at once.\n");
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        printf("  --%-16s %s\n", table[i].name, table[i].help);
}

static int read_number(const struct load_option *option, const char *text, uint32_t *ret,
                       struct err_text *et)
{
    unsigned long long value;
    char *end;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < option->min ||
        value > option->max)
        return err_set(et, ERR_CONFIG, "--%s is \"%s\", expected %u to %u", option->name, text,
                       option->min, option->max);
    *ret = (uint32_t)value;
    return 0;
}

static const struct load_option *find(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strncmp(word, "--", 2) == 0 && strcmp(word + 2, table[i].name) == 0)
            return &table[i];
    }
    return NULL;
}

static int read_words(int argc, char **argv, struct load_options *options, struct err_text *et)
{
    for (int i = 1; i < argc; i++) {
        const struct load_option *option = find(argv[i]);
        char *at;
        int r = 0;

        if (option == NULL)
            return err_set(et, ERR_CONFIG, "unknown option \"%s\"; --help lists them", argv[i]);
        at = (char *)options + option->offset;
        if (option->kind == FLAG) {
            *(bool *)(void *)at = true;
            continue;
        }
        if (++i == argc)
            return err_set(et, ERR_CONFIG, "--%s needs a value", option->name);
        if (option->kind == TEXT)
            *(const char **)(void *)at = argv[i];
        else
            r = read_number(option, argv[i], (uint32_t *)(void *)at, et);
        if (r < 0)
            return r;
    }
    return 0;
}

int load_options_read(int argc, char **argv, struct load_options *ret, struct err_text *et)
{
    struct load_options options = {
        .host = "127.0.0.1",
        .kid = "dev",
        .prefix = "load",
        .topics = "beckon",
        .sources = 1,
        .level = 5,
        .clients = 2,
        .concurrency = 64,
        .keep_alive_s = 1200,
        .window = 16,
        .ahead = 4,
        .senders = 50,
        .messages = 10,
        .payload = 256,
        .warm_s = 1,
        .seconds = 5,
        .drain_s = 30,
        .connect_timeout_s = 120,
    };
    int r;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return ERR_EXISTS;
    }
    r = read_words(argc, argv, &options, et);
    if (r < 0)
        return r;
    if (options.scenario == NULL || options.port == 0)
        return err_set(et, ERR_CONFIG, "--scenario and --port are needed");
    if (strcmp(options.topics, "beckon") != 0 && strcmp(options.topics, "plain") != 0)
        return err_set(et, ERR_CONFIG, "--topics is \"%s\", expected beckon or plain",
                       options.topics);
    if (options.sources > 1 && options.source == NULL)
        return err_set(et, ERR_CONFIG, "--sources needs --source");
    *ret = options;
    return 0;
}
