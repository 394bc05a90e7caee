/* Encoders append many small fields whose total size is not known beforehand, and none of them has
 * a useful reaction to running out of memory. So capacity doubles (each byte is copied at most
 * twice on average) and failure sticks until the owner clears or releases the buf: a frame with a
 * hole in it can never look complete. */
#include "common/buf.h"

#include <stdlib.h>

/* First allocation: what most records of the wire and most MQTT packets fit in. */
#define BUF_MIN_CAP 128

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

static bool grow(struct buf *buf, size_t extra)
{
    size_t cap = buf->cap < BUF_MIN_CAP ? BUF_MIN_CAP : buf->cap;

    if (extra > SIZE_MAX / 2 - buf->len)
        return false;
    while (cap < buf->len + extra)
        cap *= 2; /* can't wrap: the sum is at most SIZE_MAX / 2 */

    uint8_t *data = realloc(buf->data, cap);
    if (data == NULL)
        return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

uint8_t *buf_reserve(struct buf *buf, size_t extra)
{
    if (buf->failed)
        return NULL;
    if ((buf->data == NULL || extra > buf->cap - buf->len) && !grow(buf, extra)) {
        buf->failed = true;
        return NULL;
    }
    return buf->data + buf->len;
}

void buf_put(struct buf *buf, const void *data, size_t len)
{
    if (len == 0) /* data may be NULL then, which memcpy must not be given */
        return;

    uint8_t *to = buf_reserve(buf, len);
    if (to == NULL)
        return;
    memcpy(to, data, len);
    buf->len += len;
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
    buf_put(buf, &value, 1);
}

/* Compilers turn each of these loops into one store. */
static void put_le(struct buf *buf, uint64_t value, unsigned size)
{
    uint8_t *to = buf_reserve(buf, size);

    if (to == NULL)
        return;
    for (unsigned i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * i));
    buf->len += size;
}

static void put_be(struct buf *buf, uint64_t value, unsigned size)
{
    uint8_t *to = buf_reserve(buf, size);

    if (to == NULL)
        return;
    for (unsigned i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    buf->len += size;
}

void buf_put_le16(struct buf *buf, uint16_t value)
{
    put_le(buf, value, 2);
}

void buf_put_le32(struct buf *buf, uint32_t value)
{
    put_le(buf, value, 4);
}

void buf_put_le64(struct buf *buf, uint64_t value)
{
    put_le(buf, value, 8);
}

void buf_put_be16(struct buf *buf, uint16_t value)
{
    put_be(buf, value, 2);
}

void buf_put_be32(struct buf *buf, uint32_t value)
{
    put_be(buf, value, 4);
}

void buf_put_be64(struct buf *buf, uint64_t value)
{
    put_be(buf, value, 8);
}
