/* timer_wheel - hierarchical timer wheel, one-millisecond ticks, O(1) add, cancel and expire.
 *
 * Owned by one loop; that loop's thread only. The clock is the caller's: tests advance it by hand.
 * Nodes are embedded in their owners and hold the slot they are linked in implicitly (doubly
 * linked), so changing an owner's fields never unlinks from a wrong list. A timer never fires
 * early; it may fire late by as long as the caller sleeps. Re-adding an armed timer moves it. */
#ifndef BECKON_COMMON_TIMER_WHEEL_H
#define BECKON_COMMON_TIMER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

struct timer;
typedef void (*timer_fn)(struct timer *timer);

/* Embedded; owner found with CONTAINER_OF. 32 bytes: a connection pays for one of these. */
struct timer {
    struct timer *next, *prev; /* NULL when not armed */
    uint64_t due_ms;
    timer_fn fn;
};

#define TIMER_WHEEL_BITS 6 /* 64 slots a level: one 64-bit mask finds the next busy one */
#define TIMER_WHEEL_SLOTS (1u << TIMER_WHEEL_BITS)
#define TIMER_WHEEL_LEVELS 6 /* 64^6 ms, over two years; later timers wait in the last slot */

struct timer_wheel {
    uint64_t now_ms; /* all timers due at or before it have fired */
    uint64_t busy[TIMER_WHEEL_LEVELS];
    struct timer slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS]; /* list heads */
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);
void timer_init(struct timer *timer, timer_fn fn);
/* Arms (or moves) timer. A due time not after now fires at the next advance. */
void timer_wheel_add(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);
/* No effect when not armed. */
void timer_wheel_cancel(struct timer_wheel *wheel, struct timer *timer);
bool timer_armed(const struct timer *timer);
/* Fires everything due at or before now_ms, in order of due time to the millisecond. Callbacks may
 * add and cancel any timer; one they add that is already due fires in this same call only if its
 * due time is after the tick being fired. Returns how many fired. */
unsigned timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms);
/* Milliseconds from now_ms until advance may have work, at most max_ms (may be early because of a
 * cascade, never late). */
uint64_t timer_wheel_wait(const struct timer_wheel *wheel, uint64_t now_ms, uint64_t max_ms);
/* Checks every invariant (links, masks, slots against due times); false when broken. For tests. */
bool timer_wheel_validate(const struct timer_wheel *wheel);

#endif
