/* loop - the one event loop of every Beckon process: epoll, timer wheel, posted work.
 *
 * A turn, always in this order:
 *   1. wait    (not at all when work is posted or a prepare hook says there is more)
 *   2. I/O     callbacks of ready descriptors
 *   3. timers  everything due
 *   4. posted  what was posted before or during this turn up to here, each once
 *   5. hooks   end-of-turn hooks in order of registration: here batches are sent
 *   6. free    what was closed in this turn returns to its allocator
 * Closed is not freed: a descriptor is known to epoll by slot number and generation, never by
 * pointer, so an event for a source removed earlier in the same turn is dropped.
 *
 * One thread. Nothing here locks. */
#ifndef BECKON_COMMON_LOOP_H
#define BECKON_COMMON_LOOP_H

#include "common/err.h"
#include "common/timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLRDHUP as epoll reported them. */
typedef void (*loop_io_fn)(void *arg, uint32_t events);
typedef void (*loop_fn)(void *arg);
typedef void (*loop_signal_fn)(void *arg, int signo);
typedef void (*loop_stall_fn)(void *arg, uint64_t stalled_ms);
/* Runs before the wait. True: do not sleep, there is work already (its work is done in the hook).
 */
typedef bool (*loop_prepare_fn)(void *arg);

/* 0 is never a valid id. */
typedef uint64_t loop_id;

/* Returns owned, or NULL (errno set). */
struct loop *loop_create(void);
void loop_destroy(struct loop *loop);

/* Level-triggered. The descriptor stays the caller's; remove it before closing it. */
MUST_CHECK int loop_io_add(struct loop *loop, int fd, uint32_t events, loop_io_fn fn, void *arg,
                           loop_id *ret_id);
/* Replaces the event mask; a no-op when unchanged (no system call). */
MUST_CHECK int loop_io_set(struct loop *loop, loop_id id, uint32_t events);
/* No callback for id after this returns. id 0 and stale ids are ignored. */
void loop_io_remove(struct loop *loop, loop_id id);
/* The same for a descriptor that the caller closes next and that is nobody else's (no copy of it,
 * no child that has it): closing takes it out of epoll, so this makes no system call. */
void loop_io_forget(struct loop *loop, loop_id id);

/* fn runs before the I/O and the timers of a turn that begins at least min_ms later than the loop
 * meant to: the process stood still (SIGSTOP, a starved machine) or a callback took that long, and
 * what descriptors hold was not looked at meanwhile. stalled_ms: how much later. One a loop; fn
 * NULL ends it. */
void loop_stall_watch(struct loop *loop, uint64_t min_ms, loop_stall_fn fn, void *arg);

/* The wheel's timers run on loop_now_ms. */
void loop_timer_add(struct loop *loop, struct timer *timer, uint64_t delay_ms);
void loop_timer_cancel(struct loop *loop, struct timer *timer);

/* Runs fn once in step 4 of this turn (or of the next one when called in step 4 or later).
 * fn and arg must stay valid: owners that may die first use a loop_task. */
struct loop_task {
    struct loop_task *next, **pprev; /* NULL when not posted */
    loop_fn fn;
    void *arg;
};
/* No effect when already posted. Embedded in its owner, no allocation. */
void loop_post(struct loop *loop, struct loop_task *task);
void loop_unpost(struct loop *loop, struct loop_task *task);

/* Frees in step 6: destroy(object). Embedded link, no allocation. */
struct loop_garbage {
    struct loop_garbage *next;
    void (*destroy)(struct loop_garbage *garbage);
};
void loop_defer_free(struct loop *loop, struct loop_garbage *garbage);

/* Hooks live as long as the loop, or until they are removed. At most 8 of each; ERR_FULL. */
MUST_CHECK int loop_hook_add(struct loop *loop, loop_fn fn, void *arg);
MUST_CHECK int loop_prepare_add(struct loop *loop, loop_prepare_fn fn, void *arg);
/* No effect when it was not added. A hook may remove itself. */
void loop_prepare_remove(struct loop *loop, loop_prepare_fn fn, void *arg);

/* For end-of-turn hooks with something to send: true when descriptors are ready already, so that
 * what the next turn has to say can go with it; the hook runs again at the end of that one. False
 * after a few turns in a row, however much is ready, and in the last one. At most one system call a
 * turn, and none more when it is true: the next turn begins with what was found. */
bool loop_more(struct loop *loop);

/* Blocks signo for the process and delivers it as a callback in step 2 (signalfd). */
MUST_CHECK int loop_signal_add(struct loop *loop, int signo, loop_signal_fn fn, void *arg);

/* Monotonic milliseconds, read once a turn after the wait. */
uint64_t loop_now_ms(const struct loop *loop);
/* Wall clock, milliseconds since the epoch, read once a turn after the wait. */
uint64_t loop_wall_ms(const struct loop *loop);
/* The wall clock now, by a system call: to hold a moment that somebody else took during this turn
 * against. */
uint64_t loop_wall_clock_ms(void);

/* Runs turns until loop_stop; the turn that stops is finished. 0 or ERR_SYSTEM. */
MUST_CHECK int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One turn that waits at most max_wait_ms. For tests and tools. 0 or ERR_SYSTEM. */
MUST_CHECK int loop_turn(struct loop *loop, uint64_t max_wait_ms);

#endif
