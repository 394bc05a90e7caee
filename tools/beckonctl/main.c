/* beckonctl: what an operator or a script does with Beckon by hand. One table of subcommands, one
 * file for each of them. Exit status: 0 done, 1 failed, 2 the command line is wrong. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "common/auto.h"

static const struct command *const commands[] = {&token_command, &keygen_command, &migrate_command,
                                                 &ping_command, &trace_command};

static void print_help(FILE *out)
{
    fputs("usage: beckonctl COMMAND [OPTION...]\n"
          "       beckonctl --help | --version\n\n",
          out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-8s  %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nbeckonctl COMMAND --help tells a command's options.\n", out);
}

static int refuse(const char *what, const char *word)
{
    fprintf(stderr, "beckonctl: %s", what);
    if (word != NULL)
        fprintf(stderr, " \"%s\"", word);
    fputs(", expected --help, --version", stderr);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(stderr, "%s%s", i + 1 < ARRAY_LEN(commands) ? ", " : " or ", commands[i]->name);
    fputc('\n', stderr);
    return COMMAND_USAGE;
}

/* Output that was not written (a full disk, a closed pipe) is a failure like any other. */
static int flushed(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("beckonctl: could not write the output");
    return status == COMMAND_OK ? COMMAND_FAILED : status;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return refuse("no command", NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return flushed(COMMAND_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("beckonctl " BECKON_VERSION);
        return flushed(COMMAND_OK);
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i]->name) == 0)
            return flushed(commands[i]->run(commands[i], argc - 1, argv + 1));
    }
    return refuse(argv[1][0] == '-' ? "unknown option" : "unknown command", argv[1]);
}
