/* connection - OpenSSL and libnghttp2 between a socket and streams.
 *
 * Reading: what TLS decrypts goes straight into the session, at most READS_PER_EVENT records a
 * turn, so that one busy provider delays others by no more than that. Writing: once a turn, frames
 * are joined to one TLS record. nghttp2 is asked for more only when the socket has taken the last
 * ones: a client that does not read costs what its streams cost, and those are limited.
 *
 * Closing with unread bytes in the kernel would reset the connection and could destroy the last
 * answers on their way; so the end is half-closed and read empty first (CONNECTION_LINGER). */
#include "connection.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/log.h"

#include "door.h"
#include "pem_file.h"
#include "request.h"
#include "simulator.h"
#include "stream.h"

#define RECORD_BYTES 16384 /* of TLS */
#define READS_PER_EVENT 16
/* A client that is told the end needs a round trip to read and close. */
#define LINGER_MS 1000

static const nghttp2_settings_entry first_settings[] = {
    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, REQUEST_HEADER_BYTES},
};

static void on_destroy(struct loop_garbage *garbage)
{
    struct connection *connection = CONTAINER_OF(garbage, struct connection, garbage);

    nghttp2_session_del(connection->session);
    SSL_free(connection->ssl);
    buf_release(&connection->out);
    free(connection);
}

void connection_close(struct connection *connection)
{
    struct loop *loop = connection->simulator->loop;

    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->state = CONNECTION_CLOSED;
    loop_timer_cancel(loop, &connection->timer);
    loop_unpost(loop, &connection->flush);
    loop_io_remove(loop, connection->io);
    close(connection->fd);
    while (!TAILQ_EMPTY(&connection->streams))
        stream_destroy(TAILQ_FIRST(&connection->streams));
    door_forget(connection->door, connection);
    loop_defer_free(loop, &connection->garbage);
}

static void watch(struct connection *connection, uint32_t events)
{
    if (loop_io_set(connection->simulator->loop, connection->io, events) < 0)
        connection_close(connection);
}

static void linger(struct connection *connection)
{
    ERR_clear_error();
    SSL_shutdown(connection->ssl); /* one try: who does not read it has closed already */
    if (shutdown(connection->fd, SHUT_WR) < 0) {
        connection_close(connection);
        return;
    }
    connection->state = CONNECTION_LINGER;
    loop_timer_add(connection->simulator->loop, &connection->timer, LINGER_MS);
    watch(connection, EPOLLIN);
}

static void drain(struct connection *connection)
{
    char bytes[RECORD_BYTES];
    ssize_t n = recv(connection->fd, bytes, sizeof(bytes), 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_close(connection);
}

/* Collects frames up to a record's worth. 0 or ERR_NO_MEMORY. */
static int collect(struct connection *connection)
{
    buf_clear(&connection->out);
    connection->out_sent = 0;
    while (connection->out.len < RECORD_BYTES) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(connection->session, &data);

        if (n < 0)
            return ERR_NO_MEMORY;
        if (n == 0)
            break;
        buf_put(&connection->out, data, (size_t)n);
    }
    return buf_ok(&connection->out) ? 0 : ERR_NO_MEMORY;
}

/* 1 when all of it went out, 0 when the socket is full, ERR_IO. */
static int send_out(struct connection *connection)
{
    while (connection->out_sent < connection->out.len) {
        size_t left = connection->out.len - connection->out_sent, n = 0;

        ERR_clear_error();
        if (SSL_write_ex(connection->ssl, connection->out.data + connection->out_sent, left, &n) !=
            1) {
            int error = SSL_get_error(connection->ssl, 0);

            return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : ERR_IO;
        }
        connection->out_sent += n;
    }
    return 1;
}

static void on_flush(void *arg)
{
    struct connection *connection = arg;
    int r = 1;

    if (connection->state != CONNECTION_OPEN)
        return;
    do {
        r = send_out(connection);
        if (r > 0 && collect(connection) < 0)
            r = ERR_NO_MEMORY;
    } while (r > 0 && connection->out.len > 0);
    if (r < 0)
        connection_close(connection);
    else if (r == 0)
        watch(connection, EPOLLIN | EPOLLOUT);
    else if (nghttp2_session_want_read(connection->session) == 0 &&
             nghttp2_session_want_write(connection->session) == 0)
        linger(connection);
    else
        watch(connection, EPOLLIN);
}

void connection_flush_later(struct connection *connection)
{
    loop_post(connection->simulator->loop, &connection->flush);
}

static void receive(struct connection *connection)
{
    uint8_t bytes[RECORD_BYTES];

    for (int i = 0; i < READS_PER_EVENT; i++) {
        size_t n = 0;

        ERR_clear_error();
        if (SSL_read_ex(connection->ssl, bytes, sizeof(bytes), &n) != 1) {
            int error = SSL_get_error(connection->ssl, 0);

            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                connection_close(connection);
            return;
        }
        ssize_t taken = nghttp2_session_mem_recv(connection->session, bytes, n);
        if (taken < 0) {
            log_limited(loop_now_ms(connection->simulator->loop), LOG_WARNING, NULL,
                        "closing a provider's connection: %s", nghttp2_strerror((int)taken));
            connection_close(connection);
            return;
        }
        connection_flush_later(connection);
    }
}

static uint32_t streams_allowed(const struct connection *connection)
{
    const struct simulator *simulator = connection->simulator;

    if (connection->auth.key == NULL)
        return 1;
    return simulator->behaviour.limits_streams
               ? (uint32_t)simulator->behaviour.max_concurrent_streams
               : simulator->options.max_concurrent_streams;
}

