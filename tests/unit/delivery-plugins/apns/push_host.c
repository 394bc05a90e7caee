/* push_host - see the header. */
#include "push_host.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/auto.h"

#define START_MS 1000000
/* The clock's step while nothing happens: no timer is passed by more. */
#define STEP_MS 1000
/* Real time for a test to get on: a hang fails here and not in Check. */
#define REAL_MAX_S 30

struct push_timer {
    struct push_timer *next;
    struct push_host *owner;
    struct timer timer;
    uint64_t id;
    dp_timer_fn fn;
    void *arg;
};

static uint64_t host_now_ms(void *ctx)
{
    return ((struct push_host *)ctx)->wheel.now_ms;
}

static uint64_t host_wall_ms(void *ctx)
{
    struct push_host *h = ctx;

    return PUSH_WALL_MS + (h->wheel.now_ms - START_MS) + (uint64_t)h->wall_step_ms;
}

static void host_log(void *ctx, uint32_t level, const char *text)
{
    struct push_host *h = ctx;

    ck_assert_msg(!strstr(text, "bearer") && !strstr(text, "c0ffee"), "a token is logged: %s",
                  text);
    if (level != DP_LOG_ERROR)
        return;
    h->errors++;
    snprintf(h->last_error, sizeof(h->last_error), "%s", text);
}

static void host_count(void *ctx, const char *name, uint64_t delta)
{
    struct push_host *h = ctx;

    for (size_t i = 0; i < ARRAY_LEN(h->counters); i++) {
        if (h->counters[i].name[0] == '\0')
            snprintf(h->counters[i].name, sizeof(h->counters[i].name), "%s", name);
        if (strcmp(h->counters[i].name, name) == 0) {
            h->counters[i].value += delta;
            return;
        }
    }
}

static void host_complete(void *ctx, uint64_t id, const struct dp_outcome *outcome)
{
    struct push_host *h = ctx;
    struct push_outcome *o = &h->outcomes[h->outcome_count];

    ck_assert_uint_lt(h->outcome_count, PUSH_OUTCOMES_MAX);
    for (size_t i = 0; i < h->outcome_count; i++) {
        if (h->outcomes[i].id == id)
            ck_abort_msg("two outcomes for delivery %llu", (unsigned long long)id);
    }
    *o = (struct push_outcome){.id = id,
                               .kind = outcome->kind,
                               .retry_after_ms = outcome->retry_after_ms,
                               .gone_at_ms = outcome->gone_at_ms,
                               .at_ms = h->wheel.now_ms};
    snprintf(o->reason, sizeof(o->reason), "%s", outcome->reason ? outcome->reason : "");
    ck_assert(outcome->kind == DP_ACCEPTED || o->reason[0] != '\0');
    h->outcome_count++;
    if (h->on_outcome)
        h->on_outcome(h, o);
}

static void on_io(void *arg, uint32_t events)
{
    struct push_watch *w = arg;
    uint32_t ready = 0;

    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        ready |= DP_READABLE;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        ready |= DP_WRITABLE;
    w->owner->activity++;
    w->fn(w->arg, ready);
}

static int32_t host_watch(void *ctx, int fd, uint32_t events, dp_watch_fn fn, void *arg)
{
    struct push_host *h = ctx;
    uint32_t mask = (events & DP_READABLE ? EPOLLIN : 0u) | (events & DP_WRITABLE ? EPOLLOUT : 0u);
    struct push_watch *w = NULL, *empty = NULL;

    for (size_t i = 0; i < ARRAY_LEN(h->watches); i++) {
        if (h->watches[i].io != 0 && h->watches[i].fd == fd)
            w = &h->watches[i];
        else if (h->watches[i].io == 0 && !empty)
            empty = &h->watches[i];
    }
    if (mask == 0) {
        if (w) {
            loop_io_remove(h->loop, w->io);
            w->io = 0;
        }
        return 0;
    }
    if (w) {
        w->fn = fn;
        w->arg = arg;
        return loop_io_set(h->loop, w->io, mask) < 0 ? -1 : 0;
    }
    ck_assert_ptr_nonnull(empty);
    *empty = (struct push_watch){.owner = h, .fd = fd, .fn = fn, .arg = arg};
    return loop_io_add(h->loop, fd, mask, on_io, empty, &empty->io) < 0 ? -1 : 0;
}

static void unlink_timer(struct push_timer *t)
{
    struct push_timer **at = &t->owner->timers;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
}

static void on_timer(struct timer *timer)
{
    struct push_timer *t = CONTAINER_OF(timer, struct push_timer, timer);
    dp_timer_fn fn = t->fn;
    void *arg = t->arg;

    unlink_timer(t);
    free(t);
    fn(arg);
}

static uint64_t host_timer_start(void *ctx, uint64_t delay_ms, dp_timer_fn fn, void *arg)
{
    struct push_host *h = ctx;
    struct push_timer *t = calloc(1, sizeof(*t));

    ck_assert_ptr_nonnull(t);
    *t = (struct push_timer){
        .next = h->timers, .owner = h, .id = ++h->last_timer, .fn = fn, .arg = arg};
    h->timers = t;
    timer_init(&t->timer, on_timer);
    timer_wheel_add(&h->wheel, &t->timer, h->wheel.now_ms + delay_ms);
    return t->id;
}

static void host_timer_stop(void *ctx, uint64_t id)
{
    struct push_host *h = ctx;

    for (struct push_timer *t = h->timers; t; t = t->next) {
        if (t->id == id) {
            timer_wheel_cancel(&h->wheel, &t->timer);
            unlink_timer(t);
            free(t);
            return;
        }
    }
}

