/* connection - one connection to the push service: socket, TLS, HTTP/2.
 *
 * nghttp2 has the protocol, flow control included; what is decided here is how many streams are
 * open, when the connection is dead, and what becomes of its requests then. */
#include "apns.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384
/* Streams we would ever open on one connection, whatever the server allows: more only queue there.
 */
#define STREAMS_MAX 1000
/* Reads in one turn: a server that never pauses must not keep the loop. */
#define READS_MAX 64

static void on_watch(void *arg, uint32_t events);

/* --- closing --- */

static void free_connection(struct connection *c)
{
    nghttp2_session_del(c->session);
    SSL_free(c->ssl);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

/* What was sent and not answered is ambiguous: it goes again, with the same apns-id and
 * apns-collapse-id, so that the service and the phone take both for one. */
static void requeue(struct connection *c)
{
    struct request *r;

    while ((r = TAILQ_LAST(&c->sent, request_list))) {
        TAILQ_REMOVE(&c->sent, r, link);
        lane_again(r, "connection-lost");
    }
    c->streams = 0;
}

void connection_close(struct connection *c, const char *why)
{
    struct lane *lane = c->lane;

    if (c->dead)
        return;
    c->dead = true;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (lane->connections[i] == c)
            lane->connections[i] = NULL;
    }
    if (c->state == CONNECTION_READY)
        apns_count(lane->apns, "connections_closed");
    apns_log(lane->apns, DP_LOG_DEBUG, "connection to %s closed: %s", lane->endpoint->host, why);
    resolve_cancel(c->resolve);
    c->resolve = NULL;
    if (c->fd >= 0)
        lane->apns->host->watch(lane->apns->host->ctx, c->fd, 0, NULL, NULL);
    requeue(c);
    if (!c->inside)
        free_connection(c);
}

/* It broke: the next one waits for its turn. */
static void lost(struct connection *c, const char *why)
{
    struct lane *lane = c->lane;

    if (c->dead)
        return;
    apns_count(lane->apns, "connections_lost");
    if (c->state != CONNECTION_READY || !c->draining) {
        lane_connect_failed(lane);
        if (c->state != CONNECTION_READY)
            lane_failed(lane, why, false, 0);
    }
    connection_close(c, why);
}

/* --- HTTP/2 --- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    char text[24];

    (void)flags, (void)arg;
    if (!r || value_len >= sizeof(text))
        return 0;
    memcpy(text, value, value_len);
    text[value_len] = '\0';
    if (name_len == 7 && memcmp(name, ":status", 7) == 0)
        r->status = (unsigned)strtoul(text, NULL, 10);
    if (name_len == 11 && memcmp(name, "retry-after", 11) == 0 && text[0] >= '0' &&
        text[0] <= '9') {
        /* seconds; a date is not what this service sends */
        r->retry_after_s = strtoul(text, NULL, 10) > 86400 ? 86400 : strtoul(text, NULL, 10);
        r->has_retry_after = true;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *arg)
{
    struct request *r = nghttp2_session_get_stream_user_data(session, stream_id);
    size_t room = r ? sizeof(r->body) - r->body_len : 0;

    (void)flags, (void)arg;
    if (r) {
        memcpy(r->body + r->body_len, data, len < room ? len : room);
        r->body_len += len < room ? len : room;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *arg)
{
    struct connection *c = arg;
    struct request *r = nghttp2_session_get_stream_user_data(session, stream_id);

    if (!r || r->connection != c)
        return 0;
    if (error == NGHTTP2_NO_ERROR && r->status != 0) {
        request_answered(r);
        return 0;
    }
    TAILQ_REMOVE(&c->sent, r, link);
    c->streams--;
    lane_again(r, error == NGHTTP2_REFUSED_STREAM ? "stream-refused" : "stream-reset");
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct connection *c = arg;

    (void)session;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        c->ping_ms = 0;
    if (frame->hd.type == NGHTTP2_GOAWAY && !c->draining) {
        connection_drain(c);
        apns_count(c->lane->apns, "goaways");
        apns_log(c->lane->apns, DP_LOG_INFO, "%s says goodbye: %.*s", c->lane->endpoint->host,
                 frame->goaway.opaque_data_len > 100 ? 100 : (int)frame->goaway.opaque_data_len,
                 (const char *)frame->goaway.opaque_data);
    }
    return 0;
}

static bool start_session(struct connection *c)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                               {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384}};
    nghttp2_session_callbacks *callbacks;
    int r;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    r = nghttp2_session_client_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    return r == 0 && nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2) == 0;
}

