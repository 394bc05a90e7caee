#include "bench/load/pace.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/engine.h"

#define NS_PER_S 1000000000ull

uint64_t pace_due_ns(const struct pace *pace, uint64_t number)
{
    return pace->start_ns + number / pace->rate * NS_PER_S +
           number % pace->rate * NS_PER_S / pace->rate;
}

static int arm(struct pace *pace)
{
    uint64_t due_ns = pace_due_ns(pace, pace->count);
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(due_ns / NS_PER_S), .tv_nsec = (long)(due_ns % NS_PER_S)}};

    return timerfd_settime(pace->fd, TFD_TIMER_ABSTIME, &at, NULL) < 0 ? ERR_SYSTEM : 0;
}

static void on_timer(void *arg, uint32_t events)
{
    struct pace *pace = arg;
    uint64_t now_ns = engine_now_ns(), due_ns, expirations;

    (void)events;
    /* Only to make it quiet: the clock says what is due. */
    IGNORE_RESULT(read(pace->fd, &expirations, sizeof(expirations)));
    while (pace->fd >= 0 && (due_ns = pace_due_ns(pace, pace->count)) <= now_ns)
        pace->due(pace->arg, pace->count++, due_ns);
    if (pace->fd >= 0 && arm(pace) < 0)
        pace_stop(pace);
}

int pace_start(struct pace *pace, struct loop *loop, uint32_t rate,
               void (*due)(void *arg, uint64_t number, uint64_t due_ns), void *arg)
{
    int r;

    *pace = (struct pace){.loop = loop, .rate = rate, .due = due, .arg = arg};
    pace->start_ns = engine_now_ns();
    pace->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (pace->fd < 0)
        return ERR_SYSTEM;
    r = loop_io_add(loop, pace->fd, EPOLLIN, on_timer, pace, &pace->io);
    if (r == 0)
        r = arm(pace);
    if (r < 0)
        pace_stop(pace);
    return r;
}

void pace_stop(struct pace *pace)
{
    if (pace->loop == NULL || pace->fd < 0)
        return;
    loop_io_remove(pace->loop, pace->io);
    close(pace->fd);
    pace->fd = -1;
}
