/* listener - accept4 until there is no more, a bounded number of times a turn.
 *
 * Out of descriptors or memory, accept fails and the connection stays in the backlog: level-
 * triggered epoll would report it again at once, for ever. So accepting pauses for PAUSE_MS; the
 * clients wait in the kernel meanwhile. Above listen.max_connections a client is accepted and
 * closed: it learns at once that it has to try another connector. Above listen.accepts_per_s
 * clients wait in the kernel, too: a storm of them is taken on at a rate that leaves time for the
 * others.
 *
 * The end: closing a listening socket resets what it holds, connections that were not accepted yet
 * and those whose handshake is under way. So at first the socket only drops SYNs; what was begun
 * becomes connections and is accepted. A client whose SYN was dropped sends it again after a
 * second, and then another process that listens on the port has it. */
#include "connector/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/log.h"

#include "connector/conn.h"
#include "connector/door.h"
#include "connector/limits.h"

/* Handing a slot out takes microseconds; 128 delay other clients by well under a millisecond. */
#define ACCEPTS_PER_TURN 128
/* Long enough for connections to end, short for a person who waits. */
#define PAUSE_MS 100

struct listener {
    struct connector *connector;
    const struct door *door;
    int fd;
    loop_id io;
    struct timer resume;
};

static void rest(struct listener *listener, uint64_t ms)
{
    if (loop_io_set(listener->connector->loop, listener->io, 0) == 0)
        loop_timer_add(listener->connector->loop, &listener->resume, ms);
}

static void pause_accepting(struct listener *listener, int err)
{
    struct connector *connector = listener->connector;

    connector->metrics.accept_paused++;
    log_limited(loop_now_ms(connector->loop), LOG_WARNING, NULL,
                "could not accept a connection: %s; pausing for %d ms", strerror(err), PAUSE_MS);
    rest(listener, PAUSE_MS);
}

static void on_resume(struct timer *timer)
{
    struct listener *listener = CONTAINER_OF(timer, struct listener, resume);

    if (loop_io_set(listener->connector->loop, listener->io, EPOLLIN) < 0)
        loop_timer_add(listener->connector->loop, &listener->resume, PAUSE_MS);
}

static struct peer_address peer_of(const struct sockaddr_storage *address)
{
    struct peer_address peer = {.family = AF_INET};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address->ss_family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        peer.port = ntohs(v6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
            memcpy(peer.octets, v6.sin6_addr.s6_addr + 12, 4);
            return peer;
        }
        peer.family = AF_INET6;
        memcpy(peer.octets, v6.sin6_addr.s6_addr, sizeof(peer.octets));
        return peer;
    }
    memcpy(&v4, address, sizeof(v4));
    peer.port = ntohs(v4.sin_port);
    memcpy(peer.octets, &v4.sin_addr, 4);
    return peer;
}

static void refuse_proxy(const struct listener *listener, const struct peer_address *peer)
{
    struct connector *connector = listener->connector;
    char text[INET6_ADDRSTRLEN] = "?";

    connector->metrics.proxy_untrusted++;
    inet_ntop(peer->family, peer->octets, text, sizeof(text));
    log_limited(loop_now_ms(connector->loop), LOG_WARNING, NULL,
                "closed a connection from %s: it is not in proxy.trusted (%s)", text,
                listener->door->name);
}

static void take(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
    struct connector *connector = listener->connector;
    struct peer_address peer = peer_of(address);

    if (conns_open_count(connector->conns) >= connector->options.max_connections) {
        close(fd);
        connector->metrics.over_limit++;
        log_limited(loop_now_ms(connector->loop), LOG_WARNING, NULL,
                    "closed a new connection: %u are open, which is listen.max_connections",
                    connector->options.max_connections);
        return;
    }
    if (door_options(listener->door, &connector->options)->proxy_protocol &&
        !proxy_trusts(&connector->proxy_trust, &peer)) {
        close(fd);
        refuse_proxy(listener, &peer);
        return;
    }
    /* behind a proxy the address comes later: handle_connect.c looks at it */
    if (!door_options(listener->door, &connector->options)->proxy_protocol &&
        !limits_address_connects(connector, &peer)) {
        close(fd);
        return;
    }
    limits_accepted(connector);
    if (conn_accept(connector->conns, listener->door, fd, &peer) < 0)
        pause_accepting(listener, ENOMEM);
    else
        connector->metrics.accepted++;
}

