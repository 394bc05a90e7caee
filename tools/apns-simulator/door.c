/* door - accept4 until there is no more, a bounded number of times a turn.
 *
 * Out of descriptors, accept fails and the connection stays in the backlog: level-triggered epoll
 * would report it again at once, for ever. So accepting pauses for PAUSE_MS. */
#include "door.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/log.h"

#include "certificate.h"
#include "connection.h"
#include "listen_socket.h"
#include "simulator.h"
#include "stream.h"
#include "tls.h"

#define ACCEPTS_PER_TURN 32
#define PAUSE_MS 100

struct door {
    struct simulator *simulator;
    struct connection_setup setup;
    nghttp2_session_callbacks *callbacks;
    int fd;
    loop_id io;
    struct timer timer; /* accept again; once stopping: wait no longer */
    TAILQ_HEAD(, connection) connections;
    struct door_counts counts;
    bool stopping;
    void (*on_stopped)(void *arg);
    void *on_stopped_arg;
};

static void pause_accepting(struct door *door)
{
    struct loop *loop = door->simulator->loop;

    log_limited(loop_now_ms(loop), LOG_WARNING, NULL,
                "could not accept a connection: %s; pausing for %d ms", strerror(errno), PAUSE_MS);
    if (loop_io_set(loop, door->io, 0) == 0)
        loop_timer_add(loop, &door->timer, PAUSE_MS);
}

static void take(struct door *door, int fd)
{
    struct simulator *simulator = door->simulator;
    struct connection *connection;

    door->counts.accepted++;
    if (simulator->behaviour.drop_connections) {
        close(fd);
        return;
    }
    if (door->counts.open >= simulator->options.max_connections) {
        log_limited(loop_now_ms(simulator->loop), LOG_WARNING, NULL,
                    "closed a new connection: %u are open, which is listen.max_connections",
                    simulator->options.max_connections);
        close(fd);
        return;
    }
    connection = connection_create(&door->setup, fd);
    if (connection == NULL) {
        log_limited(loop_now_ms(simulator->loop), LOG_WARNING, NULL,
                    "closed a new connection: out of memory");
        return;
    }
    TAILQ_INSERT_TAIL(&door->connections, connection, link);
    door->counts.open++;
}

static void on_connection(void *arg, uint32_t events)
{
    struct door *door = arg;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(door);
            return; /* the others concern one client that is gone */
        }
        take(door, fd);
    }
}

static void stop_listening(struct door *door)
{
    if (door->fd < 0)
        return;
    loop_io_remove(door->simulator->loop, door->io);
    close(door->fd);
    door->fd = -1;
}

static void report_stopped(struct door *door)
{
    void (*on_stopped)(void *arg) = door->on_stopped;

    loop_timer_cancel(door->simulator->loop, &door->timer);
    door->on_stopped = NULL;
    if (on_stopped != NULL)
        on_stopped(door->on_stopped_arg);
}

static void on_timer(struct timer *timer)
{
    struct door *door = CONTAINER_OF(timer, struct door, timer);

    if (door->stopping)
        report_stopped(door);
    else if (loop_io_set(door->simulator->loop, door->io, EPOLLIN) < 0)
        loop_timer_add(door->simulator->loop, &door->timer, PAUSE_MS);
}

static int start_tls(struct door *door, struct err_text *et)
{
    const struct options *options = &door->simulator->options;
    AUTO_FREE char *certificate = NULL;
    AUTO_FREE char *key = NULL;
    SSL_CTX *tls = NULL;
    int r;

    if (options->tls_certificate[0] != '\0') {
        r = tls_create(options->tls_certificate, options->tls_key, &tls, et);
    } else {
        if (asprintf(&certificate, "%s/server.pem", options->tls_directory) < 0)
            certificate = NULL;
        if (asprintf(&key, "%s/server.key", options->tls_directory) < 0)
            key = NULL;
        if (certificate == NULL || key == NULL)
            return err_set(et, ERR_NO_MEMORY, "out of memory");
        r = certificate_ensure(options->tls_directory, et);
        if (r == 0)
            r = tls_create(certificate, key, &tls, et);
    }
    door->setup.tls = tls;
    return r;
}

static int start(struct door *door, struct err_text *et)
{
    struct simulator *simulator = door->simulator;
    int r = start_tls(door, et);

    if (r < 0)
        return r;
    if (stream_callbacks(&door->callbacks) < 0)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    door->setup.callbacks = door->callbacks;
    r = listen_socket_open("listen", simulator->options.listen_address,
                           simulator->options.listen_port, &door->fd, et);
    if (r < 0)
        return r;
    r = loop_io_add(simulator->loop, door->fd, EPOLLIN, on_connection, door, &door->io);
    return r < 0 ? err_set(et, r, "could not watch the listening socket") : 0;
}

int door_create(struct simulator *simulator, struct err_text *et)
{
    struct door *door = calloc(1, sizeof(*door));
    int r;

    if (door == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    door->simulator = simulator;
    door->setup.simulator = simulator;
    door->setup.door = door;
    door->fd = -1;
    TAILQ_INIT(&door->connections);
    timer_init(&door->timer, on_timer);
    r = start(door, et);
    if (r < 0) {
        door_destroy(door);
        return r;
    }
    simulator->door = door;
    return 0;
}

static void close_all(struct door *door)
{
    struct connection *connection, *next;

    for (connection = TAILQ_FIRST(&door->connections); connection != NULL; connection = next) {
        next = TAILQ_NEXT(connection, link);
        connection_close(connection);
    }
}

void door_destroy(struct door *door)
{
    if (door == NULL)
        return;
    door->on_stopped = NULL;
    stop_listening(door);
    close_all(door);
    loop_timer_cancel(door->simulator->loop, &door->timer);
    nghttp2_session_callbacks_del(door->callbacks);
    tls_destroy(door->setup.tls);
    free(door);
}

void door_apply_behaviour(struct door *door)
{
    struct connection *connection;

    if (door->simulator->behaviour.drop_connections) {
        close_all(door);
        return;
    }
    TAILQ_FOREACH(connection, &door->connections, link)
    connection_announce_streams(connection);
}

void door_stop(struct door *door, uint64_t max_ms, void (*on_stopped)(void *arg), void *arg)
{
    struct connection *connection, *next;

    door->stopping = true;
    door->on_stopped = on_stopped;
    door->on_stopped_arg = arg;
    stop_listening(door);
    for (connection = TAILQ_FIRST(&door->connections); connection != NULL; connection = next) {
        next = TAILQ_NEXT(connection, link);
        connection_goaway(connection, CONNECTION_ALL_STREAMS, reason_text(REASON_SHUTDOWN));
    }
    if (TAILQ_EMPTY(&door->connections))
        report_stopped(door);
    else if (door->on_stopped != NULL) /* the last one may be gone already */
        loop_timer_add(door->simulator->loop, &door->timer, max_ms);
}

struct door_counts door_count(const struct door *door)
{
    struct door_counts counts = door->counts;
    const struct connection *connection;

    TAILQ_FOREACH(connection, &door->connections, link)
    counts.requests += connection->stream_count;
    return counts;
}

void door_forget(struct door *door, struct connection *connection)
{
    TAILQ_REMOVE(&door->connections, connection, link);
    door->counts.open--;
    if (door->stopping && TAILQ_EMPTY(&door->connections))
        report_stopped(door);
}

const struct connection_setup *door_setup(const struct door *door)
{
    return &door->setup;
}
