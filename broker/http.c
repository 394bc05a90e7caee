/* http - see the header. */
#include "broker/http.h"

#include "broker/broker.h"
#include "broker/http_api.h"
#include "broker/http_config.h"
#include "common/auto.h"
#include "common/log.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

/* Bodies of this door's calls so far are empty; an envelope fits many times. */
#define BODY_MAX 1048576
/* A client that is slower than this holds a connection that somebody else needs. */
#define TIMEOUT_S 30

struct http {
    struct broker *broker;
    struct MHD_Daemon *daemon;
    struct http_config config;
    struct http_api *api;
    loop_id io;
    struct timer timer;
    struct loop_task wake;
};

static const struct http_route routes[] = {
    {"GET", "/healthz", HTTP_ANYONE, http_healthz},
    {"GET", "/readyz", HTTP_ANYONE, http_readyz},
    {"GET", "/metrics", HTTP_ANYONE, http_metrics},
    {"GET", "/v1/messages/*/trace", HTTP_TOKEN, http_trace},
};

/* --- answers --- */

/* Inside MHD's callback the answer is queued by it; a suspended call is taken up again. */
static void answered(struct http_call *call, unsigned status, struct MHD_Response *response)
{
    struct http *http = call->broker->http;

    call->status = status;
    call->response = response;
    if (!call->suspended)
        return;
    call->suspended = false;
    MHD_resume_connection(call->connection);
    loop_post(call->broker->loop, &http->wake);
}

void http_reply(struct http_call *call, unsigned status, const char *type, char *text)
{
    struct MHD_Response *response;

    if (!text)
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    response =
        MHD_create_response_from_buffer(text ? strlen(text) : 0, text, MHD_RESPMEM_MUST_FREE);
    if (response) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        if (status == MHD_HTTP_UNAUTHORIZED)
            MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                    call->token_given ? "Bearer error=\"invalid_token\""
                                                      : "Bearer");
        if (call->too_large) /* the rest of the body is not read */
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
            MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    } else {
        free(text);
    }
    answered(call, status, response);
}

void http_reply_json(struct http_call *call, unsigned status, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;

    json_decref(document);
    http_reply(call, status, "application/json", text);
}

/* peer=ADDRESS:PORT user=USER, as far as they are known. */
static size_t describe_call(const void *object, char *out, size_t size)
{
    const struct http_call *call = object;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *peer = info ? info->client_addr : NULL;
    bool six = peer && peer->sa_family == AF_INET6;
    char host[64], port[16], text[96];
    size_t len = 0;

    if (peer &&
        getnameinfo(peer, six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in), host,
                    sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        snprintf(text, sizeof(text), six ? "[%s]:%s" : "%s:%s", host, port);
        len = log_kv(out, size, len, "peer", text);
    }
    if (call->claims.user[0] != '\0')
        len = log_kv(out, size, len, "user", call->claims.user);
    return len;
}

/* A path that is not there is what anybody's browser or scanner asks for. */
static void log_refusal(const struct http_call *call, unsigned status, const char *detail)
{
    const struct log_subject subject = {describe_call, call};
    uint64_t now_ms = loop_now_ms(call->broker->loop);

    if (status == MHD_HTTP_NOT_FOUND)
        log_limited(now_ms, LOG_DEBUG, &subject, "http: %u for \"%s\": %s", status, call->path,
                    detail);
    else if (status >= 400 && status < 500)
        log_limited(now_ms, LOG_WARNING, &subject, "http: %u for \"%s\": %s", status, call->path,
                    detail);
}

void http_problem(struct http_call *call, unsigned status, const char *detail)
{
    json_t *document =
        json_pack("{s:s,s:s,s:i,s:s}", "type", "about:blank", "title",
                  MHD_get_reason_phrase_for(status), "status", (int)status, "detail", detail);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;

    json_decref(document);
    log_refusal(call, status, detail);
    http_reply(call, status, "application/problem+json", text);
}

/* --- which call it is --- */

/* True when path matches pattern, whose one * is a level. */
static bool match(const char *pattern, const char *path, struct bytes *ret_argument)
{
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : strlen(pattern), len;

    if (!star)
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, before) != 0)
        return false;
    len = strcspn(path + before, "/");
    *ret_argument = bytes_of(path + before, (uint32_t)len);
    return len > 0 && strcmp(path + before + len, star + 1) == 0;
}

static const struct http_route *find_route(struct http_call *call, const char *path,
                                           const char *method, bool *ret_path_known)
{
    *ret_path_known = false;
    call->head = strcmp(method, "HEAD") == 0;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!match(routes[i].path, path, &call->argument))
            continue;
        *ret_path_known = true;
        if (strcmp(routes[i].method, call->head ? "GET" : method) == 0)
            return &routes[i];
    }
    return NULL;
}

