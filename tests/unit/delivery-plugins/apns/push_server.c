/* push_server - see the header. */
#include "push_server.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/auto.h"

#include "delivery-plugins/apns/apns.h"

static void on_peer(void *arg, uint32_t events);

static struct push_request *find_request(const struct push_peer *peer, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(peer->session, stream_id);
}

/* --- sending --- */

static void watch_peer(struct push_peer *p, uint32_t events)
{
    const struct dp_host *host = &p->server->host->host;

    ck_assert_int_eq(host->watch(host->ctx, p->fd, events, on_peer, p), 0);
}

void push_server_disconnect(struct push_peer *p, bool abort)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};

    if (p->fd < 0)
        return;
    watch_peer(p, 0);
    if (abort)
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(p->fd);
    p->fd = -1;
}

/* False: the connection is gone. */
static bool write_bytes(struct push_peer *p)
{
    while (p->out_len > 0) {
        int n;

        ERR_clear_error();
        n = SSL_write(p->ssl, p->out, (int)p->out_len);
        if (n <= 0) {
            int error = SSL_get_error(p->ssl, n);

            if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ)
                return true;
            push_server_disconnect(p, false);
            return false;
        }
        p->out += n;
        p->out_len -= (size_t)n;
    }
    return true;
}

static void flush(struct push_peer *p)
{
    while (p->fd >= 0 && p->ready) {
        ssize_t len;

        if (!write_bytes(p) || p->out_len > 0)
            break;
        len = nghttp2_session_mem_send(p->session, &p->out);
        ck_assert_int_ge(len, 0);
        if (len == 0)
            break;
        p->out_len = (size_t)len;
    }
    if (p->fd >= 0)
        watch_peer(p, DP_READABLE | (p->out_len > 0 ? (uint32_t)DP_WRITABLE : 0));
}

static ssize_t read_answer(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t len,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct push_request *r = source->ptr;
    size_t rest = strlen(r->out) - r->out_sent;

    (void)session, (void)stream_id, (void)arg;
    len = len < rest ? len : rest;
    memcpy(buf, r->out + r->out_sent, len);
    r->out_sent += len;
    if (len == rest)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static void submit(struct push_request *r, const struct push_answer *a)
{
    char status[12];
    nghttp2_data_provider body = {.source.ptr = r, .read_callback = read_answer};
    nghttp2_nv headers[3];
    size_t count = 0;

    snprintf(status, sizeof(status), "%u", a->status ? a->status : 200);
    headers[count++] = nv(":status", status);
    headers[count++] = nv("apns-id", r->apns_id);
    if (a->retry_after)
        headers[count++] = nv("retry-after", a->retry_after);
    r->out = a->body;
    r->out_sent = 0;
    r->answered = true;
    ck_assert_int_eq(nghttp2_submit_response(r->peer->session, r->stream_id, headers, count,
                                             a->body ? &body : NULL),
                     0);
}

void push_server_answer(struct push_request *r, unsigned status, const char *body)
{
    submit(r, &(struct push_answer){.status = status, .body = body});
    flush(r->peer);
}

void push_server_goaway(struct push_peer *p, int32_t last_stream_id)
{
    static const char reason[] = "{\"reason\":\"Shutdown\"}";

    nghttp2_submit_goaway(p->session, NGHTTP2_FLAG_NONE, last_stream_id, NGHTTP2_NO_ERROR,
                          (const uint8_t *)reason, sizeof(reason) - 1);
    flush(p);
}

void push_server_limit(struct push_peer *p, uint32_t max_streams)
{
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams};

    nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, &entry, 1);
    flush(p);
}

void push_server_garbage(struct push_peer *p, const void *data, size_t len)
{
    ck_assert_int_eq(SSL_write(p->ssl, data, (int)len), (int)len);
}

