/* A connection has a keepalive, a device an ack deadline: hundreds of thousands of timers, nearly
 * all of which are moved or cancelled before they fire. A heap pays O(log n) and a cache miss a
 * level for each move; a wheel pays a few instructions.
 *
 * Method: read times as numbers in base 64. A timer lies at the level of the highest digit in which
 * its due time differs from now, in the slot that is its digit there. So within a level busy slots
 * are always beyond now's digit and in time order, everything at a level is due before anything at
 * the next one, and the earliest event is the lowest busy bit of the lowest busy level: advancing
 * jumps from event to event, whatever lies between. When now reaches a slot of a higher level, its
 * timers are spread over the levels below (a cascade): at most 5 times in a timer's life.
 *
 * A digit that differs and is later is never 0, so slot 0 of every level is free. Two have a use:
 *   level 0, slot 0      what is already due when it is added: fires at the next advance
 *   top level, slot 0    what differs above the top digit: looked at again when now gets there */
#include "common/timer_wheel.h"

#include <assert.h>
#include <stddef.h>

#define SLOT_MASK (TIMER_WHEEL_SLOTS - 1)
#define TOP_LEVEL (TIMER_WHEEL_LEVELS - 1)
#define TOP_BITS (TIMER_WHEEL_BITS * TIMER_WHEEL_LEVELS)

_Static_assert(TIMER_WHEEL_SLOTS == 64, "a level's slots are the bits of one busy mask");
_Static_assert(sizeof(struct timer) == 32, "a connection's memory budget counts on it");

static void list_init(struct timer *head)
{
    head->next = head->prev = head;
}

static void list_append(struct timer *head, struct timer *timer)
{
    timer->next = head;
    timer->prev = head->prev;
    head->prev->next = timer;
    head->prev = timer;
}

/* Moves all of from to the empty head `to`. */
static void list_move(struct timer *to, struct timer *from)
{
    list_init(to);
    if (from->next == from)
        return;
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct timer_wheel){.now_ms = now_ms};
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < TIMER_WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

void timer_init(struct timer *timer, timer_fn fn)
{
    *timer = (struct timer){.fn = fn};
}

bool timer_armed(const struct timer *timer)
{
    return timer->next != NULL;
}

/* Where a timer due then belongs now. */
static void place(const struct timer_wheel *wheel, uint64_t due_ms, unsigned *ret_level,
                  unsigned *ret_slot)
{
    unsigned level = 0, slot = 0;

    if (due_ms > wheel->now_ms) {
        unsigned highest_bit = 63 - (unsigned)__builtin_clzll(due_ms ^ wheel->now_ms);
        level = highest_bit / TIMER_WHEEL_BITS;
        if (level > TOP_LEVEL)
            level = TOP_LEVEL;
        else
            slot = (unsigned)(due_ms >> (level * TIMER_WHEEL_BITS)) & SLOT_MASK;
    }
    *ret_level = level;
    *ret_slot = slot;
}

static void link_timer(struct timer_wheel *wheel, struct timer *timer)
{
    unsigned level, slot;

    place(wheel, timer->due_ms, &level, &slot);
    list_append(&wheel->slots[level][slot], timer);
    wheel->busy[level] |= UINT64_C(1) << slot;
}

static void unlink_timer(struct timer_wheel *wheel, struct timer *timer)
{
    struct timer *neighbour = timer->next;
    uintptr_t offset = (uintptr_t)neighbour - (uintptr_t)wheel->slots;

    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
    /* Alone with its neighbour, which then is the head: of a slot, or of what advance is firing. */
    if (neighbour->next == neighbour && offset < sizeof(wheel->slots)) {
        size_t index = offset / sizeof(struct timer);
        wheel->busy[index / TIMER_WHEEL_SLOTS] &= ~(UINT64_C(1) << (index % TIMER_WHEEL_SLOTS));
    }
}

void timer_wheel_add(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    assert(timer->fn != NULL);

    if (timer_armed(timer))
        unlink_timer(wheel, timer);
    /* What is overdue is due now, so that the overdue list is in order without sorting. */
    timer->due_ms = due_ms < wheel->now_ms ? wheel->now_ms : due_ms;
    link_timer(wheel, timer);
}

void timer_wheel_cancel(struct timer_wheel *wheel, struct timer *timer)
{
    if (timer_armed(timer))
        unlink_timer(wheel, timer);
}

