/* outq - the bytes one client still has to be sent.
 *
 * Packets of one turn are appended to one buffer, which is written with one send at the end of the
 * turn: a system call per client and turn, not per packet. The buffer exists only while bytes wait.
 * The owner closes a client over its limit (outq_waiting before an append): a peer that stops
 * reading must not cost memory. Embedded in struct conn. Loop thread only. */
#ifndef BECKON_CONNECTOR_OUTQ_H
#define BECKON_CONNECTOR_OUTQ_H

#include "common/buf.h"

#include "connector/transport.h"

struct outq {
    uint8_t *data; /* NULL when empty */
    uint32_t len, cap;
    uint32_t sent; /* of len, already written */
};

void outq_fini(struct outq *q);
/* Lends the queue's memory as a buf to append packets to; give it back with outq_end before
 * anything else is done with the queue. */
struct buf outq_begin(const struct outq *q);
/* Takes buf back. 0; ERR_NO_MEMORY when an append failed (what was queued before stays). */
MUST_CHECK int outq_end(struct outq *q, struct buf *buf);

static inline uint32_t outq_waiting(const struct outq *q)
{
    return q->len - q->sent;
}

/* Writes once. Returns 0 when everything is written (the memory is freed), 1 while bytes remain,
 * or what the transport failed with. *ret_bytes: how many were written. */
MUST_CHECK int outq_write(struct outq *q, struct transport *t, size_t *ret_bytes);

#endif
