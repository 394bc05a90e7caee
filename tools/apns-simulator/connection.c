/* connection - see the header. nghttp2 has the protocol; here are bytes in and out. */
#include "connection.h"

#include "common/auto.h"
#include "pushes.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384
/* How long a peer has to close after it was told that nothing follows. */
#define LINGER_MS 2000
/* A stream's headers: Apple's own are some 500 bytes. */
#define HEADERS_MAX 8192

void stream_free(struct stream *stream)
{
    for (int i = 0; i < HEADER_COUNT; i++)
        free(stream->request.headers[i]);
    loop_timer_cancel(stream->connection->simulator->loop, &stream->delay);
    json_decref(stream->verdict.payload);
    LIST_REMOVE(stream, link);
    free(stream->answer);
    free(stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct connection *connection = arg;
    struct stream *stream;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->connection = connection;
    stream->id = frame->hd.stream_id;
    LIST_INSERT_HEAD(&connection->streams, stream, link);
    nghttp2_session_set_stream_user_data(session, stream->id, stream);
    return 0;
}

static void take_header(struct request *request, const char *name, const uint8_t *value, size_t len)
{
    if (strcmp(name, ":method") == 0)
        snprintf(request->method, sizeof(request->method), "%.*s", (int)len, value);
    if (strcmp(name, ":path") == 0)
        snprintf(request->path, sizeof(request->path), "%.*s", (int)len, value);
    for (int i = 0; i < HEADER_COUNT; i++) {
        if (strcmp(name, request_headers[i]) != 0)
            continue;
        request->duplicate = request->duplicate || request->headers[i];
        free(request->headers[i]);
        request->headers[i] = strndup((const char *)value, len);
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    char text[64];

    (void)flags, (void)arg;
    if (!stream || name_len >= sizeof(text) || value_len > HEADERS_MAX)
        return 0;
    memcpy(text, name, name_len);
    text[name_len] = '\0';
    take_header(&stream->request, text, value, value_len);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *arg)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);
    struct request *r;
    size_t room;

    (void)flags, (void)arg;
    if (!stream)
        return 0;
    r = &stream->request;
    room = r->body_len < sizeof(r->body) ? sizeof(r->body) - r->body_len : 0;
    memcpy(r->body + (room > 0 ? r->body_len : 0), data, len < room ? len : room);
    r->body_len += len; /* what is too large is only counted */
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct stream *stream;

    (void)arg;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream)
        answer_request(stream);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *arg)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);

    (void)error, (void)arg;
    if (stream)
        stream_free(stream);
    return 0;
}

static int start_session(struct connection *connection)
{
    nghttp2_session_callbacks *callbacks;
    int r;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return ERR_NO_MEMORY;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    r = nghttp2_session_server_new(&connection->session, callbacks, connection);
    nghttp2_session_callbacks_del(callbacks);
    if (r != 0)
        return ERR_NO_MEMORY;
    connection_limit(connection);
    return 0;
}

void connection_limit(struct connection *connection)
{
    const struct simulator *simulator = connection->simulator;
    uint32_t limit = simulator->behaviour.max_concurrent_streams
                         ? simulator->behaviour.max_concurrent_streams
                         : simulator->options.max_concurrent_streams;
    nghttp2_settings_entry settings[] = {
        /* one until the provider has shown who it is, as Apple does */
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, connection->team[0] == '\0' ? 1 : limit},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_MAX}};

    if (connection->session)
        nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                                ARRAY_LEN(settings));
}

void connection_go_away(struct connection *connection, const char *reason)
{
    char data[128];

    if (!connection->session || connection->going_away)
        return;
    connection->going_away = true;
    snprintf(data, sizeof(data), "{\"reason\":\"%s\"}", reason);
    connection->last_stream = nghttp2_session_get_last_proc_stream_id(connection->session);
    nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE, connection->last_stream,
                          NGHTTP2_NO_ERROR, (const uint8_t *)data, strlen(data));
}

