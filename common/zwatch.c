/* ZMQ_FD says "something may have changed since you last looked", once, and a zmq_send can look
 * for us: it takes in what peers sent meanwhile, after which the socket is readable and its
 * descriptor silent. A server that trusts the descriptor hangs, rarely and under load.
 *
 * Method (flux-core's zmqutil): ZMQ_EVENTS alone decides. It is asked before every wait, by one
 * prepare hook for all watches of a loop, and after every wake of the descriptor, which thereby is
 * only an alarm clock. A socket found readable is served at once and the wait becomes a poll; it is
 * served at most once a turn, so a flood on one can't keep the loop from its timers and clients.
 *
 * Cost: one zmq_getsockopt per watch and turn, which is two system calls (poll and getpid) and up
 * to 3 us where these are dear. Therefore a watch whose owner tells of every send (zwatch_tells) is
 * asked only when something happened to it: a send, a wake, a call of its callback that did not
 * read until nothing was left (zwatch_drained). After an answer "no" libzmq's mailbox sleeps, so
 * that whatever comes next does ring the descriptor. */
#include "common/zwatch.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <zmq.h>

#include "common/auto.h"

/* All watches of one loop. Exists while it has any. */
struct group {
    struct loop_garbage garbage;
    struct group *next;
    struct loop *loop;
    struct zwatch *watches;
    struct zwatch *cursor; /* the one that on_prepare looks at next */
    uint64_t turn;         /* counts on_prepare */
};

struct zwatch {
    struct loop_garbage garbage;
    struct group *group;
    struct zwatch *next, **pprev;
    void *socket;
    zwatch_fn fn;
    void *arg;
    loop_id io;           /* 0 when the socket can't be watched any more */
    uint64_t served_turn; /* fn was called in this turn */
    bool tells;           /* the owner calls zwatch_sent */
    bool quiet;           /* it does, and the last answer still holds */
};

/* A loop belongs to a thread, so the list of groups does too. One or two, in practice. */
static _Thread_local struct group *groups;

/* Readable? Asking also takes in what the descriptor announced and silences it. */
static bool readable(struct zwatch *watch)
{
    int events = 0, r;
    size_t size = sizeof(events);

    do
        r = zmq_getsockopt(watch->socket, ZMQ_EVENTS, &events, &size);
    while (r < 0 && errno == EINTR);
    if (r < 0) {
        /* The context is being shut down: the descriptor stays readable for ever, and a loop that
         * went on watching it would spin. */
        loop_io_remove(watch->group->loop, watch->io);
        watch->io = 0;
        return false;
    }
    return (events & ZMQ_POLLIN) != 0;
}

/* fn may destroy its own watch, or any other. */
static void serve(struct zwatch *watch)
{
    watch->quiet = false;
    watch->served_turn = watch->group->turn;
    watch->fn(watch->arg);
}

static bool on_prepare(void *arg)
{
    struct group *group = arg; /* outlives its last watch by the rest of the turn */
    bool work = false;

    group->turn++;
    for (struct zwatch *watch = group->watches; watch != NULL; watch = group->cursor) {
        group->cursor = watch->next;
        if (watch->io == 0 || watch->quiet)
            continue;
        if (readable(watch)) {
            serve(watch);
            work = true;
        } else {
            watch->quiet = watch->tells;
        }
    }
    return work;
}

static void on_alarm(void *arg, uint32_t events)
{
    struct zwatch *watch = arg;

    (void)events; /* whatever rang, ZMQ_EVENTS knows */
    if (!readable(watch)) {
        watch->quiet = watch->tells;
        return;
    }
    watch->quiet = false;
    if (watch->served_turn != watch->group->turn)
        serve(watch);
}

static void on_free_group(struct loop_garbage *garbage)
{
    free(CONTAINER_OF(garbage, struct group, garbage));
}

static void on_free_watch(struct loop_garbage *garbage)
{
    free(CONTAINER_OF(garbage, struct zwatch, garbage));
}

/* The loop's group, made when there is none. */
static int get_group(struct loop *loop, struct group **ret_group)
{
    struct group *group = groups;

    while (group != NULL && group->loop != loop)
        group = group->next;
    if (group == NULL) {
        group = calloc(1, sizeof(*group));
        if (group == NULL)
            return ERR_NO_MEMORY;
        group->loop = loop;
        if (loop_prepare_add(loop, on_prepare, group) < 0) {
            free(group);
            return ERR_SYSTEM;
        }
        group->next = groups;
        groups = group;
    }
    *ret_group = group;
    return 0;
}

/* Lets go of a group that has no watch (any more). */
static void drop_group(struct group *group)
{
    if (group->watches != NULL)
        return;
    for (struct group **at = &groups; *at != NULL; at = &(*at)->next) {
        if (*at == group) {
            *at = group->next;
            break;
        }
    }
    loop_prepare_remove(group->loop, on_prepare, group);
    group->garbage.destroy = on_free_group;
    loop_defer_free(group->loop, &group->garbage);
}

int zwatch_create(struct loop *loop, void *socket, zwatch_fn fn, void *arg,
                  struct zwatch **ret_watch)
{
    struct group *group;
    int fd, r;
    size_t size = sizeof(fd);

    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) < 0)
        return ERR_SYSTEM;
    r = get_group(loop, &group);
    if (r < 0)
        return r;

    struct zwatch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        r = ERR_NO_MEMORY;
        goto fail;
    }
    *watch = (struct zwatch){.group = group, .socket = socket, .fn = fn, .arg = arg};
    r = loop_io_add(loop, fd, EPOLLIN, on_alarm, watch, &watch->io);
    if (r < 0)
        goto fail;
    /* Before the others: a watch made in a callback is looked at from the next turn on. */
    watch->next = group->watches;
    if (watch->next != NULL)
        watch->next->pprev = &watch->next;
    watch->pprev = &group->watches;
    group->watches = watch;
    *ret_watch = watch;
    return 0;

fail:
    free(watch);
    drop_group(group);
    return r;
}

void zwatch_tells(struct zwatch *watch)
{
    watch->tells = true;
}

void zwatch_sent(struct zwatch *watch)
{
    watch->quiet = false;
}

/* Such a receive looks into the mailbox as the question does, and leaves it asleep. */
void zwatch_drained(struct zwatch *watch)
{
    watch->quiet = watch->tells;
}

void zwatch_destroy(struct zwatch *watch)
{
    int saved = errno;

    if (watch == NULL)
        return;
    struct group *group = watch->group;
    loop_io_remove(group->loop, watch->io);
    if (group->cursor == watch)
        group->cursor = watch->next;
    *watch->pprev = watch->next;
    if (watch->next != NULL)
        watch->next->pprev = watch->pprev;
    /* Its own callback may be running. */
    watch->garbage.destroy = on_free_watch;
    loop_defer_free(group->loop, &watch->garbage);
    drop_group(group);
    errno = saved;
}
