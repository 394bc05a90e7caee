/* auto - scope-bound release for start-up, store, tool and test code.
 * On hot paths a single `fail:` label is used instead. */
#ifndef BECKON_COMMON_AUTO_H
#define BECKON_COMMON_AUTO_H

#include <stdlib.h>
#include <unistd.h>

static inline void auto_free(void *pp)
{
    free(*(void **)pp);
}

static inline void auto_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define AUTO_FREE __attribute__((cleanup(auto_free)))
#define AUTO_CLOSE __attribute__((cleanup(auto_close)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that embeds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