void connection_drain(struct connection *c)
{
    if (c->draining)
        return;
    c->draining = true;
    /* one that never did any work is followed by the next after a pause, not at once for ever */
    if (!c->trusted)
        lane_connect_failed(c->lane);
}

uint32_t connection_room(const struct connection *c)
{
    uint32_t ours = c->trusted ? STREAMS_MAX : 1;
    uint32_t limit;

    if (c->state != CONNECTION_READY || c->draining || c->dead)
        return 0;
    limit =
        nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (limit > ours)
        limit = ours;
    /* a closed window would only move the queue to where nobody sees it */
    if (c->streams > 0 && nghttp2_session_get_remote_window_size(c->session) < 4096)
        return 0;
    return c->streams < limit ? limit - c->streams : 0;
}

static ssize_t read_payload(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t len,
                            uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct request *r = nghttp2_session_get_stream_user_data(session, stream_id);

    (void)source, (void)arg;
    if (!r)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (len > r->payload_len - r->payload_sent)
        len = r->payload_len - r->payload_sent;
    memcpy(buf, r->payload + r->payload_sent, len);
    r->payload_sent += len;
    if (r->payload_sent == r->payload_len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static nghttp2_nv nv(const char *name, const char *value, uint8_t flags)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), flags};
}

int connection_send(struct connection *c, struct request *r)
{
    struct apns *apns = c->lane->apns;
    const char *authorization = token_get(apns, c->lane->key);
    nghttp2_data_provider payload = {.read_callback = read_payload};
    const nghttp2_nv headers[] = {
        nv(":method", "POST", NGHTTP2_NV_FLAG_NONE),
        nv(":scheme", "https", NGHTTP2_NV_FLAG_NONE),
        /* it carries the device token, each another: never into the table, nor on any proxy's */
        nv(":path", r->path, NGHTTP2_NV_FLAG_NO_INDEX),
        nv(":authority", c->lane->endpoint->host, NGHTTP2_NV_FLAG_NONE),
        nv("authorization", authorization ? authorization : "", NGHTTP2_NV_FLAG_NONE),
        nv("apns-topic", r->topic_name, NGHTTP2_NV_FLAG_NONE),
        nv("apns-push-type", "alert", NGHTTP2_NV_FLAG_NONE),
        nv("apns-id", r->apns_id, NGHTTP2_NV_FLAG_NO_INDEX),
        nv("apns-collapse-id", r->collapse_id, NGHTTP2_NV_FLAG_NO_INDEX),
        nv("apns-expiration", r->expiration, NGHTTP2_NV_FLAG_NO_INDEX),
        nv("apns-priority", r->priority, NGHTTP2_NV_FLAG_NONE),
    };

    if (!authorization) {
        request_complete(r, DP_RETRY, 0, 0, "signing-failed");
        return 0;
    }
    r->payload_sent = 0;
    r->stream_id = nghttp2_submit_request(c->session, NULL, headers,
                                          sizeof(headers) / sizeof(headers[0]), &payload, r);
    if (r->stream_id < 0) {
        connection_drain(c); /* out of stream ids, or of memory */
        lane_again(r, "connection-lost");
        return -1;
    }
    r->token_iat_s = c->lane->key->iat_s;
    if (r->sent_wall_ms == 0)
        r->sent_wall_ms = apns->host->wall_ms(apns->host->ctx);
    r->state = REQUEST_SENT;
    r->connection = c;
    c->streams++;
    TAILQ_INSERT_TAIL(&c->sent, r, link);
    apns_count(apns, "sent");
    return 0;
}

