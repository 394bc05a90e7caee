/* One thread serves tens of thousands of sockets; whatever order callbacks run in, none may see
 * freed memory and none may starve the others. Three rules give that: the order of a turn is fixed
 * (loop.h), an event is matched to its source by slot and generation when it is dispatched, and
 * memory is given back only at the end of the turn.
 *
 * Cost: one epoll_wait a turn, two clock reads after it and one before (both served without a
 * system call on Linux), and nothing per idle source. The source table grows by doubling and its
 * slots are reused; a slot's generation rises each time it is freed. */
#include "common/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Events taken from one wait: timers and posted work come round at least this often, and the
 * array (6 KiB) stays in the first-level cache. */
#define EVENTS_PER_WAIT 512
/* Turns that may put off what they send. A turn of a busy process takes some 100 us: together they
 * are below what a wake-up of whoever waits for it can take. */
#define MORE_TURNS_MAX 4
#define HOOKS_MAX 8 /* as loop.h says; a process has a handful of batching modules */
#define SOURCES_MIN 64
/* Signals read at one wake-up: more wait for the next turn. */
#define SIGNALS_PER_WAKE 8
#define SIGNAL_COUNT 65 /* Linux numbers them from 1 to 64 */

#define NO_SLOT UINT32_MAX

struct source {
    loop_io_fn fn; /* NULL: the slot is free */
    void *arg;
    uint32_t generation; /* never 0, so that an id never is */
    uint32_t events;
    int fd;
    uint32_t next_free; /* NO_SLOT at the end of the free list */
};
/* The table may be twice as large as what is in it. */
_Static_assert(sizeof(struct source) <= 32, "struct source is over its budget");

struct loop {
    int epoll_fd, signal_fd;
    bool stopping;
    uint64_t now_ms, wall_ms;
    uint64_t due_ms; /* when the wait under way ends at the latest */
    struct {
        loop_stall_fn fn; /* NULL: nobody watches */
        void *arg;
        uint64_t min_ms;
    } stall;
    struct source *sources;
    uint32_t source_cap, first_free;
    struct loop_task *posted, **posted_tail; /* oldest first */
    struct loop_garbage *garbage;
    struct {
        loop_fn fn;
        void *arg;
    } hooks[HOOKS_MAX];
    unsigned hook_count;
    struct {
        loop_prepare_fn fn; /* NULL: free */
        void *arg;
    } prepare[HOOKS_MAX];
    int found; /* events that loop_more has seen; -1: it has not looked */
    unsigned more_turns;
    sigset_t signals;
    struct {
        loop_signal_fn fn;
        void *arg;
    } on_signal[SIGNAL_COUNT];
    struct epoll_event events[EVENTS_PER_WAIT];
    struct timer_wheel wheel;
};

static uint64_t clock_ms(clockid_t id)
{
    struct timespec at;

    clock_gettime(id, &at); /* can't fail: both clocks exist on every Linux */
    return (uint64_t)at.tv_sec * 1000 + (uint64_t)at.tv_nsec / 1000000;
}

static void read_clocks(struct loop *loop)
{
    loop->now_ms = clock_ms(CLOCK_MONOTONIC);
    loop->wall_ms = clock_ms(CLOCK_REALTIME);
}

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        int saved = errno;
        free(loop);
        errno = saved;
        return NULL;
    }
    loop->signal_fd = -1;
    loop->found = -1;
    sigemptyset(&loop->signals);
    loop->first_free = NO_SLOT;
    loop->posted_tail = &loop->posted;
    read_clocks(loop);
    timer_wheel_init(&loop->wheel, loop->now_ms);
    return loop;
}

static void collect_garbage(struct loop *loop)
{
    while (loop->garbage != NULL) {
        struct loop_garbage *garbage = loop->garbage;
        loop->garbage = garbage->next;
        garbage->destroy(garbage); /* may defer what it owned */
    }
}

void loop_destroy(struct loop *loop)
{
    int saved = errno;

    if (loop == NULL)
        return;
    while (loop->posted != NULL) /* their owners may outlive the loop */
        loop_unpost(loop, loop->posted);
    collect_garbage(loop);
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    close(loop->epoll_fd);
    free(loop->sources);
    free(loop);
    errno = saved;
}

static loop_id make_id(uint32_t slot, uint32_t generation)
{
    return (uint64_t)generation << 32 | slot;
}

/* NULL for 0 and for what was removed. */
static struct source *find_source(const struct loop *loop, loop_id id)
{
    uint32_t slot = (uint32_t)id;

    if (slot >= loop->source_cap)
        return NULL;
    struct source *source = &loop->sources[slot];
    return source->fn != NULL && source->generation == id >> 32 ? source : NULL;
}

static int grow_sources(struct loop *loop)
{
    uint32_t cap = loop->source_cap == 0 ? SOURCES_MIN : loop->source_cap * 2;

    struct source *sources = reallocarray(loop->sources, cap, sizeof(*sources));
    if (sources == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t slot = loop->source_cap; slot < cap; slot++) {
        sources[slot] = (struct source){
            .generation = 1, .fd = -1, .next_free = slot + 1 < cap ? slot + 1 : NO_SLOT};
    }
    loop->first_free = loop->source_cap;
    loop->sources = sources;
    loop->source_cap = cap;
    return 0;
}

