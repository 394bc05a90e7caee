/* plugin_hosts - what the hosted plugins of a broker share: the ZeroMQ context of their links, the
 * private directory of their sockets, and the program that runs them. Loop thread. */
#ifndef BECKON_BROKER_PLUGIN_HOSTS_H
#define BECKON_BROKER_PLUGIN_HOSTS_H

#include "broker/plugin_process.h"
#include "common/err.h"

#include <limits.h>
#include <stdint.h>

struct options;

/* The path of a Unix socket at most, with its NUL (unix(7)). */
#define PLUGIN_SOCKET_SIZE 108

struct plugin_hosts {
    void *context;      /* ZeroMQ's */
    char dir[PATH_MAX]; /* "" when there is none */
    char program[PATH_MAX];
    uint64_t close_until_ms; /* CLOCK_MONOTONIC: when all are to have ended; 0: not closing */
};

/* ERR_SYSTEM, ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int plugin_hosts_create(const struct options *options, struct plugin_hosts **ret_hosts,
                                   struct err_text *et);
/* NULL is allowed. All links are closed. */
void plugin_hosts_destroy(struct plugin_hosts *hosts);
/* Where the socket of the n-th process of a plugin is. ERR_CONFIG with et: the path is too long. */
MUST_CHECK int plugin_hosts_socket(const struct plugin_hosts *hosts, const char *name, uint64_t n,
                                   char path[PLUGIN_SOCKET_SIZE], struct err_text *et);

/* What a process is to run, and where it is to connect. Borrowed. */
struct plugin_hosts_target {
    const char *name, *path, *socket_path;
};
/* Starts the program for it. As plugin_process_start. */
MUST_CHECK int plugin_hosts_spawn(const struct plugin_hosts *hosts, const struct options *options,
                                  const struct plugin_hosts_target *target,
                                  struct plugin_process *process, struct loop *loop,
                                  plugin_process_fn fn, void *arg, struct err_text *et);

#endif