void connection_reset(struct connection *c, struct request *r)
{
    TAILQ_REMOVE(&c->sent, r, link);
    c->streams--;
    r->connection = NULL;
    nghttp2_session_set_stream_user_data(c->session, r->stream_id, NULL);
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_CANCEL);
}

/* --- bytes --- */

static bool would_block(const struct connection *c, int r)
{
    int error = SSL_get_error(c->ssl, r);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void watch(struct connection *c, uint32_t events)
{
    const struct dp_host *host = c->lane->apns->host;

    if (host->watch(host->ctx, c->fd, events, on_watch, c) != 0)
        lost(c, "out of memory");
}

void connection_flush(struct connection *c)
{
    bool was_inside = c->inside;

    if (c->busy)
        return; /* whoever is in nghttp2 flushes afterwards */
    c->inside = true;
    while (!c->dead && c->state == CONNECTION_READY) {
        int r;

        if (c->out_len == 0) {
            ssize_t len;

            c->busy = true;
            len = nghttp2_session_mem_send(c->session, &c->out);
            c->busy = false;

            if (len < 0)
                lost(c, "protocol error");
            if (len <= 0)
                break;
            c->out_len = (size_t)len;
        }
        ERR_clear_error();
        r = SSL_write(c->ssl, c->out, (int)c->out_len);
        if (r <= 0) {
            if (!would_block(c, r))
                lost(c, "could not write");
            break;
        }
        c->out += r;
        c->out_len -= (size_t)r;
    }
    /* what the server did wrong, nghttp2 has answered: nothing goes over this session any more */
    if (!c->dead && c->state == CONNECTION_READY && c->out_len == 0 &&
        !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session)) {
        if (c->draining && c->streams == 0)
            connection_close(c, "said goodbye");
        else
            lost(c, "protocol error");
    }
    if (!c->dead && c->state == CONNECTION_READY)
        watch(c, DP_READABLE | (c->out_len > 0 ? (uint32_t)DP_WRITABLE : 0));
    c->inside = was_inside;
    if (c->dead && !was_inside)
        free_connection(c);
}

/* A certificate for another name is nobody's, so a failure here must end the connection. */
static bool expect_name(struct connection *c)
{
    const char *host = c->lane->endpoint->host;

    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), host) == 1 ||
           (SSL_set_tlsext_host_name(c->ssl, host) == 1 && SSL_set1_host(c->ssl, host) == 1);
}

static void start_tls(struct connection *c)
{
    const struct lane *lane = c->lane;
    static const unsigned char h2[] = {2, 'h', '2'};
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        lost(c, strerror(error ? error : errno));
        return;
    }
    c->ssl = SSL_new(lane->apns->ssl_ctx);
    if (!c->ssl || !quiet_bio_attach(lane->apns->bio, c->ssl, c->fd) ||
        SSL_set_alpn_protos(c->ssl, h2, sizeof(h2)) != 0 || !expect_name(c)) {
        lost(c, "out of memory");
        return;
    }
    SSL_set_connect_state(c->ssl);
    c->state = CONNECTION_TLS;
}

static void handshake(struct connection *c)
{
    const unsigned char *protocol = NULL;
    unsigned len = 0;
    int r;

    ERR_clear_error();
    r = SSL_do_handshake(c->ssl);
    if (r != 1) {
        if (would_block(c, r))
            watch(c, SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_WRITE ? DP_WRITABLE : DP_READABLE);
        else if (SSL_get_verify_result(c->ssl) != X509_V_OK)
            lost(c, X509_verify_cert_error_string(SSL_get_verify_result(c->ssl)));
        else
            lost(c, "TLS handshake failed");
        return;
    }
    SSL_get0_alpn_selected(c->ssl, &protocol, &len);
    if (len != 2 || memcmp(protocol, "h2", 2) != 0) {
        lost(c, "the server does not speak HTTP/2");
        return;
    }
    if (!start_session(c)) {
        lost(c, "out of memory");
        return;
    }
    c->state = CONNECTION_READY;
    c->last_heard_ms = now_ms(c->lane->apns);
    apns_count(c->lane->apns, "connections_opened");
}

