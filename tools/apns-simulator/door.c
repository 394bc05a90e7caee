/* door - see the header. Accepting, and what concerns all connections. */
#include "door.h"

#include "common/auto.h"
#include "common/log.h"
#include "connection.h"
#include "identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct door {
    struct simulator *simulator;
    SSL_CTX *ctx;
    int fd;
    loop_id io;
    TAILQ_HEAD(, connection) connections;
    unsigned open, made;
};

static void on_closed(struct connection *connection)
{
    struct door *door = connection->simulator->door;

    TAILQ_REMOVE(&door->connections, connection, link);
    door->open--;
}

static void on_accept(void *arg, uint32_t events)
{
    struct door *door = arg;
    struct simulator *simulator = door->simulator;
    int one = 1, fd;

    (void)events;
    while ((fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection;

        door->made++;
        if (simulator->behaviour.drop_connections ||
            door->open >= simulator->options.max_connections) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        connection = connection_create(simulator, door->ctx, fd, on_closed);
        if (!connection)
            continue;
        TAILQ_INSERT_TAIL(&door->connections, connection, link);
        door->open++;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        log_limited(loop_now_ms(simulator->loop), LOG_WARNING, NULL, "could not accept: %m");
}

static int listen_on(const char *address, uint32_t port, int *ret_fd)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool six = inet_pton(AF_INET6, address, &in6.sin6_addr) == 1;
    int one = 1, fd;

    if (!six && inet_pton(AF_INET, address, &in.sin_addr) != 1) {
        errno = EINVAL;
        return ERR_SYSTEM;
    }
    fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, six ? (struct sockaddr *)&in6 : (struct sockaddr *)&in,
             six ? sizeof(in6) : sizeof(in)) < 0 ||
        listen(fd, SOMAXCONN) < 0) {
        close(fd);
        return ERR_SYSTEM;
    }
    *ret_fd = fd;
    return 0;
}

int door_create(struct simulator *simulator, struct err_text *et)
{
    struct door *door = calloc(1, sizeof(*door));

    if (!door)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    simulator->door = door;
    door->simulator = simulator;
    door->fd = -1;
    TAILQ_INIT(&door->connections);
    door->ctx = identity_context(simulator, et);
    if (!door->ctx)
        return ERR_CONFIG;
    if (listen_on(simulator->options.listen_address, simulator->options.listen_port, &door->fd) <
            0 ||
        loop_io_add(simulator->loop, door->fd, EPOLLIN, on_accept, door, &door->io) < 0)
        return err_set(et, ERR_SYSTEM, "could not listen on %s port %u: %m",
                       simulator->options.listen_address, simulator->options.listen_port);
    return 0;
}

void door_behave(struct simulator *simulator)
{
    struct connection *connection, *next;

    for (connection = TAILQ_FIRST(&simulator->door->connections); connection; connection = next) {
        next = TAILQ_NEXT(connection, link);
        if (simulator->behaviour.drop_connections) {
            connection_close(connection);
            continue;
        }
        connection_limit(connection);
        connection_flush(connection);
    }
}

void door_counts(const struct simulator *simulator, unsigned *ret_open, unsigned *ret_made)
{
    *ret_open = simulator->door->open;
    *ret_made = simulator->door->made;
}

void door_destroy(struct simulator *simulator)
{
    struct door *door = simulator->door;
    struct connection *connection;

    if (!door)
        return;
    while ((connection = TAILQ_FIRST(&door->connections))) {
        connection_go_away(connection, "Shutdown");
        connection_flush(connection);
        connection_close(connection);
    }
    loop_io_remove(simulator->loop, door->io);
    if (door->fd >= 0)
        close(door->fd);
    SSL_CTX_free(door->ctx);
    free(door);
    simulator->door = NULL;
}