/* --- receiving --- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct push_peer *p = arg;
    struct push_server *s = p->server;
    struct push_request *r = &s->requests[s->request_count];

    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    ck_assert_uint_lt(s->request_count, PUSH_REQUESTS_MAX);
    s->request_count++;
    p->requests++;
    *r = (struct push_request){.peer = p,
                               .peer_index = (size_t)(p - s->peers),
                               .stream_id = frame->hd.stream_id,
                               .at_ms = s->host->wheel.now_ms};
    if (frame->hd.flags & NGHTTP2_FLAG_PRIORITY)
        s->priority_frames++;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, r);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct push_request *r = find_request(arg, frame->hd.stream_id);
    const struct {
        const char *name;
        char *to;
        size_t size;
    } fields[] = {
        {":path", r->path, sizeof(r->path)},
        {"authorization", r->authorization, sizeof(r->authorization)},
        {"apns-topic", r->topic, sizeof(r->topic)},
        {"apns-push-type", r->push_type, sizeof(r->push_type)},
        {"apns-id", r->apns_id, sizeof(r->apns_id)},
        {"apns-collapse-id", r->collapse_id, sizeof(r->collapse_id)},
        {"apns-expiration", r->expiration, sizeof(r->expiration)},
        {"apns-priority", r->priority, sizeof(r->priority)},
    };

    (void)session;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strlen(fields[i].name) != name_len || memcmp(fields[i].name, name, name_len) != 0)
            continue;
        ck_assert_uint_lt(value_len, fields[i].size);
        memcpy(fields[i].to, value, value_len);
        fields[i].to[value_len] = '\0';
        if (i == 0 && !(flags & NGHTTP2_NV_FLAG_NO_INDEX))
            r->path_indexed = true;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *arg)
{
    struct push_request *r = find_request(arg, stream_id);

    (void)session, (void)flags;
    ck_assert_uint_lt(r->body_len + len, sizeof(r->body));
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
    return 0;
}

static void act(struct push_peer *p, struct push_request *r)
{
    struct push_server *s = p->server;
    size_t index = (size_t)(r - s->requests);
    const struct push_answer *a = index < s->script_len ? &s->script[index] : &s->always;

    if (a->action == PUSH_ANSWER)
        submit(r, a);
    else if (a->action == PUSH_RESET)
        nghttp2_submit_rst_stream(p->session, NGHTTP2_FLAG_NONE, r->stream_id, a->error);
    else if (a->action == PUSH_DISCONNECT)
        push_server_disconnect(p, false);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct push_peer *p = arg;

    (void)session;
    if (frame->hd.type == NGHTTP2_PRIORITY)
        p->server->priority_frames++;
    if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        p->server->pings++;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        p->server->resets++;
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        act(p, find_request(p, frame->hd.stream_id));
    return 0;
}

static void start_session(struct push_peer *p)
{
    struct push_server *s = p->server;
    const nghttp2_settings_entry limit = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, s->max_streams};
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;

    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_ping_ack(option, s->mute_pings);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    ck_assert_int_eq(nghttp2_session_server_new2(&p->session, callbacks, p, option), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, &limit, 1);
    p->ready = true;
    if (s->goodbye)
        push_server_goaway(p, 0);
}

static void receive(struct push_peer *p)
{
    uint8_t data[16384];
    int n = 0;

    while (p->fd >= 0) {
        ERR_clear_error();
        n = SSL_read(p->ssl, data, sizeof(data));
        if (n <= 0)
            break;
        if (nghttp2_session_mem_recv(p->session, data, (size_t)n) < 0)
            push_server_disconnect(p, false);
    }
    if (p->fd >= 0 && SSL_get_error(p->ssl, n) != SSL_ERROR_WANT_READ)
        push_server_disconnect(p, false);
}

static void on_peer(void *arg, uint32_t events)
{
    struct push_peer *p = arg;

    (void)events;
    if (!p->ready) {
        int r = SSL_accept(p->ssl);

        if (r == 1)
            start_session(p);
        else if (SSL_get_error(p->ssl, r) != SSL_ERROR_WANT_READ)
            push_server_disconnect(p, false);
    }
    if (p->ready && p->fd >= 0)
        receive(p);
    if (p->ready && p->fd >= 0)
        flush(p);
}

/* --- connections --- */

static void on_listener(void *arg, uint32_t events)
{
    struct push_server *s = arg;
    struct push_peer *p = &s->peers[s->peer_count];
    int one = 1;
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    /* the test's clock does not wait for Nagle and delayed acknowledgements */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ck_assert_msg(s->peer_count < PUSH_PEERS_MAX, "too many connections");
    s->peer_count++;
    *p = (struct push_peer){.server = s,
                            .fd = fd,
                            .ssl = SSL_new(s->keys->server),
                            .accepted_ms = s->host->wheel.now_ms};
    ck_assert(quiet_bio_attach(s->bio, p->ssl, fd));
    SSL_set_accept_state(p->ssl);
    watch_peer(p, DP_READABLE);
    if (s->hang_up)
        push_server_disconnect(p, false);
}

void push_server_listen(struct push_server *s)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(s->address)};
    socklen_t len = sizeof(address);
    int one = 1;

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(s->fd, 64), 0);
    ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&address, &len), 0);
    s->port = ntohs(address.sin_port);
    ck_assert_int_eq(s->host->host.watch(s->host->host.ctx, s->fd, DP_READABLE, on_listener, s), 0);
}

void push_server_refuse(struct push_server *s)
{
    if (s->fd < 0)
        return;
    s->host->host.watch(s->host->host.ctx, s->fd, 0, NULL, NULL);
    close(s->fd);
    s->fd = -1;
}

void push_server_init(struct push_server *s, struct push_host *host, const struct push_keys *keys)
{
    *s = (struct push_server){
        .host = host, .keys = keys, .fd = -1, .address = INADDR_LOOPBACK, .max_streams = 100};
    s->requests = calloc(PUSH_REQUESTS_MAX, sizeof(*s->requests));
    ck_assert_ptr_nonnull(s->requests);
    s->bio = quiet_bio_create();
    ck_assert_ptr_nonnull(s->bio);
    push_server_listen(s);
}

void push_server_fini(struct push_server *s)
{
    push_server_refuse(s);
    for (size_t i = 0; i < s->peer_count; i++) {
        push_server_disconnect(&s->peers[i], false);
        nghttp2_session_del(s->peers[i].session);
        SSL_free(s->peers[i].ssl);
    }
    BIO_meth_free(s->bio);
    free(s->requests);
}

struct awaited {
    const struct push_server *server;
    size_t requests;
};

static bool enough(void *arg)
{
    const struct awaited *a = arg;

    return a->server->request_count >= a->requests;
}

void push_server_await(struct push_server *s, size_t requests)
{
    struct awaited a = {.server = s, .requests = requests};

    ck_assert_msg(push_host_until(s->host, 120000, enough, &a),
                  "%zu requests after two minutes, not %zu", s->request_count, requests);
}
