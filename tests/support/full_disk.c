/* full_disk - a library to preload: a disk that is full when a file says so.
 *
 * Problem: a database must run out of space and get it back, on machines where tests may not mount
 * a small disk. Method: while the file BECKON_TEST_FULL begins with a byte that is not 0 (it is
 * mapped, so that one write is known to all processes), no file below BECKON_TEST_DISK grows: what
 * would need more space fails with ENOSPC, what lies within a file is written, as on a full disk
 * that does not copy on write. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PRELOADED __attribute__((visibility("default")))

static const volatile uint8_t *full;
static const char *disk; /* a copy: PostgreSQL writes its title over the environment */

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("BECKON_TEST_FULL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    disk = getenv("BECKON_TEST_DISK") ? strdup(getenv("BECKON_TEST_DISK")) : NULL;
    if (at == MAP_FAILED || !disk)
        abort(); /* a test on a disk with room would prove nothing */
    full = at;
}

static int on_the_disk(int fd)
{
    char link[64], path[PATH_MAX];
    ssize_t len;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof(path) - 1);
    if (len < 0)
        return 0;
    path[len] = '\0';
    return strncmp(path, disk, strlen(disk)) == 0;
}

/* The file would have to be longer than it is. */
static int no_room(int fd, off_t end)
{
    struct stat st;

    if (!full || !*full || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || end <= st.st_size ||
        !on_the_disk(fd))
        return 0;
    errno = ENOSPC;
    return 1;
}

PRELOADED ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pwrite");
    return no_room(fd, at + (off_t)len) ? -1 : real(fd, data, len, at);
}

PRELOADED ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    off_t end = at;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pwritev");
    for (int i = 0; i < count; i++)
        end += (off_t)parts[i].iov_len;
    return no_room(fd, end) ? -1 : real(fd, parts, count, at);
}

PRELOADED ssize_t write(int fd, const void *data, size_t len)
{
    static ssize_t (*real)(int, const void *, size_t);
    off_t at;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "write");
    if (full && *full) {
        at = lseek(fd, 0, SEEK_CUR);
        if (at >= 0 && no_room(fd, at + (off_t)len))
            return -1;
    }
    return real(fd, data, len);
}

PRELOADED int posix_fallocate(int fd, off_t at, off_t len)
{
    static int (*real)(int, off_t, off_t);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "posix_fallocate");
    return no_room(fd, at + len) ? ENOSPC : real(fd, at, len);
}
