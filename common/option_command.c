/* The command line of a daemon: little, and the same for all of them. Not getopt_long, which
 * accepts abbreviations (`--set` would change its meaning when `--settle` appears) and keeps state
 * of the process. */
#include "common/option.h"

#include <stdlib.h>
#include <string.h>

struct arguments {
    const char *config;
    const char **overrides; /* owned array, borrowed strings */
    size_t override_count;
    bool check_config, print_config, version, help;
};

static void print_help(const struct option_command *command)
{
    printf("%s - %s\n\n"
           "usage: %s [--config FILE] [--set path=value]...\n\n"
           "  --config FILE      read the configuration file FILE; without it defaults hold\n"
           "  --set path=value   set one option after the file was read; may be repeated\n"
           "  --check-config     check the configuration and exit\n"
           "  --print-config     print every option with its meaning and value, and exit\n"
           "  --version          print the version and exit\n"
           "  --help             print this and exit\n",
           command->program, command->summary, command->program);
}

/* Is argv[*at] the option name, as `name value` or `name=value`? Then takes the value. Returns 1,
 * 0 when it is another argument, ERR_CONFIG when there is no value. */
static int take_value(const char *name, int argc, char **argv, int *at, const char **ret_value,
                      struct err_text *et)
{
    size_t len = strlen(name);
    const char *argument = argv[*at];

    if (strncmp(argument, name, len) != 0)
        return 0;
    if (argument[len] == '=') {
        *ret_value = argument + len + 1;
        return 1;
    }
    if (argument[len] != '\0')
        return 0;
    if (*at + 1 >= argc)
        return err_set(et, ERR_CONFIG, "%s has no value", name);
    *ret_value = argv[++*at];
    return 1;
}

static bool take_flag(const char *argument, const char *name, bool *flag)
{
    if (strcmp(argument, name) != 0)
        return false;
    *flag = true;
    return true;
}

static int parse(struct arguments *arguments, int argc, char **argv, struct err_text *et)
{
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i], *value = NULL;
        int r = take_value("--config", argc, argv, &i, &value, et);
        if (r > 0 && arguments->config != NULL)
            return err_set(et, ERR_CONFIG, "--config is given twice");
        if (r > 0)
            arguments->config = value;
        if (r == 0) {
            r = take_value("--set", argc, argv, &i, &value, et);
            if (r > 0)
                arguments->overrides[arguments->override_count++] = value;
        }
        if (r < 0)
            return r;
        if (r == 0 && !take_flag(argument, "--check-config", &arguments->check_config) &&
            !take_flag(argument, "--print-config", &arguments->print_config) &&
            !take_flag(argument, "--version", &arguments->version) &&
            !take_flag(argument, "--help", &arguments->help))
            return err_set(et, ERR_CONFIG, "unknown argument \"%s\", see --help", argument);
    }
    return 0;
}

static int run(struct option_set *set, const struct option_command *command,
               const struct arguments *arguments, struct err_text *et)
{
    if (arguments->help) {
        print_help(command);
        return 1;
    }
    if (arguments->version) {
        printf("%s %s\n", command->program, command->version);
        return 1;
    }
    int r = option_set_load(set, arguments->config, arguments->overrides, arguments->override_count,
                            et);
    if (r < 0)
        return r;
    if (arguments->check_config && command->check != NULL) {
        r = command->check(set, et);
        if (r < 0)
            return r;
    }
    if (arguments->print_config)
        option_set_print(set, stdout);
    else if (arguments->check_config)
        printf("%s: the configuration is valid\n", command->program);
    return arguments->check_config || arguments->print_config ? 1 : 0;
}

int option_command_line(struct option_set *set, const struct option_command *command, int argc,
                        char **argv)
{
    struct arguments arguments = {0};
    struct err_text et = {""};
    int r;

    /* Never more overrides than arguments. */
    arguments.overrides = calloc((size_t)argc + 1, sizeof(*arguments.overrides));
    if (arguments.overrides == NULL)
        r = err_set(&et, ERR_NO_MEMORY, "%s", err_string(ERR_NO_MEMORY));
    else
        r = parse(&arguments, argc, argv, &et);
    if (r == 0)
        r = run(set, command, &arguments, &et);
    free(arguments.overrides);
    /* A full disk behind `--print-config > file` must not look like success. */
    if (r == 1 && (fflush(stdout) != 0 || ferror(stdout)))
        r = err_set(&et, ERR_CONFIG, "could not write to standard output");
    if (r >= 0)
        return r;
    /* A check that says nothing but fails still gets a line. */
    fprintf(stderr, "%s: %s\n", command->program, et.text[0] != '\0' ? et.text : err_string(r));
    return ERR_CONFIG;
}
