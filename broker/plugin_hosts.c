/* plugin_hosts - see the header. */
#include "broker/plugin_hosts.h"

#include "broker/options.h"
#include "broker/plugin_process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define PROGRAM "beckon-plugin-host"
/* The host's hard limit is this many times plugin_host.memory_mb: it counts what is reserved, and
 * is there for what happens between two looks at the resident size. */
#define HARD_LIMIT_FACTOR 2

/* The one beside this process's own program: they are of one installation. */
static int find_program(const char *configured, char *program, struct err_text *et)
{
    ssize_t len;
    char *slash;

    if (configured[0] != '\0') {
        snprintf(program, PATH_MAX, "%s", configured);
    } else {
        len = readlink("/proc/self/exe", program, PATH_MAX - sizeof(PROGRAM));
        if (len <= 0)
            return err_set(et, ERR_SYSTEM, "could not read /proc/self/exe: %s", strerror(errno));
        program[len] = '\0';
        slash = strrchr(program, '/');
        if (!slash)
            return err_set(et, ERR_SYSTEM, "/proc/self/exe is \"%s\", expected a path", program);
        memcpy(slash + 1, PROGRAM, sizeof(PROGRAM));
    }
    if (access(program, X_OK) < 0)
        return err_set(et, ERR_CONFIG, "could not run plugin_host.program \"%s\": %s", program,
                       strerror(errno));
    return 0;
}

/* A directory of our own in the base, mode 0700: whoever reaches a socket in it could pose as a
 * plugin. */
static int make_dir(const char *configured, char *dir, struct err_text *et)
{
    const char *base = configured[0] != '\0' ? configured : getenv("RUNTIME_DIRECTORY");
    int base_len, len;

    if (!base || base[0] == '\0')
        base = "/tmp";
    base_len = (int)strcspn(base, ":"); /* systemd.exec(5): may be a list */
    len = snprintf(dir, PATH_MAX, "%.*s/beckon-%d-XXXXXX", base_len, base, (int)getpid());
    if (len < 0 || len >= PATH_MAX || !mkdtemp(dir)) {
        err_format(et, "could not make plugin_host.runtime_dir \"%s\": %s", dir, strerror(errno));
        dir[0] = '\0';
        return ERR_CONFIG;
    }
    return 0;
}

int plugin_hosts_create(const struct options *options, struct plugin_hosts **ret_hosts,
                        struct err_text *et)
{
    struct plugin_hosts *hosts = calloc(1, sizeof(*hosts));
    int r;

    if (!hosts)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = find_program(options->plugin_host_program, hosts->program, et);
    if (r == 0)
        r = make_dir(options->plugin_host_runtime_dir, hosts->dir, et);
    if (r == 0) {
        hosts->context = zmq_ctx_new();
        if (!hosts->context)
            r = err_set(et, ERR_SYSTEM, "could not make a ZeroMQ context: %s", zmq_strerror(errno));
    }
    if (r < 0)
        plugin_hosts_destroy(hosts);
    else
        *ret_hosts = hosts;
    return r;
}

void plugin_hosts_destroy(struct plugin_hosts *hosts)
{
    if (!hosts)
        return;
    if (hosts->context)
        zmq_ctx_term(hosts->context);
    if (hosts->dir[0] != '\0')
        rmdir(hosts->dir);
    free(hosts);
}

int plugin_hosts_socket(const struct plugin_hosts *hosts, const char *name, uint64_t n,
                        char path[PLUGIN_SOCKET_SIZE], struct err_text *et)
{
    int len =
        snprintf(path, PLUGIN_SOCKET_SIZE, "%s/%s-%llu", hosts->dir, name, (unsigned long long)n);

    if (len < 0 || len >= PLUGIN_SOCKET_SIZE)
        return err_set(et, ERR_CONFIG,
                       "plugin_host.runtime_dir: the path of a socket in \"%s\" has more than %d "
                       "bytes, expected a shorter directory",
                       hosts->dir, PLUGIN_SOCKET_SIZE - 1);
    return 0;
}

int plugin_hosts_spawn(const struct plugin_hosts *hosts, const struct options *options,
                       const struct plugin_hosts_target *target, struct plugin_process *process,
                       struct loop *loop, plugin_process_fn fn, void *arg, struct err_text *et)
{
    char endpoint[PLUGIN_SOCKET_SIZE + 32], index[32], level[64], memory[32], name[64];
    char file[PATH_MAX + 32];
    char set[] = "--set";
    char *const argv[] = {(char *)hosts->program,
                          set,
                          endpoint,
                          set,
                          file,
                          set,
                          name,
                          set,
                          index,
                          set,
                          level,
                          set,
                          memory,
                          NULL};

    snprintf(endpoint, sizeof(endpoint), "endpoint=ipc://%s", target->socket_path);
    snprintf(file, sizeof(file), "plugin.file=%s", target->path);
    snprintf(name, sizeof(name), "plugin.name=%s", target->name);
    snprintf(index, sizeof(index), "index=%u", options->index);
    snprintf(level, sizeof(level), "log.level=%s", options->log_level);
    snprintf(memory, sizeof(memory), "memory_mb=%u",
             options->plugin_host_memory_mb * HARD_LIMIT_FACTOR);
    return plugin_process_start(process, loop, argv, fn, arg, et);
}
