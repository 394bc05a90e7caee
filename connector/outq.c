/* outq - one growing buffer per client that has something to be sent.
 *
 * Encoders need a struct buf (32 bytes); an idle connection pays 24 here, so the buf is made on the
 * stack for the time of an append. After a partial write the rest stays where it is and `sent`
 * moves; the front is dropped (one move) only when more is appended behind it and at least half
 * of the buffer is dead, so each byte is moved at most once on average. */
#include "connector/outq.h"

#include <assert.h>
#include <stdlib.h>

/* First allocation: holds the answers of an ordinary turn, and malloc serves it from a
 * thread-local free list. */
#define FIRST_BYTES 512

void outq_fini(struct outq *q)
{
    free(q->data);
    *q = (struct outq){0};
}

struct buf outq_begin(const struct outq *q)
{
    struct buf buf = {.data = q->data, .len = q->len, .cap = q->cap};

    if (buf.data == NULL) {
        buf.data = malloc(FIRST_BYTES);
        buf.cap = buf.data != NULL ? FIRST_BYTES : 0;
    }
    return buf;
}

int outq_end(struct outq *q, struct buf *buf)
{
    uint32_t len = q->len;

    assert(buf->len >= q->len && buf->cap <= UINT32_MAX);
    q->data = buf->data;
    q->cap = (uint32_t)buf->cap;
    q->len = buf_ok(buf) ? (uint32_t)buf->len : len;
    if (q->sent > 0 && q->sent >= q->len / 2) {
        memmove(q->data, q->data + q->sent, q->len - q->sent);
        q->len -= q->sent;
        q->sent = 0;
    }
    if (q->len == 0) {
        free(q->data);
        *q = (struct outq){0};
    }
    return buf_ok(buf) ? 0 : ERR_NO_MEMORY;
}

int outq_write(struct outq *q, struct transport *t, size_t *ret_bytes)
{
    ssize_t n;

    *ret_bytes = 0;
    if (outq_waiting(q) == 0) {
        outq_fini(q);
        return 0;
    }
    n = t->ops->write(t, q->data + q->sent, outq_waiting(q));
    if (n == ERR_AGAIN)
        return 1;
    if (n < 0)
        return (int)n;
    *ret_bytes = (size_t)n;
    q->sent += (uint32_t)n;
    if (outq_waiting(q) > 0)
        return 1;
    outq_fini(q);
    return 0;
}
