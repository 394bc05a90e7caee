/* buf - a growable byte buffer that encoders append to.
 *
 * Out of memory is remembered (`failed`) and every later append is a no-op, so that an encoder
 * appends without checking and its caller looks once, with buf_ok, before it uses the bytes.
 * An empty buf owns no memory: idle owners call buf_release. No locking. */
#ifndef BECKON_COMMON_BUF_H
#define BECKON_COMMON_BUF_H

#include "common/bytes.h"

#include <stddef.h>

struct buf {
    uint8_t *data;
    size_t len, cap;
    bool failed;
};

static inline bool buf_ok(const struct buf *buf)
{
    return !buf->failed;
}

/* Frees the memory; the buf is empty and usable again. */
void buf_release(struct buf *buf);
/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *buf);
/* Room for `extra` more bytes; returns where they go, or NULL (and failed is set). The caller then
 * adds what it wrote to len. */
uint8_t *buf_reserve(struct buf *buf, size_t extra);
void buf_put(struct buf *buf, const void *data, size_t len);
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_le16(struct buf *buf, uint16_t value);
void buf_put_le32(struct buf *buf, uint32_t value);
void buf_put_le64(struct buf *buf, uint64_t value);
void buf_put_be16(struct buf *buf, uint16_t value);
void buf_put_be32(struct buf *buf, uint32_t value);
void buf_put_be64(struct buf *buf, uint64_t value);

#endif
