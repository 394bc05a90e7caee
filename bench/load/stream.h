/* stream - the bytes of one client, over TCP or TLS. Never blocks. */
#ifndef BECKON_BENCH_LOAD_STREAM_H
#define BECKON_BENCH_LOAD_STREAM_H

#include "bench/load/target.h"

#include <sys/types.h>

struct stream {
    int fd;           /* -1: closed */
    SSL *ssl;         /* NULL: plain TCP, or not connected yet */
    bool connected;   /* TCP is; with TLS the handshake may still be under way */
    bool wants_write; /* TLS can't get on before there is room */
};

/* Begins to connect; number picks the source address. 0; ERR_SYSTEM (errno set), ERR_NO_MEMORY. */
MUST_CHECK int stream_open(struct stream *stream, const struct target *target, uint32_t number);
/* After the socket is ready: goes on with connecting. 0 when bytes can flow; ERR_AGAIN; ERR_IO. */
MUST_CHECK int stream_advance(struct stream *stream, const struct target *target);
/* Bytes; ERR_AGAIN, ERR_CLOSED, ERR_IO. */
MUST_CHECK ssize_t stream_read(struct stream *stream, void *buf, size_t size);
MUST_CHECK ssize_t stream_write(struct stream *stream, const void *data, size_t size);
/* The next stream_close resets the connection (RST) in place of ending it. */
void stream_reset(struct stream *stream);
void stream_close(struct stream *stream);

#endif