/* The next slot to be looked at and when. False when nothing is ahead (overdue timers are not). */
static bool next_event(const struct timer_wheel *wheel, unsigned *ret_level, unsigned *ret_slot,
                       uint64_t *ret_at_ms)
{
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        uint64_t ahead = wheel->busy[level] & ~UINT64_C(1);
        if (ahead == 0)
            continue;
        unsigned shift = level * TIMER_WHEEL_BITS;
        unsigned slot = (unsigned)__builtin_ctzll(ahead);
        uint64_t above = wheel->now_ms >> (shift + TIMER_WHEEL_BITS);
        *ret_level = level;
        *ret_slot = slot;
        *ret_at_ms = (above << TIMER_WHEEL_BITS | slot) << shift;
        return true;
    }
    if ((wheel->busy[TOP_LEVEL] & 1) == 0)
        return false;
    *ret_level = TOP_LEVEL;
    *ret_slot = 0;
    *ret_at_ms = ((wheel->now_ms >> TOP_BITS) + 1) << TOP_BITS;
    return true;
}

/* Empties a slot: what is due goes to expired, the rest to where it belongs now. */
static void empty_slot(struct timer_wheel *wheel, unsigned level, unsigned slot,
                       struct timer *expired)
{
    struct timer moving;

    list_move(&moving, &wheel->slots[level][slot]);
    wheel->busy[level] &= ~(UINT64_C(1) << slot);
    if (level == 0) {
        list_move(expired, &moving);
        return;
    }
    list_init(expired);
    while (moving.next != &moving) {
        struct timer *timer = moving.next;
        unlink_timer(wheel, timer);
        if (timer->due_ms <= wheel->now_ms)
            list_append(expired, timer);
        else
            link_timer(wheel, timer);
    }
}

/* Each timer is off the list before its callback runs, which may free it or cancel the others. */
static unsigned fire(struct timer_wheel *wheel, struct timer *expired)
{
    unsigned fired = 0;

    while (expired->next != expired) {
        struct timer *timer = expired->next;
        unlink_timer(wheel, timer);
        timer->fn(timer);
        fired++;
    }
    return fired;
}

unsigned timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms)
{
    struct timer expired;
    unsigned fired, level, slot;
    uint64_t at_ms;

    /* A clock that went back only finds what is overdue. */
    if (now_ms < wheel->now_ms)
        now_ms = wheel->now_ms;
    /* Once, before the first tick: what callbacks add to it waits for the next call. */
    empty_slot(wheel, 0, 0, &expired);
    fired = fire(wheel, &expired);
    while (next_event(wheel, &level, &slot, &at_ms) && at_ms <= now_ms) {
        wheel->now_ms = at_ms;
        empty_slot(wheel, level, slot, &expired);
        fired += fire(wheel, &expired);
    }
    wheel->now_ms = now_ms;
    return fired;
}

uint64_t timer_wheel_wait(const struct timer_wheel *wheel, uint64_t now_ms, uint64_t max_ms)
{
    unsigned level, slot;
    uint64_t at_ms;

    if ((wheel->busy[0] & 1) != 0)
        return 0;
    if (!next_event(wheel, &level, &slot, &at_ms))
        return max_ms;
    if (at_ms <= now_ms)
        return 0;
    return at_ms - now_ms < max_ms ? at_ms - now_ms : max_ms;
}

static bool slot_valid(const struct timer_wheel *wheel, unsigned level, unsigned slot)
{
    const struct timer *head = &wheel->slots[level][slot];
    const struct timer *previous = head;
    unsigned right_level, right_slot;

    /* A list that runs into itself has a node with two predecessors, and prev names only one. */
    for (const struct timer *timer = head->next; timer != head; timer = timer->next) {
        if (timer == NULL || timer->prev != previous || timer->fn == NULL)
            return false;
        place(wheel, timer->due_ms, &right_level, &right_slot);
        if (right_level != level || right_slot != slot)
            return false;
        previous = timer;
    }
    bool busy = (wheel->busy[level] >> slot & 1) != 0;
    return head->prev == previous && busy == (head->next != head);
}

bool timer_wheel_validate(const struct timer_wheel *wheel)
{
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < TIMER_WHEEL_SLOTS; slot++) {
            if (!slot_valid(wheel, level, slot))
                return false;
        }
    }
    return true;
}
