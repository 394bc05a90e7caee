/* bytes - a borrowed run of bytes: not owned, not NUL-terminated.
 * Valid as long as what it points into; each function that returns one says how long that is. */
#ifndef BECKON_COMMON_BYTES_H
#define BECKON_COMMON_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* may be NULL when len is 0 */
    uint32_t len;
};

static inline struct bytes bytes_of(const void *data, uint32_t len)
{
    return (struct bytes){.data = data, .len = len};
}

static inline struct bytes bytes_of_string(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_equal_string(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_string(text));
}

/* For "%.*s". */
#define BYTES_FMT(b) (int)(b).len, (const char *)((b).len != 0 ? (b).data : (const uint8_t *)"")

#endif
