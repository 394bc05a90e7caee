/* transport - the byte stream under MQTT: TCP today; TLS and WebSocket fit the same table.
 *
 * The MQTT layer calls these functions and knows nothing of what is below. One transport is
 * embedded in its connection. Loop thread only; nothing here blocks. */
#ifndef BECKON_CONNECTOR_TRANSPORT_H
#define BECKON_CONNECTOR_TRANSPORT_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct transport;

struct transport_ops {
    /* Bytes read (above 0); ERR_AGAIN; ERR_CLOSED at the end of the stream; ERR_IO. */
    ssize_t (*read)(struct transport *t, void *buf, size_t size);
    /* Bytes written (above 0, may be fewer than size); ERR_AGAIN; ERR_IO. */
    ssize_t (*write)(struct transport *t, const void *data, size_t size);
    /* The epoll events to wait for when the owner wants to read and/or write. */
    uint32_t (*want)(const struct transport *t, bool reading, bool writing);
    /* True while bytes were taken from the kernel and not read yet: epoll does not know of them,
     * so the owner must come back by itself. */
    bool (*pending)(const struct transport *t);
    /* Says that nothing more will be written, so that the peer sees the end after the last byte. */
    void (*finish)(struct transport *t);
    /* Lets the transport find out by itself that the peer is gone (MQTT 3.1.1 without keep alive).
     */
    void (*probe_idle)(struct transport *t);
    void (*close)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    int fd; /* what epoll watches */
};

/* fd is a connected non-blocking TCP socket; the transport owns it. */
void transport_tcp_init(struct transport *t, int fd);

#endif
