/* transport_tcp - plain TCP: thin wrappers that turn errno into ERR_* codes. */
#include "connector/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A client without MQTT keep alive: probed after a minute of silence, like the shortest keep alives
 * in use, then three times in 30 s; unacknowledged data counts the same. */
#define PROBE_IDLE_S 60
#define PROBE_INTERVAL_S 10
#define PROBE_COUNT 3
#define UNACKNOWLEDGED_MS ((PROBE_IDLE_S + PROBE_INTERVAL_S * PROBE_COUNT) * 1000)

static ssize_t tcp_read(struct transport *t, void *buf, size_t size)
{
    ssize_t n;

    do
        n = recv(t->fd, buf, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n == 0)
        return ERR_CLOSED;
    return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_IO;
}

static ssize_t tcp_write(struct transport *t, const void *data, size_t size)
{
    ssize_t n;

    do
        n = send(t->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_IO;
}

static uint32_t tcp_want(const struct transport *t, bool reading, bool writing)
{
    (void)t;
    return (reading ? (uint32_t)EPOLLIN : 0) | (writing ? (uint32_t)EPOLLOUT : 0);
}

static uint32_t tcp_ready(const struct transport *t, uint32_t events)
{
    (void)t;
    return events;
}

static bool tcp_pending(const struct transport *t)
{
    (void)t;
    return false;
}

static int tcp_finish(struct transport *t)
{
    /* Fails only when the peer is gone already, which the next read tells. */
    IGNORE_RESULT(shutdown(t->fd, SHUT_WR));
    return 0;
}

static void set_option(int fd, int level, int name, int value)
{
    /* A kernel that refuses the option leaves us with its default timeouts. */
    IGNORE_RESULT(setsockopt(fd, level, name, &value, sizeof(value)));
}

static void tcp_probe_idle(struct transport *t)
{
    set_option(t->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(t->fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_IDLE_S);
    set_option(t->fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_INTERVAL_S);
    set_option(t->fd, IPPROTO_TCP, TCP_KEEPCNT, PROBE_COUNT);
    set_option(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS);
}

static void tcp_explain(const struct transport *t, char *buf, size_t size)
{
    (void)t;
    if (size > 0)
        buf[0] = '\0';
}

static void tcp_close(struct transport *t)
{
    close(t->fd);
    t->fd = -1;
}

static const struct transport_ops tcp_ops = {
    .read = tcp_read,
    .write = tcp_write,
    .want = tcp_want,
    .ready = tcp_ready,
    .pending = tcp_pending,
    .finish = tcp_finish,
    .probe_idle = tcp_probe_idle,
    .explain = tcp_explain,
    .close = tcp_close,
};

void transport_tcp_init(struct transport *t, int fd)
{
    *t = (struct transport){.ops = &tcp_ops, .fd = fd};
}