void connection_announce_streams(struct connection *connection)
{
    uint32_t allowed = streams_allowed(connection);
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, allowed};

    if (connection->state != CONNECTION_OPEN || allowed == connection->announced_streams)
        return;
    /* Without memory the old number stays in force; the next request tries again. */
    if (nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, &entry, 1) != 0)
        return;
    connection->announced_streams = allowed;
    connection_flush_later(connection);
}

void connection_goaway(struct connection *connection, int32_t last_stream, const char *reason)
{
    json_t *json = json_pack("{s:s}", "reason", reason);
    char *text = json_dumps(json, JSON_COMPACT);
    size_t len = text != NULL ? strlen(text) : 0; /* without memory: without a reason */

    json_decref(json);
    if (connection->state == CONNECTION_OPEN && !connection->ending) {
        if (last_stream == CONNECTION_ALL_STREAMS)
            last_stream = nghttp2_session_get_last_proc_stream_id(connection->session);
        connection->ending = true;
        connection->last_stream = last_stream;
        if (nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE, last_stream,
                                  NGHTTP2_NO_ERROR, (const uint8_t *)text, len) == 0)
            connection_flush_later(connection);
    } else if (connection->state == CONNECTION_HANDSHAKE) {
        connection_close(connection);
    }
    free(text);
}

static void arm_idle(struct connection *connection)
{
    const struct options *options = &connection->simulator->options;
    uint64_t idle_ms = (uint64_t)options->idle_timeout_s * 1000;
    uint64_t since_ms = loop_now_ms(connection->simulator->loop) - connection->active_ms;

    if (idle_ms == 0)
        return;
    loop_timer_add(connection->simulator->loop, &connection->timer,
                   since_ms < idle_ms ? idle_ms - since_ms : idle_ms);
}

static void on_timer(struct timer *timer)
{
    struct connection *connection = CONTAINER_OF(timer, struct connection, timer);
    uint64_t idle_ms = (uint64_t)connection->simulator->options.idle_timeout_s * 1000;
    uint64_t since_ms = loop_now_ms(connection->simulator->loop) - connection->active_ms;

    if (connection->state != CONNECTION_OPEN)
        connection_close(connection);
    else if (connection->stream_count == 0 && since_ms >= idle_ms)
        connection_goaway(connection, CONNECTION_ALL_STREAMS, reason_text(REASON_IDLE_TIMEOUT));
    else
        arm_idle(connection);
}

static int start_session(struct connection *connection)
{
    const struct connection_setup *setup = door_setup(connection->door);

    if (nghttp2_session_server_new(&connection->session, setup->callbacks, connection) != 0)
        return ERR_NO_MEMORY;
    if (nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, first_settings,
                                ARRAY_LEN(first_settings)) != 0)
        return ERR_NO_MEMORY;
    connection->state = CONNECTION_OPEN;
    connection->active_ms = loop_now_ms(connection->simulator->loop);
    loop_timer_cancel(connection->simulator->loop, &connection->timer);
    arm_idle(connection);
    connection_announce_streams(connection);
    return 0;
}

static void shake_hands(struct connection *connection)
{
    int r, error;

    ERR_clear_error();
    r = SSL_accept(connection->ssl);
    if (r == 1) {
        const unsigned char *protocol = NULL;
        unsigned len = 0;

        SSL_get0_alpn_selected(connection->ssl, &protocol, &len);
        /* A client without ALPN gets this far: it would speak HTTP/1.1. */
        if (len == 0 || start_session(connection) < 0)
            connection_close(connection);
        return;
    }
    error = SSL_get_error(connection->ssl, r);
    if (error == SSL_ERROR_WANT_READ)
        watch(connection, EPOLLIN);
    else if (error == SSL_ERROR_WANT_WRITE)
        watch(connection, EPOLLOUT);
    else {
        log_limited(loop_now_ms(connection->simulator->loop), LOG_WARNING, NULL,
                    "a provider's TLS handshake failed: %s", pem_openssl_error());
        connection_close(connection);
    }
}

static void on_io(void *arg, uint32_t events)
{
    struct connection *connection = arg;

    if (connection->state == CONNECTION_LINGER) {
        drain(connection);
        return;
    }
    if (connection->state == CONNECTION_HANDSHAKE)
        shake_hands(connection);
    if (connection->state == CONNECTION_OPEN)
        receive(connection);
    if (connection->state == CONNECTION_OPEN && (events & EPOLLOUT) != 0)
        connection_flush_later(connection);
}

struct connection *connection_create(const struct connection_setup *setup, int fd)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL) {
        close(fd);
        return NULL;
    }
    connection->simulator = setup->simulator;
    connection->door = setup->door;
    connection->fd = fd;
    connection->garbage.destroy = on_destroy;
    connection->flush = (struct loop_task){.fn = on_flush, .arg = connection};
    TAILQ_INIT(&connection->streams);
    timer_init(&connection->timer, on_timer);
    connection->ssl = SSL_new(setup->tls);
    if (connection->ssl == NULL || SSL_set_fd(connection->ssl, fd) != 1 ||
        loop_io_add(connection->simulator->loop, fd, EPOLLIN, on_io, connection, &connection->io) <
            0) {
        SSL_free(connection->ssl);
        close(fd);
        free(connection);
        return NULL;
    }
    SSL_set_accept_state(connection->ssl);
    loop_timer_add(connection->simulator->loop, &connection->timer,
                   connection->simulator->options.handshake_timeout_ms);
    return connection;
}