static void count_refused(struct metrics *metrics, enum token_why why)
{
    static const size_t counters[TOKEN_KIND_COUNT] = {
#define TOKEN_KIND(name, text) [TOKEN_KIND_##name] = offsetof(struct metrics, http_tokens_##name),
#define TOKEN_WHY(name, kind, text)
#include "common/token_why.def"
#undef TOKEN_KIND
#undef TOKEN_WHY
    };

    ++*(uint64_t *)(void *)((char *)metrics + counters[token_why_kind(why)]);
}

/* True: go on. Else the call is answered. */
static bool authorize(struct http_call *call)
{
    static const char bearer[] = "Bearer ";
    const struct http *http = call->broker->http;
    const char *value = MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND,
                                                    MHD_HTTP_HEADER_AUTHORIZATION);
    enum token_why why;
    char detail[128];

    if (call->route->access == HTTP_ANYONE)
        return true;
    if (!http->config.tokens) {
        http_problem(call, MHD_HTTP_FORBIDDEN,
                     "no keys are configured (auth.keys), so that no token is good here");
        return false;
    }
    if (!value || strncasecmp(value, bearer, sizeof(bearer) - 1) != 0) {
        count_refused(&call->broker->metrics, TOKEN_WHY_MISSING);
        http_problem(call, MHD_HTTP_UNAUTHORIZED, "expected \"Authorization: Bearer TOKEN\"");
        return false;
    }
    call->token_given = true;
    if (token_verify(http->config.tokens, bytes_of_string(value + sizeof(bearer) - 1),
                     loop_wall_clock_ms() / 1000, &call->claims, &why) == TOKEN_VALID)
        return true;
    /* expired or of another issuer as well: RFC 6750 section 3.1 */
    count_refused(&call->broker->metrics, why);
    snprintf(detail, sizeof(detail), "the token: %s", token_why_text(why));
    http_problem(call, MHD_HTTP_UNAUTHORIZED, detail);
    return false;
}

static void route_call(struct http_call *call, const char *method)
{
    bool path_known;

    call->route = find_route(call, call->path, method, &path_known);
    if (!call->route && path_known) {
        http_problem(call, MHD_HTTP_METHOD_NOT_ALLOWED, "expected GET");
    } else if (!call->route) {
        http_problem(call, MHD_HTTP_NOT_FOUND, "there is no such path");
    } else if (authorize(call)) {
        call->body = bytes_of(call->buffer, (uint32_t)call->buffer_len);
        call->route->handle(call);
    }
}

/* --- libmicrohttpd --- */

static unsigned connections(const struct http *http)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return info ? info->num_connections : 0;
}

/* At its limit the daemon stops watching its listening socket, and watches it again only in a run
 * that begins below the limit: without that one nothing would ever wake it. */
static void run(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG left_ms;
    unsigned before;

    do {
        before = connections(http);
        MHD_run(http->daemon);
    } while (connections(http) < before);
    loop_timer_cancel(http->broker->loop, &http->timer);
    if (MHD_get_timeout(http->daemon, &left_ms) == MHD_YES)
        loop_timer_add(http->broker->loop, &http->timer, left_ms);
}

static void on_ready(void *arg, uint32_t events)
{
    (void)events;
    run(arg);
}

static void on_timer(struct timer *timer)
{
    run(CONTAINER_OF(timer, struct http, timer));
}

static void on_wake(void *arg)
{
    run(arg);
}

static struct http_call *call_create(struct http *http, struct MHD_Connection *connection,
                                     const char *path)
{
    struct http_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->broker = http->broker;
    call->connection = connection;
    call->path = strdup(path);
    if (call->path)
        return call;
    free(call);
    return NULL;
}

/* A body that says how long it is, is refused before it is read. */
static bool announces_too_much(struct MHD_Connection *connection)
{
    const char *text =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return text && strtoull(text, NULL, 10) > BODY_MAX;
}

static bool take_body(struct http_call *call, const char *data, size_t len)
{
    char *grown =
        call->buffer_len + len > BODY_MAX ? NULL : realloc(call->buffer, call->buffer_len + len);

    if (!grown)
        return false;
    memcpy(grown + call->buffer_len, data, len);
    call->buffer = grown;
    call->buffer_len += len;
    return true;
}

static enum MHD_Result queue(struct http_call *call)
{
    enum MHD_Result r;

