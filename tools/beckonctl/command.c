/* getopt_long finds the options, but its own messages name neither the subcommand nor what would
 * have been right, so it is told to be silent and every mistake is reported here, with the list of
 * what was expected taken from the same table. */
#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends "--a, --b or --c" as far as it fits; a cut list still ends with NUL. */
static void list_options(const struct option *options, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (; options->name != NULL && used < size; options++) {
        const char *join = used == 0 ? "" : options[1].name == NULL ? " or " : ", ";
        int len = snprintf(out + used, size - used, "%s--%s", join, options->name);
        if (len < 0)
            return;
        used += (size_t)len;
    }
}

/* An option that getopt_long does not know, or one whose value is missing. */
static int refuse_option(const struct command *self, int problem, char **argv)
{
    char expected[256]; /* twice the longest list */
    const char *word = argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};

    /* A letter in a cluster: optind still points at the cluster. */
    if (word[0] != '-' || word[1] != '-')
        word = optopt != 0 ? letter : word;
    if (problem == ':') {
        command_misused(self, "option \"%s\" needs a value", word);
        return COMMAND_MISTAKE;
    }
    for (const struct option *option = self->options; option->name != NULL; option++) {
        size_t len = strlen(option->name);
        if (option->has_arg == no_argument && strncmp(word, "--", 2) == 0 &&
            strncmp(word + 2, option->name, len) == 0 && word[2 + len] == '=') {
            command_misused(self, "option \"--%s\" takes no value", option->name);
            return COMMAND_MISTAKE;
        }
    }
    list_options(self->options, expected, sizeof(expected));
    command_misused(self, "unknown option \"%s\", expected %s", word, expected);
    return COMMAND_MISTAKE;
}

int command_next(const struct command *self, int argc, char **argv)
{
    opterr = 0;
    int option = getopt_long(argc, argv, ":h", self->options, NULL);

    switch (option) {
    case -1:
        if (optind == argc)
            return COMMAND_END;
        command_misused(self, "unexpected \"%s\"", argv[optind]);
        return COMMAND_MISTAKE;
    case 'h':
        fputs(self->help, stdout);
        return COMMAND_HELPED;
    case '?':
    case ':':
        return refuse_option(self, option, argv);
    default:
        return option;
    }
}

int command_ended(int end)
{
    return end == COMMAND_HELPED ? COMMAND_OK : COMMAND_USAGE;
}

static void __attribute__((format(printf, 2, 0)))
report(const struct command *self, const char *fmt, va_list args)
{
    fprintf(stderr, "beckonctl %s: ", self->name);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

int command_misused(const struct command *self, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(self, fmt, args);
    va_end(args);
    fprintf(stderr, "see beckonctl %s --help\n", self->name);
    return COMMAND_USAGE;
}

int command_failed(const struct command *self, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(self, fmt, args);
    va_end(args);
    return COMMAND_FAILED;
}

int command_uint(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value)
{
    char *end;

    if (*text < '0' || *text > '9') /* strtoull would take spaces and signs */
        return ERR_INVALID;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < min || value > max)
        return ERR_INVALID;
    *ret_value = (uint32_t)value;
    return 0;
}