static void destroy(struct loop_garbage *garbage)
{
    struct connection *connection = CONTAINER_OF(garbage, struct connection, garbage);

    while (!LIST_EMPTY(&connection->streams))
        stream_free(LIST_FIRST(&connection->streams));
    nghttp2_session_del(connection->session);
    SSL_free(connection->ssl);
    close(connection->fd);
    free(connection);
}

void connection_close(struct connection *connection)
{
    if (connection->closed)
        return;
    connection->closed = true;
    loop_io_remove(connection->simulator->loop, connection->io);
    loop_timer_cancel(connection->simulator->loop, &connection->linger);
    connection->on_closed(connection);
    loop_defer_free(connection->simulator->loop, &connection->garbage);
}

static bool would_block(const struct connection *connection, int r)
{
    int error = SSL_get_error(connection->ssl, r);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void on_linger(struct timer *timer)
{
    connection_close(CONTAINER_OF(timer, struct connection, linger));
}

/* Closing with unread bytes would reset the connection, and the peer would lose answers that are
 * still on their way to it: it is told that nothing follows, and read out. */
static void linger(struct connection *connection)
{
    if (connection->lingering)
        return;
    connection->lingering = true;
    SSL_shutdown(connection->ssl);
    shutdown(connection->fd, SHUT_WR);
    loop_timer_add(connection->simulator->loop, &connection->linger, LINGER_MS);
}

void connection_flush(struct connection *connection)
{
    while (!connection->closed && connection->session) {
        if (connection->out_len == 0) {
            ssize_t len = nghttp2_session_mem_send(connection->session, &connection->out);

            if (len <= 0)
                break;
            connection->out_len = (size_t)len;
        }
        int r = SSL_write(connection->ssl, connection->out, (int)connection->out_len);

        if (r <= 0) {
            if (!would_block(connection, r))
                connection_close(connection);
            break;
        }
        connection->out += r;
        connection->out_len -= (size_t)r;
    }
    if (connection->closed)
        return;
    if (loop_io_set(connection->simulator->loop, connection->io,
                    EPOLLIN | (connection->out_len > 0 ? EPOLLOUT : 0u)) < 0)
        connection_close(connection);
    else if (connection->session && connection->out_len == 0 &&
             !nghttp2_session_want_read(connection->session) &&
             !nghttp2_session_want_write(connection->session))
        linger(connection);
}

static void handshake(struct connection *connection)
{
    int r = SSL_do_handshake(connection->ssl);

    if (r == 1) {
        connection->handshaken = true;
        if (start_session(connection) < 0)
            connection_close(connection);
    } else if (!would_block(connection, r)) {
        connection_close(connection);
    }
}

static void on_io(void *arg, uint32_t events)
{
    struct connection *connection = arg;
    uint8_t data[READ_BYTES];
    int len = 0;

    (void)events;
    if (!connection->handshaken)
        handshake(connection);
    while (!connection->closed && connection->session &&
           (len = SSL_read(connection->ssl, data, sizeof(data))) > 0) {
        if (!connection->lingering &&
            nghttp2_session_mem_recv(connection->session, data, (size_t)len) < 0)
            connection_close(connection);
    }
    if (!connection->closed && connection->session && len <= 0 && !would_block(connection, len)) {
        connection_close(connection);
        return;
    }
    if (!connection->closed && !connection->lingering)
        connection_flush(connection);
}

struct connection *connection_create(struct simulator *simulator, SSL_CTX *ctx, int fd,
                                     void (*on_closed)(struct connection *connection))
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (connection) {
        *connection = (struct connection){.simulator = simulator,
                                          .fd = fd,
                                          .garbage = {.destroy = destroy},
                                          .on_closed = on_closed,
                                          .ssl = SSL_new(ctx)};
        if (connection->ssl && SSL_set_fd(connection->ssl, fd) == 1 &&
            loop_io_add(simulator->loop, fd, EPOLLIN, on_io, connection, &connection->io) == 0) {
            SSL_set_accept_state(connection->ssl);
            timer_init(&connection->linger, on_linger);
            return connection;
        }
        SSL_free(connection->ssl);
        free(connection);
    }
    close(fd);
    return NULL;
}
