/* option - a process's configuration: one table, read through libconfig into one struct.
 *
 * From the table come defaults, parsing, range checks with file and line, `--set path=value`,
 * `--print-config`, the check of the sample file, and the rule of what a reload may change.
 * Unknown keys are errors that name file, line and the nearest known key.
 * Start-up and SIGHUP only; not for hot paths. Strings live in the options struct's owner
 * (struct option_set) until option_set_fini. */
#ifndef BECKON_COMMON_OPTION_H
#define BECKON_COMMON_OPTION_H

#include "common/err.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
    OPTION_BOOL,   /* bool */
    OPTION_UINT,   /* uint32_t */
    OPTION_UINT64, /* uint64_t */
    OPTION_STRING, /* const char *; never NULL, "" when unset */
    OPTION_LIST,   /* list or group that the module reads itself from option_set.config: any shape
                      is let through here and `check`, when set, validates it */
};

struct option {
    const char *path; /* libconfig path: "listen.tcp.port" */
    enum option_type type;
    size_t offset;             /* in the options struct; unused for OPTION_LIST */
    const char *default_value; /* as text, in the syntax of --set; NULL for OPTION_LIST */
    uint64_t min, max;         /* OPTION_UINT*, inclusive; for OPTION_STRING max length, 0 = none */
    bool reloadable;           /* SIGHUP may change it */
    const char *help;          /* one line: meaning and unit */
    /* OPTION_LIST only, may be NULL: validates the setting, fills et with path, file and line. */
    int (*check)(const config_setting_t *setting, struct err_text *et);
};

struct option_set {
    const struct option *table;
    size_t count;
    void *values; /* the options struct the offsets point into */
    config_t config;
    bool loaded;
    char **strings; /* owned copies of string values */
    size_t string_count;
};

/* Sets every value to its default. table and values are borrowed until option_set_fini. */
void option_set_init(struct option_set *set, const struct option *table, size_t count,
                     void *values);
void option_set_fini(struct option_set *set);

/* Reads file (may be NULL: defaults only), then applies each "path=value" of overrides in order.
 * 0; ERR_CONFIG with et: `FILE:LINE: unknown option "x.y", did you mean "x.z"?`,
 * `FILE:LINE: "listen.tcp.port" is 70000, expected 1 to 65535`,
 * `--set: "x" has no value, expected path=value`. Call once per set. */
MUST_CHECK int option_set_load(struct option_set *set, const char *file,
                               const char *const *overrides, size_t override_count,
                               struct err_text *et);

/* Every option, its value in force, as a config file with the help text as comments. */
void option_set_print(const struct option_set *set, FILE *out);

/* The command line all Beckon daemons share. Parses --config FILE, --set path=value,
 * --check-config, --print-config, --version, --help; handles the last four itself.
 * Returns 0 to go on; 1 when the process is to exit successfully (it printed what was asked
 * for); ERR_CONFIG after printing the error to stderr (exit status 2). */
struct option_command {
    const char *program; /* "beckon-broker" */
    const char *version;
    const char *summary; /* for --help */
    /* Called by --check-config after the file was read, to check what the table can't (files
     * that exist, keys that parse). May be NULL. */
    int (*check)(struct option_set *set, struct err_text *et);
};
MUST_CHECK int option_command_line(struct option_set *set, const struct option_command *command,
                                   int argc, char **argv);

#endif
