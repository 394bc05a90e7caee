/* command - what the subcommands of beckonctl share: their table entry, their command line.
 * One thread, one subcommand a process. */
#ifndef BECKONCTL_COMMAND_H
#define BECKONCTL_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* Exit statuses. */
enum command_status { COMMAND_OK = 0, COMMAND_FAILED = 1, COMMAND_USAGE = 2 };

struct command {
    const char *name;
    const char *summary;          /* one line for beckonctl --help */
    const char *help;             /* usage and options, each line ended */
    const struct option *options; /* for getopt_long, with an entry --help whose val is 'h' */
    int (*run)(const struct command *self, int argc, char **argv); /* enum command_status */
};

extern const struct command token_command, keygen_command, migrate_command, ping_command,
    trace_command;

/* What command_next returns besides an option's val. */
enum command_end {
    COMMAND_END = -1,     /* all read */
    COMMAND_HELPED = -2,  /* --help: printed */
    COMMAND_MISTAKE = -3, /* an unknown option, a missing value, a stray word: reported */
};

/* The next option (its value is in optarg), or enum command_end. argv[0] is the subcommand. */
int command_next(const struct command *self, int argc, char **argv);
/* The status to exit with after command_next ended the options otherwise than with COMMAND_END. */
int command_ended(int end);

/* Reports what is wrong with the command line; returns COMMAND_USAGE. */
int command_misused(const struct command *self, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Reports what went wrong; returns COMMAND_FAILED. */
int command_failed(const struct command *self, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A decimal number from min to max, nothing around it. 0 or ERR_INVALID. */
MUST_CHECK int command_uint(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value);

#endif