/* False: nobody waits any more. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    int fd =
        accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        take(listener, fd, &address);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        pause_accepting(listener, errno);
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        log_limited(loop_now_ms(listener->connector->loop), LOG_WARNING, NULL,
                    "could not accept a connection: %s", strerror(errno));
    return false;
}

static void on_connection(void *arg, uint32_t events)
{
    struct listener *listener = arg;
    struct connector *connector = listener->connector;
    uint64_t wait_ms = 0;

    (void)events;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN && wait_ms == 0; i++) {
        wait_ms = limits_accept_wait_ms(connector);
        if (wait_ms == 0 && !accept_one(listener))
            return;
    }
    if (wait_ms == 0)
        return;
    connector->metrics.limited_accepts++;
    log_limited(loop_now_ms(connector->loop), LOG_WARNING, NULL,
                "new connections wait: above %u a second (listen.accepts_per_s)",
                connector->options.accepts.per_s);
    rest(listener, wait_ms);
}

static int set_options(int fd, int family)
{
    const int on = 1, off = 0;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
        return -1;
    /* Accepted sockets inherit it: one system call less each. What a turn has to say goes out in
     * one write, so there is nothing for Nagle's algorithm to join. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return -1;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
        return -1;
    return 0;
}

static int open_socket(const struct door *door, const struct options *options, int *ret_fd,
                       struct err_text *et)
{
    const struct listen_options *at = door_options(door, options);
    struct sockaddr_storage address = {0};
    socklen_t size;
    int fd, r = door_address(door, options, &address, &size, et);

    if (r < 0)
        return r;
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || set_options(fd, address.ss_family) < 0 ||
        bind(fd, (struct sockaddr *)&address, size) < 0 ||
        listen(fd, (int)options->listen_backlog) < 0) {
        err_set(et, ERR_SYSTEM, "could not listen on %s port %u (%s): %s", at->address, at->port,
                door->name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    *ret_fd = fd;
    return 0;
}

static int open_one(struct connector *connector, const struct door *door,
                    struct listener **ret_listener, struct err_text *et)
{
    const struct listen_options *at = door_options(door, &connector->options);
    struct listener *listener = calloc(1, sizeof(*listener));
    int r;

    if (listener == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    listener->connector = connector;
    listener->door = door;
    timer_init(&listener->resume, on_resume);
    r = open_socket(door, &connector->options, &listener->fd, et);
    if (r < 0) {
        free(listener);
        return r;
    }
    r = loop_io_add(connector->loop, listener->fd, EPOLLIN, on_connection, listener, &listener->io);
    if (r < 0) {
        close(listener->fd);
        free(listener);
        return err_set(et, r, "could not watch the listening socket: %s", err_string(r));
    }
    log_info(NULL, "listening on %s port %u (%s)", at->address, at->port, door->name);
    *ret_listener = listener;
    return 0;
}

static void end_one(struct listener *listener)
{
    /* A packet that reaches a listening socket is a TCP header at offset 0, the flags in byte 13.
     * Accepted sockets inherit the filter: it drops nothing that they could use. */
    enum { FLAGS = 13, SYN = 0x02, ACK = 0x10 };
    struct sock_filter drop_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = ARRAY_LEN(drop_syn), .filter = drop_syn};

    if (setsockopt(listener->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
        log_warning(NULL, "could not keep new connections off while stopping, ignoring it: %s",
                    strerror(errno));
}

static void close_one(struct listener *listener)
{
    /* No more than the kernel may hold: it adds one to the backlog. */
    for (uint32_t i = 0; i <= listener->connector->options.listen_backlog; i++) {
        if (!accept_one(listener))
            break;
    }
    loop_timer_cancel(listener->connector->loop, &listener->resume);
    loop_io_remove(listener->connector->loop, listener->io);
    close(listener->fd);
    free(listener);
}

int listeners_open(struct connector *connector, struct err_text *et)
{
    int r = doors_check(&connector->options, et);

    for (size_t i = 0; i < ARRAY_LEN(doors) && r == 0; i++) {
        if (door_options(&doors[i], &connector->options)->enabled)
            r = open_one(connector, &doors[i], &connector->listeners[i], et);
    }
    return r;
}

void listeners_end(struct connector *connector)
{
    for (size_t i = 0; i < ARRAY_LEN(connector->listeners); i++) {
        if (connector->listeners[i] != NULL)
            end_one(connector->listeners[i]);
    }
}

void listeners_close(struct connector *connector)
{
    for (size_t i = 0; i < ARRAY_LEN(connector->listeners); i++) {
        if (connector->listeners[i] != NULL)
            close_one(connector->listeners[i]);
        connector->listeners[i] = NULL;
    }
}
