/* moved_clock - a library to preload: the wall clock of a process, moved by what a file says.
 *
 * Problem: retention takes weeks, and the programs must not know that they are tested. Method: the
 * file BECKON_TEST_CLOCK holds seconds (int64_t) that are added to every wall clock; it is mapped,
 * so that moving all processes of a stack, PostgreSQL among them, is one write. Monotonic clocks
 * stay. Timers and deadlines go on as ever. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PRELOADED __attribute__((visibility("default")))

static const volatile int64_t *moved;

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("BECKON_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*moved), PROT_READ, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    if (at == MAP_FAILED)
        abort(); /* a test on the real clock would prove nothing */
    moved = at;
}

PRELOADED int clock_gettime(clockid_t clock, struct timespec *ts)
{
    static int (*real)(clockid_t, struct timespec *);
    int r;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    r = real(clock, ts);
    if (r == 0 && moved && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ts->tv_sec += *moved;
    return r;
}

PRELOADED int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
        return -1;
    *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
    return 0;
}

PRELOADED time_t time(time_t *ret_time)
{
    struct timespec ts = {0};

    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret_time)
        *ret_time = ts.tv_sec;
    return ts.tv_sec;
}
