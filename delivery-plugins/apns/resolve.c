/* resolve - a connected or connecting socket for a host name, without blocking the host.
 *
 * An address in figures needs no question. A name is asked for on a thread of its own, which
 * answers through an eventfd. getaddrinfo can't be interrupted and may take half a minute, so
 * nobody waits for that thread: question and answer belong to both sides, and the last to leave
 * frees them. The thread may outlive the instance: the plugin is linked with -z nodelete, so that
 * its code stays. */
#include "apns.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What the thread and the loop share. */
struct question {
    atomic_int owners;
    atomic_bool ready; /* found and error are the loop's to read */
    int answered;      /* eventfd */
    struct addrinfo *found;
    int error;
    char name[256], port[8];
};

struct resolve {
    const struct dp_host *host;
    void (*done)(void *arg, int fd, const char *error);
    void *arg;
    struct question *question;
    bool watched;
    unsigned attempt;
    uint64_t timer;
};

static void leave(struct question *q)
{
    if (atomic_fetch_sub(&q->owners, 1) > 1)
        return;
    if (q->answered >= 0)
        close(q->answered);
    if (q->found)
        freeaddrinfo(q->found);
    free(q);
}

static int open_socket(const struct addrinfo *address)
{
    int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Which address answers is known only later: each attempt begins with the next one. */
static int open_any(const struct addrinfo *found, unsigned attempt)
{
    const struct addrinfo *a;
    unsigned count = 0;
    int fd = -1;

    for (a = found; a; a = a->ai_next)
        count++;
    for (unsigned i = 0; i < count && fd < 0; i++) {
        unsigned skip = (attempt + i) % count;

        for (a = found; skip > 0; skip--)
            a = a->ai_next;
        fd = open_socket(a);
    }
    return fd;
}

static void *ask(void *arg)
{
    struct question *q = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

    q->error = getaddrinfo(q->name, q->port, &hints, &q->found);
    atomic_store(&q->ready, true);
    eventfd_write(q->answered, 1);
    leave(q);
    return NULL;
}

static void release(struct resolve *r)
{
    if (r->watched)
        r->host->watch(r->host->ctx, r->question->answered, 0, NULL, NULL);
    if (r->timer)
        r->host->timer_stop(r->host->ctx, r->timer);
    if (r->question)
        leave(r->question);
    free(r);
}

static void finish(struct resolve *r)
{
    void (*done)(void *, int, const char *) = r->done;
    void *arg = r->arg;
    const struct question *q = r->question;
    const char *error = q->error != 0 ? gai_strerror(q->error) : NULL;
    int fd = open_any(q->found, r->attempt);

    if (fd < 0 && !error)
        error = strerror(errno);
    release(r);
    done(arg, fd, error);
}

static void on_answer(void *arg, uint32_t events)
{
    struct resolve *r = arg;

    (void)events;
    if (atomic_load(&r->question->ready))
        finish(r);
}

static void on_timer(void *arg)
{
    struct resolve *r = arg;

    r->timer = 0;
    finish(r);
}

/* Signals are the host's business: none is delivered to this thread. */
static bool start_thread(struct question *q)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    bool started;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_fetch_add(&q->owners, 1);
    started = pthread_create(&thread, &attributes, ask, q) == 0;
    if (!started)
        atomic_fetch_sub(&q->owners, 1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

static struct question *create_question(const struct endpoint *endpoint)
{
    struct question *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    atomic_init(&q->owners, 1);
    atomic_init(&q->ready, false);
    q->answered = -1;
    snprintf(q->name, sizeof(q->name), "%s", endpoint->host);
    snprintf(q->port, sizeof(q->port), "%u", endpoint->port);
    return q;
}

struct resolve *resolve_start(const struct dp_host *host, const struct endpoint *endpoint,
                              unsigned attempt, void (*done)(void *arg, int fd, const char *error),
                              void *arg)
{
    const struct addrinfo figures = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct resolve *r = calloc(1, sizeof(*r));
    struct question *q;

    if (!r)
        return NULL;
    q = create_question(endpoint);
    *r =
        (struct resolve){.host = host, .done = done, .arg = arg, .question = q, .attempt = attempt};
    if (!q)
        goto fail;
    if (getaddrinfo(q->name, q->port, &figures, &q->found) == 0) {
        /* later all the same: done is never called from in here */
        r->timer = host->timer_start(host->ctx, 0, on_timer, r);
        if (r->timer)
            return r;
        goto fail;
    }
    q->answered = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->answered < 0)
        goto fail;
    r->watched = host->watch(host->ctx, q->answered, DP_READABLE, on_answer, r) == 0;
    if (r->watched && start_thread(q))
        return r;
fail:
    release(r);
    return NULL;
}

void resolve_cancel(struct resolve *r)
{
    if (r)
        release(r);
}