void push_host_init(struct push_host *h)
{
    memset(h, 0, sizeof(*h));
    h->host = (struct dp_host){.struct_size = sizeof(h->host),
                               .abi = DP_ABI,
                               .ctx = h,
                               .now_ms = host_now_ms,
                               .wall_ms = host_wall_ms,
                               .log = host_log,
                               .count = host_count,
                               .complete = host_complete,
                               .watch = host_watch,
                               .timer_start = host_timer_start,
                               .timer_stop = host_timer_stop};
    timer_wheel_init(&h->wheel, START_MS);
    h->loop = loop_create();
    ck_assert_ptr_nonnull(h->loop);
}

void push_host_close(struct push_host *h)
{
    if (h->instance)
        dp_plugin_query(DP_ABI)->close(h->instance);
    h->instance = NULL;
}

void push_host_fini(struct push_host *h)
{
    push_host_close(h);
    ck_assert_msg(!h->timers, "a timer is left");
    for (size_t i = 0; i < ARRAY_LEN(h->watches); i++)
        ck_assert_msg(h->watches[i].io == 0, "a watch is left");
    loop_destroy(h->loop);
}

int32_t push_host_open_with(struct push_host *h, const struct dp_setting *settings, size_t count)
{
    return dp_plugin_query(DP_ABI)->open(&h->host, settings, count, &h->instance, h->error,
                                         sizeof(h->error));
}

int32_t push_host_deliver_as(struct push_host *h, uint64_t id, const struct push_changes *c)
{
    const char *document =
        c->document ? c->document
                    : "{\"aps\":{\"alert\":\"hi\"},\"beckon\":{\"data\":{\"text\":\"hi\"}}}";
    struct dp_device device = {.struct_size = sizeof(device),
                               .state = DP_OFFLINE,
                               .user = "bob",
                               .device = "phone",
                               .push_provider = "apns",
                               .push_token = c->token ? c->token : "c0ffee00",
                               .push_topic = c->topic ? c->topic : "com.example.app",
                               .push_environment = c->environment ? c->environment : "production"};
    struct dp_message message = {.struct_size = sizeof(message),
                                 .flags = c->expires_at_ms ? DP_MESSAGE_HAS_EXPIRY : 0,
                                 .mid = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15},
                                 .from = "alice",
                                 .conversation = "u/alice",
                                 .expires_at_ms = c->expires_at_ms,
                                 .priority = c->priority ? c->priority : 10};
    struct dp_delivery delivery = {.struct_size = sizeof(delivery),
                                   .attempt = 1,
                                   .id = id,
                                   .deadline_ms = c->deadline_ms,
                                   .message = &message,
                                   .device = &device,
                                   .notification = document,
                                   .notification_size = strlen(document)};

    message.mid[15] = (uint8_t)id;
    return dp_plugin_query(DP_ABI)->deliver(h->instance, &delivery);
}

int32_t push_host_deliver(struct push_host *h, uint64_t id)
{
    return push_host_deliver_as(h, id, &(struct push_changes){0});
}

void push_host_cancel(struct push_host *h, uint64_t id)
{
    dp_plugin_query(DP_ABI)->cancel(h->instance, id);
}

/* I/O that is ready, or else the clock's next step, never beyond limit_ms. */
static void turn(struct push_host *h, uint64_t limit_ms)
{
    uint64_t before = h->activity;

    ck_assert_int_eq(loop_turn(h->loop, 1), 0);
    if (h->activity == before) {
        uint64_t wait_ms = timer_wheel_wait(&h->wheel, h->wheel.now_ms, STEP_MS);
        uint64_t to_ms = h->wheel.now_ms + (wait_ms ? wait_ms : 1);

        timer_wheel_advance(&h->wheel, to_ms < limit_ms ? to_ms : limit_ms);
    }
}

bool push_host_until(struct push_host *h, uint64_t max_ms, bool (*condition)(void *arg), void *arg)
{
    uint64_t limit_ms = h->wheel.now_ms + max_ms;
    time_t began = time(NULL);

    while (!condition(arg)) {
        ck_assert_msg(time(NULL) - began < REAL_MAX_S, "hangs");
        if (h->wheel.now_ms >= limit_ms)
            return false;
        turn(h, limit_ms);
    }
    return true;
}

struct awaited {
    const struct push_host *host;
    size_t outcomes;
};

static bool enough(void *arg)
{
    const struct awaited *a = arg;

    return a->host->outcome_count >= a->outcomes;
}

void push_host_await(struct push_host *h, size_t outcomes)
{
    struct awaited a = {.host = h, .outcomes = outcomes};

    ck_assert_msg(push_host_until(h, 120000, enough, &a), "%zu outcomes after two minutes, not %zu",
                  h->outcome_count, outcomes);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void push_host_pass(struct push_host *h, uint64_t ms)
{
    push_host_until(h, ms, never, NULL);
}

void push_host_skip(struct push_host *h, uint64_t ms)
{
    timer_wheel_advance(&h->wheel, h->wheel.now_ms + ms);
}

uint64_t push_host_counter(const struct push_host *h, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(h->counters); i++) {
        if (strcmp(h->counters[i].name, name) == 0)
            return h->counters[i].value;
    }
    return 0;
}

const struct push_outcome *push_host_outcome(const struct push_host *h, uint64_t id)
{
    for (size_t i = 0; i < h->outcome_count; i++) {
        if (h->outcomes[i].id == id)
            return &h->outcomes[i];
    }
    ck_abort_msg("delivery %llu has no outcome", (unsigned long long)id);
}