    if (!call->response)
        return MHD_NO; /* out of memory: the connection is closed */
    r = MHD_queue_response(call->connection, call->status, call->response);
    MHD_destroy_response(call->response);
    call->response = NULL;
    return r;
}

static enum MHD_Result on_call(void *arg, struct MHD_Connection *connection, const char *path,
                               const char *method, const char *version, const char *data,
                               size_t *data_len, void **state)
{
    struct http_call *call = *state;

    (void)version;
    if (!call) {
        *state = call = call_create(arg, connection, path);
        if (!call)
            return MHD_NO;
        call->too_large = announces_too_much(connection);
        if (!call->too_large)
            return MHD_YES;
        http_problem(call, MHD_HTTP_CONTENT_TOO_LARGE, "a body has at most 1048576 bytes");
        return queue(call);
    }
    if (*data_len > 0) {
        /* in the middle of a body nothing can be said: the connection is closed */
        if (!take_body(call, data, *data_len))
            return MHD_NO;
        *data_len = 0;
        return MHD_YES;
    }
    if (!call->routed) {
        call->routed = true;
        route_call(call, method);
        if (call->status == 0) {
            call->suspended = true;
            MHD_suspend_connection(connection);
            return MHD_YES;
        }
    }
    return queue(call);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct http_call *call = *state;

    (void)arg, (void)connection, (void)code;
    if (!call)
        return;
    if (call->response)
        MHD_destroy_response(call->response);
    free(call->path);
    free(call->buffer);
    free(call);
    *state = NULL;
}

static void on_log(void *arg, const char *format, va_list args)
{
    struct http *http = arg;
    char text[256];

    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    log_limited(loop_now_ms(http->broker->loop), LOG_DEBUG, NULL, "http: %s", text);
}

/* --- start and end --- */

static int listen_on(struct http *http, struct err_text *et)
{
    const struct options *o = &http->broker->options;
    const struct http_config *config = &http->config;
    const union MHD_DaemonInfo *info;
    bool six = config->address.ss_family == AF_INET6;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, config->certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, config->key},
        {MHD_OPTION_END, 0, NULL},
    };

    errno = 0;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
            (six ? (unsigned)MHD_USE_IPv6 : 0u) | (config->key ? (unsigned)MHD_USE_TLS : 0u),
        0, NULL, NULL, on_call, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, http,
        MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&config->address,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_LIMIT, o->http_max_connections, MHD_OPTION_ARRAY,
        config->key ? tls : &tls[2], MHD_OPTION_END);
    if (!http->daemon)
        return err_set(et, ERR_SYSTEM, "http: could not listen on %s: %m", o->http_listen);
    info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info ||
        loop_io_add(http->broker->loop, info->epoll_fd, EPOLLIN, on_ready, http, &http->io) < 0)
        return err_set(et, ERR_SYSTEM, "http: could not watch the door");
    return 0;
}

int http_create(struct broker *broker, const config_t *config, struct err_text *et)
{
    struct http *http;

    if (broker->options.http_listen[0] == '\0')
        return 0;
    http = calloc(1, sizeof(*http));
    if (!http)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    broker->http = http;
    http->broker = broker;
    timer_init(&http->timer, on_timer);
    http->wake = (struct loop_task){.fn = on_wake, .arg = http};
    return http_config_read(&broker->options, config, &http->config, et);
}

int http_start(struct broker *broker, struct err_text *et)
{
    struct http *http = broker->http;
    int r;

    if (!http)
        return 0;
    http->api = http_api_create(broker);
    r = http->api ? listen_on(http, et) : err_set(et, ERR_NO_MEMORY, "out of memory");
    if (r == 0)
        log_info(NULL, "http on %s%s", broker->options.http_listen,
                 http->config.key ? " (TLS)" : "");
    return r;
}

void http_take_tokens(struct broker *broker, struct token_keys *tokens)
{
    if (!broker->http) {
        token_keys_destroy(tokens);
        return;
    }
    token_keys_destroy(broker->http->config.tokens);
    broker->http->config.tokens = tokens;
}

struct http_api *http_api_of(struct broker *broker)
{
    return broker->http->api;
}

void http_destroy(struct broker *broker)
{
    struct http *http = broker->http;

    if (!http)
        return;
    http_api_destroy(http->api); /* answers what waits for the database */
    loop_io_remove(broker->loop, http->io);
    loop_timer_cancel(broker->loop, &http->timer);
    loop_unpost(broker->loop, &http->wake);
    if (http->daemon) {
        MHD_run(http->daemon);
        MHD_stop_daemon(http->daemon);
    }
    http_config_fini(&http->config);
    free(http);
    broker->http = NULL;
}
