/* plugin-check - asks a delivery plugin whether it keeps the promises of delivery_plugin.h.
 *
 * Each check runs in a process of its own, so that a plugin that crashes or hangs fails that check
 * and not the program. Exit status: 0 when all passed, 1 when one failed, 2 for a wrong command
 * line. */
#include "checks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* For outcomes, unless --deadline-ms says otherwise: longer than any sensible request. */
#define DEADLINE_MS 15000
/* A check waits for outcomes three times at most, and a little for what should not come. */
#define HANG_FACTOR 4
#define SETTINGS_MAX 256

static void print_help(void)
{
    printf("plugin-check - asks a delivery plugin whether it keeps the promises of its interface\n"
           "\n"
           "usage: plugin-check [--set path=value]... [--deadline-ms N] PLUGIN.so\n"
           "\n"
           "  --set path=value   a setting of the plugin, as its options in the broker's "
           "configuration\n"
           "  --deadline-ms N    how long an outcome may take, default %d\n"
           "  --version          print the version and exit\n"
           "  --help             print this and exit\n",
           DEADLINE_MS);
}

/* What the child has to say, until it ends or max_ms have passed. False: it hangs. */
static bool hear(int fd, char *text, size_t size, uint64_t max_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0) {
        if (poll(&ready, 1, (int)max_ms) <= 0)
            break;
        n = read(fd, text + len, size - 1 - len);
        if (n > 0)
            len += (size_t)n;
    }
    text[len] = '\0';
    return n == 0;
}

/* Does not return. */
static void run_child(const struct check *check, const struct subject *subject, int fd)
{
    static struct rig rig;
    enum check_result r = check->run(subject, &rig);

    if (write(fd, rig.defect, strlen(rig.defect)) < 0)
        r = CHECK_FAILED;
    _exit(r);
}

static enum check_result run_check(const struct check *check, const struct subject *subject,
                                   char *text, size_t size)
{
    int ends[2], status = 0;
    bool heard;
    pid_t pid;

    fflush(stdout);
    if (pipe(ends) < 0 || (pid = fork()) < 0) {
        snprintf(text, size, "could not start a process: %s", strerror(errno));
        return CHECK_FAILED;
    }
    if (pid == 0) {
        close(ends[0]);
        run_child(check, subject, ends[1]);
    }
    close(ends[1]);
    heard = hear(ends[0], text, size, subject->deadline_ms * HANG_FACTOR);
    close(ends[0]);
    if (!heard)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!heard) {
        snprintf(text, size, "it hangs");
        return CHECK_FAILED;
    }
    if (WIFSIGNALED(status)) {
        snprintf(text, size, "it crashed: signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
        return CHECK_FAILED;
    }
    if (WEXITSTATUS(status) == CHECK_FAILED && text[0] == '\0')
        snprintf(text, size, "its process ended early");
    return WEXITSTATUS(status) <= CHECK_SKIPPED ? (enum check_result)WEXITSTATUS(status)
                                                : CHECK_FAILED;
}

static int run_all(const struct subject *subject)
{
    unsigned failed = 0;
    char text[512];

    for (size_t i = 0; i < check_count; i++) {
        enum check_result r = run_check(&checks[i], subject, text, sizeof(text));

        if (r == CHECK_OK) {
            printf("ok    %s\n", checks[i].name);
            continue;
        }
        printf("%s  %s: %s\n", r == CHECK_SKIPPED ? "skip" : "FAIL", checks[i].name, text);
        if (r == CHECK_SKIPPED)
            continue;
        failed++;
        if (checks[i].vital)
            break;
    }
    if (failed)
        printf("%s: %u checks failed\n", subject->path, failed);
    else
        printf("%s: all checks passed\n", subject->path);
    return failed ? 1 : 0;
}

static int usage_error(const char *what, const char *argument)
{
    fprintf(stderr, "plugin-check: %s \"%s\", see --help\n", what, argument);
    return -1;
}

/* text, of the command line, is cut in two. */
static int add_setting(char *text, struct dp_setting *list, size_t *count)
{
    char *value = strchr(text, '=');

    if (!value || value == text)
        return usage_error("expected path=value instead of", text);
    if (*count == SETTINGS_MAX)
        return usage_error("too many settings:", text);
    *value = '\0';
    list[(*count)++] = (struct dp_setting){.path = text, .value = value + 1, .where = "--set"};
    return 0;
}

static int set_deadline(const char *text, struct subject *subject)
{
    char *end;
    unsigned long ms = strtoul(text, &end, 10);

    if (*end != '\0' || ms < 1 || ms > 600000)
        return usage_error("expected 1 to 600000 milliseconds instead of", text);
    subject->deadline_ms = ms;
    return 0;
}

/* 0 to go on; 1 when all was printed; -1 for an error. */
static int parse(int argc, char **argv, struct subject *subject, struct dp_setting *list)
{
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        int r = 0;

        if (strcmp(argv[i], "--help") == 0) {
            print_help();
            return 1;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("plugin-check " BECKON_VERSION "\n");
            return 1;
        }
        if (strcmp(argv[i], "--set") == 0 && has_value)
            r = add_setting(argv[++i], list, &subject->settings.count);
        else if (strcmp(argv[i], "--deadline-ms") == 0 && has_value)
            r = set_deadline(argv[++i], subject);
        else if (argv[i][0] == '-' || subject->path)
            r = usage_error("unexpected argument", argv[i]);
        else
            subject->path = argv[i];
        if (r < 0)
            return r;
    }
    return subject->path ? 0 : usage_error("expected the path of a plugin after", argv[0]);
}

int main(int argc, char **argv)
{
    static struct dp_setting list[SETTINGS_MAX];
    struct subject subject = {.settings = {.list = list}, .deadline_ms = DEADLINE_MS};
    char *path;
    int r = parse(argc, argv, &subject, list);

    if (r != 0)
        return r < 0 ? 2 : 0;
    path = realpath(subject.path, NULL); /* dlopen looks for names without a slash elsewhere */
    if (!path) {
        fprintf(stderr, "plugin-check: could not find \"%s\": %s\n", subject.path, strerror(errno));
        return 2;
    }
    subject.path = path;
    r = run_all(&subject);
    free(path);
    return r;
}