static void read_all(struct connection *c)
{
    uint8_t data[READ_BYTES];
    unsigned reads = 0;
    int len;

    do {
        ERR_clear_error();
        len = SSL_read(c->ssl, data, sizeof(data));
        if (len > 0) {
            c->last_heard_ms = now_ms(c->lane->apns);
            c->busy = true;
            ssize_t used = nghttp2_session_mem_recv(c->session, data, (size_t)len);

            c->busy = false;
            if (used < 0)
                lost(c, "protocol error");
        }
        /* what OpenSSL has decrypted already wakes nobody */
    } while (!c->dead && len > 0 && (++reads < READS_MAX || SSL_pending(c->ssl) > 0));
    if (!c->dead && len <= 0 && !would_block(c, len))
        lost(c, "closed by the server");
}

static void on_watch(void *arg, uint32_t events)
{
    struct connection *c = arg;
    struct lane *lane = c->lane;

    (void)events;
    c->inside = true;
    if (c->state == CONNECTION_TCP)
        start_tls(c);
    if (!c->dead && c->state == CONNECTION_TLS)
        handshake(c);
    if (!c->dead && c->state == CONNECTION_READY)
        read_all(c);
    if (!c->dead && c->state == CONNECTION_READY)
        connection_flush(c);
    if (!c->dead && c->state == CONNECTION_READY && c->draining && c->streams == 0)
        connection_close(c, "said goodbye");
    c->inside = false;
    if (c->dead)
        free_connection(c);
    lane_run(lane);
}

static void on_resolved(void *arg, int fd, const char *error)
{
    struct connection *c = arg;
    struct lane *lane = c->lane;

    c->resolve = NULL;
    c->fd = fd;
    if (fd < 0) {
        lost(c, error);
        lane_run(lane);
        return;
    }
    c->state = CONNECTION_TCP;
    watch(c, DP_WRITABLE);
}

struct connection *connection_create(struct lane *lane)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->lane = lane;
    c->fd = -1;
    c->began_ms = now_ms(lane->apns);
    TAILQ_INIT(&c->sent);
    c->resolve =
        resolve_start(lane->apns->host, lane->endpoint, lane->connect_failures, on_resolved, c);
    if (c->resolve)
        return c;
    free(c);
    return NULL;
}

/* --- deadlines --- */

static void check_requests(struct connection *c)
{
    struct lane *lane = c->lane;
    struct request *r;

    /* from the start each time: the host may deliver from inside complete, which moves the list */
    while (!c->dead && (r = request_first_late(&c->sent, now_ms(lane->apns)))) {
        connection_reset(c, r);
        apns_count(lane->apns, "timeouts");
        if (!c->trusted)
            connection_drain(c); /* it has never answered: not the one to try again */
        lane_failed(lane, "no answer in time", false, 0);
        request_complete(r, DP_RETRY, 0, 0, "timeout");
    }
}

static void check_ready(struct connection *c)
{
    const struct options *o = &c->lane->apns->options;
    uint64_t now = now_ms(c->lane->apns);

    if (c->draining && c->streams == 0) {
        connection_close(c, "said goodbye");
        return;
    }
    check_requests(c);
    if (c->dead)
        return;
    if (c->ping_ms != 0 && now - c->ping_ms >= o->ping_timeout_ms) {
        lost(c, "no answer to a ping");
        return;
    }
    /* idle, or an answer is late: is anybody there? */
    if (c->ping_ms == 0 && now - c->last_heard_ms >= o->ping_idle_ms) {
        c->ping_ms = now;
        nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
        apns_count(c->lane->apns, "pings");
    }
    connection_flush(c);
}

void connection_check(struct connection *c)
{
    const struct options *o = &c->lane->apns->options;

    c->inside = true;
    if (c->state == CONNECTION_READY)
        check_ready(c);
    else if (now_ms(c->lane->apns) - c->began_ms >= o->connect_timeout_ms)
        lost(c, "no connection in time");
    c->inside = false;
    if (c->dead)
        free_connection(c);
}