static int epoll_error(void)
{
    /* ENOSPC: fs.epoll.max_user_watches is used up. Both pass when others close something. */
    return errno == ENOMEM || errno == ENOSPC ? ERR_NO_MEMORY : ERR_SYSTEM;
}

int loop_io_add(struct loop *loop, int fd, uint32_t events, loop_io_fn fn, void *arg,
                loop_id *ret_id)
{
    assert(fn != NULL);

    if (loop->first_free == NO_SLOT) {
        int r = grow_sources(loop);
        if (r < 0)
            return r;
    }

    uint32_t slot = loop->first_free;
    struct source *source = &loop->sources[slot];
    loop_id id = make_id(slot, source->generation);
    struct epoll_event event = {.events = events, .data.u64 = id};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return epoll_error();
    loop->first_free = source->next_free;
    source->fn = fn;
    source->arg = arg;
    source->fd = fd;
    source->events = events;
    *ret_id = id;
    return 0;
}

int loop_io_set(struct loop *loop, loop_id id, uint32_t events)
{
    struct source *source = find_source(loop, id);

    if (source == NULL)
        return ERR_NOT_FOUND;
    if (source->events == events)
        return 0;
    struct epoll_event event = {.events = events, .data.u64 = id};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
        return epoll_error();
    source->events = events;
    return 0;
}

void loop_io_remove(struct loop *loop, loop_id id)
{
    const struct source *source = find_source(loop, id);

    if (source == NULL)
        return;
    int r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    assert(r == 0); /* else the owner closed the descriptor first */
    (void)r;        /* without asserts */
    loop_io_forget(loop, id);
}

void loop_io_forget(struct loop *loop, loop_id id)
{
    struct source *source = find_source(loop, id);

    if (source == NULL)
        return;
    source->fn = NULL;
    source->arg = NULL;
    source->fd = -1;
    if (++source->generation == 0)
        source->generation = 1;
    source->next_free = loop->first_free;
    loop->first_free = (uint32_t)id;
}

void loop_timer_add(struct loop *loop, struct timer *timer, uint64_t delay_ms)
{
    uint64_t due_ms;

    if (__builtin_add_overflow(loop->now_ms, delay_ms, &due_ms))
        due_ms = UINT64_MAX;
    timer_wheel_add(&loop->wheel, timer, due_ms);
}

void loop_timer_cancel(struct loop *loop, struct timer *timer)
{
    timer_wheel_cancel(&loop->wheel, timer);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    if (task->pprev != NULL)
        return;
    task->next = NULL;
    task->pprev = loop->posted_tail;
    *loop->posted_tail = task;
    loop->posted_tail = &task->next;
}

void loop_unpost(struct loop *loop, struct loop_task *task)
{
    if (task->pprev == NULL)
        return;
    *task->pprev = task->next;
    if (task->next != NULL)
        task->next->pprev = task->pprev;
    else if (loop->posted_tail == &task->next) /* not so in the list that run_posted works on */
        loop->posted_tail = task->pprev;
    task->next = NULL;
    task->pprev = NULL;
}

static void run_posted(struct loop *loop)
{
    struct loop_task *running = loop->posted;

    if (running == NULL)
        return;
    /* What they post is another list: it runs in the next turn, or two could post each other for
     * ever while sockets wait. */
    running->pprev = &running;
    loop->posted = NULL;
    loop->posted_tail = &loop->posted;
    while (running != NULL) {
        struct loop_task *task = running;
        loop_unpost(loop, task);
        task->fn(task->arg);
    }
}

void loop_defer_free(struct loop *loop, struct loop_garbage *garbage)
{
    garbage->next = loop->garbage;
    loop->garbage = garbage;
}

int loop_hook_add(struct loop *loop, loop_fn fn, void *arg)
{
    if (loop->hook_count == HOOKS_MAX)
        return ERR_FULL;
    loop->hooks[loop->hook_count].fn = fn;
    loop->hooks[loop->hook_count].arg = arg;
    loop->hook_count++;
    return 0;
}

int loop_prepare_add(struct loop *loop, loop_prepare_fn fn, void *arg)
{
    for (unsigned i = 0; i < HOOKS_MAX; i++) {
        if (loop->prepare[i].fn == NULL) {
            loop->prepare[i].fn = fn;
            loop->prepare[i].arg = arg;
            return 0;
        }
    }
    return ERR_FULL;
}

void loop_prepare_remove(struct loop *loop, loop_prepare_fn fn, void *arg)
{
    for (unsigned i = 0; i < HOOKS_MAX; i++) {
        if (loop->prepare[i].fn == fn && loop->prepare[i].arg == arg)
            loop->prepare[i].fn = NULL;
    }
}

