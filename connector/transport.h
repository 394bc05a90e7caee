/* transport - the byte stream under MQTT: a stack of layers with TCP at the bottom.
 *
 * The MQTT layer calls these functions and knows nothing of what is below. A layer that is put on a
 * transport moves what was there into a state of its own and takes its place, so that whoever holds
 * the struct transport goes on with the same pointer; door.h says which layers a connection gets.
 * Each layer talks to the one below it through the same table. One transport is embedded in its
 * connection. Loop thread only; nothing here blocks. */
#ifndef BECKON_CONNECTOR_TRANSPORT_H
#define BECKON_CONNECTOR_TRANSPORT_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct transport;

struct transport_ops {
    /* Bytes read (above 0); ERR_AGAIN; ERR_CLOSED at the end of the stream; ERR_IO; ERR_NO_MEMORY;
     * ERR_PROTOCOL when the peer broke the rules of a layer, which `explain` describes: the caller
     * ends the connection, and later reads throw away what comes until the peer closes too. */
    ssize_t (*read)(struct transport *t, void *buf, size_t size);
    /* Bytes written (above 0, may be fewer than size); ERR_AGAIN; ERR_IO; ERR_NO_MEMORY. What
     * ERR_AGAIN refused is offered again first, perhaps from another address and with more behind
     * it. Of what a short count left over nothing is under way. */
    ssize_t (*write)(struct transport *t, const void *data, size_t size);
    /* The epoll events to wait for when the owner wants to read and/or write. They may change with
     * every read, write and finish. */
    uint32_t (*want)(const struct transport *t, bool reading, bool writing);
    /* The reverse: what epoll reported, with EPOLLIN set when a read can get on and EPOLLOUT when a
     * write can. A layer may have to write before it can read. */
    uint32_t (*ready)(const struct transport *t, uint32_t events);
    /* True while bytes were taken from the kernel and not read yet: epoll does not know of them,
     * so the owner must come back by itself. */
    bool (*pending)(const struct transport *t);
    /* Says that nothing more will be written, so that the peer sees the end after the last byte.
     * 0; ERR_AGAIN: call again when there is room to write. */
    int (*finish)(struct transport *t);
    /* Lets the transport find out by itself that the peer is gone (MQTT 3.1.1 without keep alive).
     */
    void (*probe_idle)(struct transport *t);
    /* For the log: what a layer refused, or what it still waits for; "" when there is nothing to
     * say. */
    void (*explain)(const struct transport *t, char *buf, size_t size);
    void (*close)(struct transport *t);
    /* Before `finish` or `close`: the stream ends because this server stops, so that the client
     * goes to another one. NULL: the layer has no word for it. */
    void (*going_away)(struct transport *t);
    /* Both sides say that they are done, and the client waits for our word: after `finish` the
     * owner reads on until ERR_CLOSED, even when the client has said goodbye in MQTT. */
    bool closing_handshake;
};

struct transport {
    const struct transport_ops *ops;
    void *state; /* of a layer above TCP, which owns it */
    int fd;      /* what epoll watches, the same in every layer */
};

/* fd is a connected non-blocking TCP socket; the transport owns it. */
void transport_tcp_init(struct transport *t, int fd);

#endif
