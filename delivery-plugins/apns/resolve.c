/* resolve - a connected or connecting socket for a host name, without blocking the host.
 *
 * An address in figures needs no question. A name is asked for on a thread of its own, which
 * answers through a pipe; whoever gives up waits for that thread, because the plugin may be
 * unloaded afterwards. */
#include "apns.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct resolve {
    const struct dp_host *host;
    void (*done)(void *arg, int fd, const char *error);
    void *arg;
    pthread_t thread;
    bool threaded;
    int pipe[2];
    uint64_t timer;
    struct addrinfo *found;
    int error;
    char name[256], port[8];
};

static int open_socket(const struct addrinfo *address)
{
    int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

static void *ask(void *arg)
{
    struct resolve *r = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

    r->error = getaddrinfo(r->name, r->port, &hints, &r->found);
    if (write(r->pipe[1], "", 1) < 0)
        return NULL; /* nobody reads any more */
    return NULL;
}

static void release(struct resolve *r)
{
    if (r->threaded) {
        r->host->watch(r->host->ctx, r->pipe[0], 0, NULL, NULL);
        pthread_join(r->thread, NULL);
    }
    if (r->timer)
        r->host->timer_stop(r->host->ctx, r->timer);
    if (r->pipe[0] >= 0) {
        close(r->pipe[0]);
        close(r->pipe[1]);
    }
    if (r->found)
        freeaddrinfo(r->found);
    free(r);
}

static void finish(struct resolve *r)
{
    void (*done)(void *, int, const char *) = r->done;
    void *arg = r->arg;
    const char *error = r->error != 0 ? gai_strerror(r->error) : NULL;
    int fd = -1;

    for (const struct addrinfo *a = r->found; a && fd < 0; a = a->ai_next)
        fd = open_socket(a);
    if (fd < 0 && !error)
        error = strerror(errno);
    release(r);
    done(arg, fd, error);
}

static void on_answer(void *arg, uint32_t events)
{
    (void)events;
    finish(arg);
}

static void on_timer(void *arg)
{
    struct resolve *r = arg;

    r->timer = 0;
    finish(r);
}

struct resolve *resolve_start(const struct dp_host *host, const struct endpoint *endpoint,
                              void (*done)(void *arg, int fd, const char *error), void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct resolve *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    *r = (struct resolve){.host = host, .done = done, .arg = arg, .pipe = {-1, -1}};
    snprintf(r->name, sizeof(r->name), "%s", endpoint->host);
    snprintf(r->port, sizeof(r->port), "%u", endpoint->port);
    if (getaddrinfo(r->name, r->port, &hints, &r->found) == 0) {
        r->timer = host->timer_start(host->ctx, 0, on_timer, r);
        if (r->timer)
            return r;
    } else if (pipe2(r->pipe, O_CLOEXEC | O_NONBLOCK) == 0 &&
               host->watch(host->ctx, r->pipe[0], DP_READABLE, on_answer, r) == 0) {
        r->threaded = pthread_create(&r->thread, NULL, ask, r) == 0;
        if (r->threaded)
            return r;
        host->watch(host->ctx, r->pipe[0], 0, NULL, NULL);
    }
    release(r);
    return NULL;
}

void resolve_cancel(struct resolve *r)
{
    if (r)
        release(r);
}