static void on_signal_readable(void *arg, uint32_t events)
{
    struct loop *loop = arg;
    struct signalfd_siginfo infos[SIGNALS_PER_WAKE];

    (void)events; /* a signalfd is readable or nothing */
    ssize_t got = read(loop->signal_fd, infos, sizeof(infos));
    if (got < 0) {
        assert(errno == EAGAIN || errno == EINTR); /* level-triggered: we are woken again */
        return;
    }
    for (size_t i = 0; i < (size_t)got / sizeof(infos[0]); i++) {
        uint32_t signo = infos[i].ssi_signo;
        if (signo < SIGNAL_COUNT && loop->on_signal[signo].fn != NULL)
            loop->on_signal[signo].fn(loop->on_signal[signo].arg, (int)signo);
    }
}

int loop_signal_add(struct loop *loop, int signo, loop_signal_fn fn, void *arg)
{
    sigset_t signals = loop->signals;

    if (signo <= 0 || signo >= SIGNAL_COUNT || sigaddset(&signals, signo) < 0)
        return ERR_INVALID;
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        return ERR_SYSTEM;
    int fd = signalfd(loop->signal_fd, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    if (loop->signal_fd < 0) {
        loop_id id; /* lives as long as the loop */
        int r = loop_io_add(loop, fd, EPOLLIN, on_signal_readable, loop, &id);
        if (r < 0) {
            close(fd);
            return r;
        }
        loop->signal_fd = fd;
    }
    loop->signals = signals;
    loop->on_signal[signo].fn = fn;
    loop->on_signal[signo].arg = arg;
    return 0;
}

void loop_stall_watch(struct loop *loop, uint64_t min_ms, loop_stall_fn fn, void *arg)
{
    loop->stall.min_ms = min_ms;
    loop->stall.fn = fn;
    loop->stall.arg = arg;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

uint64_t loop_wall_ms(const struct loop *loop)
{
    return loop->wall_ms;
}

uint64_t loop_wall_clock_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

bool loop_more(struct loop *loop)
{
    if (loop->more_turns == MORE_TURNS_MAX || loop->stopping)
        return false;
    if (loop->found < 0)
        loop->found = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_WAIT, 0);
    return loop->found > 0;
}

/* Whether this turn has put something off. */
static void count_more_turns(struct loop *loop)
{
    if (loop->found > 0 && loop->more_turns < MORE_TURNS_MAX)
        loop->more_turns++;
    else
        loop->more_turns = 0;
}

/* How long this turn may sleep. All prepare hooks run, whatever the others say. */
static int wait_ms(struct loop *loop, uint64_t max_wait_ms)
{
    bool work = false;

    for (unsigned i = 0; i < HOOKS_MAX; i++) {
        if (loop->prepare[i].fn != NULL && loop->prepare[i].fn(loop->prepare[i].arg))
            work = true;
    }
    /* Not a wait: whatever this turn's callbacks took, descriptors should have been looked at. */
    loop->due_ms = loop->now_ms;
    if (work || loop->posted != NULL || loop->stopping || loop->found > 0)
        return 0;
    /* INT_MAX is epoll_wait's limit: an idle process wakes every 24 days. The clock is read again
     * because this turn's callbacks took time, which must not be slept twice. */
    uint64_t max_ms = max_wait_ms < INT_MAX ? max_wait_ms : INT_MAX;
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    uint32_t sleep_ms = (uint32_t)timer_wheel_wait(&loop->wheel, now_ms, max_ms);

    if (sleep_ms > 0)
        loop->due_ms = now_ms + sleep_ms;
    return (int)sleep_ms;
}

static int wait_and_dispatch(struct loop *loop, uint64_t max_wait_ms)
{
    int timeout_ms = wait_ms(loop, max_wait_ms), count = loop->found;

    loop->found = -1;
    if (count <= 0)
        count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_WAIT, timeout_ms);
    read_clocks(loop);
    if (loop->stall.fn != NULL && loop->now_ms >= loop->due_ms + loop->stall.min_ms)
        loop->stall.fn(loop->stall.arg, loop->now_ms - loop->due_ms);
    if (count < 0)
        return errno == EINTR ? 0 : ERR_SYSTEM;
    for (int i = 0; i < count; i++) {
        /* Looked up one by one: a callback may remove any source and add another in its slot. */
        const struct source *source = find_source(loop, loop->events[i].data.u64);
        if (source != NULL)
            source->fn(source->arg, loop->events[i].events);
    }
    return 0;
}

int loop_turn(struct loop *loop, uint64_t max_wait_ms)
{
    int r = wait_and_dispatch(loop, max_wait_ms);

    if (r < 0)
        return r;
    timer_wheel_advance(&loop->wheel, loop->now_ms);
    run_posted(loop);
    for (unsigned i = 0; i < loop->hook_count; i++)
        loop->hooks[i].fn(loop->hooks[i].arg);
    count_more_turns(loop);
    collect_garbage(loop);
    return 0;
}

int loop_run(struct loop *loop)
{
    read_clocks(loop); /* what came before was not a turn */
    while (!loop->stopping) {
        int r = loop_turn(loop, UINT64_MAX);
        if (r < 0)
            return r;
    }
    loop->stopping = false; /* it may be run again */
    return 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}
