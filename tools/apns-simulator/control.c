/* control - see the header. libmicrohttpd runs inside the loop through its epoll descriptor. */
#include "control.h"

#include "behaviour.h"
#include "common/auto.h"
#include "door.h"
#include "pushes.h"
#include "simulator.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Bodies are behaviours: a few hundred bytes. */
#define BODY_MAX 65536
#define STREAM_BLOCK 32768

/* One request, or one stream of events. */
struct call {
    LIST_ENTRY(call) link;
    struct control *control;
    struct MHD_Connection *connection;
    char *body;
    size_t body_len;
    bool too_large, stream, suspended;
    uint64_t next; /* number of the next push of a stream */
    char *event;   /* being written */
    size_t event_len, event_sent;
};

struct control {
    struct simulator *simulator;
    struct MHD_Daemon *daemon;
    loop_id io;
    struct timer timer;
    struct loop_task wake;
    LIST_HEAD(, call) streams;
};

static void run(struct control *control)
{
    MHD_UNSIGNED_LONG_LONG left_ms;

    MHD_run(control->daemon);
    loop_timer_cancel(control->simulator->loop, &control->timer);
    if (MHD_get_timeout(control->daemon, &left_ms) == MHD_YES)
        loop_timer_add(control->simulator->loop, &control->timer, left_ms);
}

static void on_ready(void *arg, uint32_t events)
{
    (void)events;
    run(arg);
}

static void on_timer(struct timer *timer)
{
    run(CONTAINER_OF(timer, struct control, timer));
}

static void on_wake(void *arg)
{
    run(arg);
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             char *owned)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(owned ? strlen(owned) : 0, owned, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result r;

    if (!response) {
        free(owned);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result problem(struct MHD_Connection *connection, unsigned status,
                               const char *detail)
{
    json_t *document = json_pack("{s:s,s:i,s:s}", "title", MHD_get_reason_phrase_for(status),
                                 "status", (int)status, "detail", detail);
    char *text = json_dumps(document, JSON_COMPACT);

    json_decref(document);
    return reply(connection, status, "application/problem+json", text);
}

static enum MHD_Result no_content(struct MHD_Connection *connection)
{
    return reply(connection, MHD_HTTP_NO_CONTENT, "text/plain", NULL);
}

/* --- server-sent events --- */

static ssize_t read_events(void *arg, uint64_t at, char *buf, size_t max)
{
    struct call *call = arg;
    char *push;

    (void)at;
    if (!call->event) {
        push = pushes_next(call->control->simulator, &call->next);
        if (!push) {
            call->suspended = true;
            MHD_suspend_connection(call->connection);
            return 0;
        }
        call->event_sent = 0;
        if (asprintf(&call->event, "data: %s\n\n", push) < 0)
            call->event = NULL;
        free(push);
        if (!call->event)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        call->event_len = strlen(call->event);
    }
    if (max > call->event_len - call->event_sent)
        max = call->event_len - call->event_sent;
    memcpy(buf, call->event + call->event_sent, max);
    call->event_sent += max;
    if (call->event_sent == call->event_len) {
        free(call->event);
        call->event = NULL;
    }
    return (ssize_t)max;
}

static enum MHD_Result start_stream(struct call *call)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_events, call, NULL);
    enum MHD_Result r;

    if (!response)
        return MHD_NO;
    call->stream = true;
    call->next = pushes_end(call->control->simulator);
    LIST_INSERT_HEAD(&call->control->streams, call, link);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    r = MHD_queue_response(call->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return r;
}

static void resume_streams(struct control *control)
{
    struct call *call;

    LIST_FOREACH(call, &control->streams, link)
    {
        if (call->suspended)
            MHD_resume_connection(call->connection);
        call->suspended = false;
    }
}

void control_pushed(struct simulator *simulator)
{
    struct control *control = simulator->control;

    if (!control || LIST_EMPTY(&control->streams))
        return;
    resume_streams(control);
    loop_post(simulator->loop, &control->wake);
}

/* --- the calls --- */

static enum MHD_Result get_pushes(struct call *call)
{
    const char *device =
        MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, "device");

    return reply(call->connection, MHD_HTTP_OK, "application/json",
                 pushes_json(call->control->simulator, device));
}

static enum MHD_Result put_token(struct call *call, const char *token)
{
    const char *why = token_answer_put(call->control->simulator, token, call->body, call->body_len);

    return why ? problem(call->connection, MHD_HTTP_BAD_REQUEST, why)
               : no_content(call->connection);
}

static enum MHD_Result put_behaviour(struct call *call)
{
    const char *why = behaviour_put(call->control->simulator, call->body, call->body_len);

    if (why)
        return problem(call->connection, MHD_HTTP_BAD_REQUEST, why);
    door_behave(call->control->simulator);
    return no_content(call->connection);
}

static enum MHD_Result get_connections(struct call *call)
{
    unsigned open, made;
    json_t *document;
    char *text;

    door_counts(call->control->simulator, &open, &made);
    document = json_pack("{s:i,s:i}", "open", (int)open, "made", (int)made);
    text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    return reply(call->connection, MHD_HTTP_OK, "application/json", text);
}

static enum MHD_Result route(struct call *call, const char *path, const char *method)
{
    static const char tokens[] = "/tokens/";
    struct simulator *simulator = call->control->simulator;
    bool get = strcmp(method, "GET") == 0, put = strcmp(method, "PUT") == 0;
    bool del = strcmp(method, "DELETE") == 0, known = true;

    if (call->too_large)
        return problem(call->connection, MHD_HTTP_CONTENT_TOO_LARGE, "at most 65536 bytes");
    if (strcmp(path, "/pushes") == 0 && get)
        return get_pushes(call);
    if (strcmp(path, "/pushes") == 0 && del) {
        pushes_clear(simulator);
        return no_content(call->connection);
    }
    if (strcmp(path, "/pushes/stream") == 0 && get)
        return start_stream(call);
    if (strcmp(path, "/behaviour") == 0 && put)
        return put_behaviour(call);
    if (strcmp(path, "/connections") == 0 && get)
        return get_connections(call);
    if (strcmp(path, "/healthz") == 0 && get)
        return reply(call->connection, MHD_HTTP_OK, "text/plain", strdup("ok\n"));
    if (strncmp(path, tokens, sizeof(tokens) - 1) == 0) {
        if (put)
            return put_token(call, path + sizeof(tokens) - 1);
        if (del) {
            token_answer_delete(simulator, path + sizeof(tokens) - 1);
            return no_content(call->connection);
        }
    } else {
        known = strcmp(path, "/pushes") == 0 || strcmp(path, "/pushes/stream") == 0 ||
                strcmp(path, "/behaviour") == 0 || strcmp(path, "/connections") == 0;
    }
    return problem(call->connection, known ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND,
                   "see docs/apns-simulator.md for the calls there are");
}

static enum MHD_Result on_call(void *arg, struct MHD_Connection *connection, const char *path,
                               const char *method, const char *version, const char *data,
                               size_t *data_len, void **state)
{
    struct control *control = arg;
    struct call *call = *state;

    (void)version;
    if (!call) {
        call = calloc(1, sizeof(*call));
        if (!call)
            return MHD_NO;
        call->control = control;
        call->connection = connection;
        *state = call;
        return MHD_YES;
    }
    if (*data_len > 0) {
        char *grown = call->body_len + *data_len > BODY_MAX
                          ? NULL
                          : realloc(call->body, call->body_len + *data_len);

        if (grown) {
            memcpy(grown + call->body_len, data, *data_len);
            call->body = grown;
            call->body_len += *data_len;
        } else {
            call->too_large = true;
        }
        *data_len = 0;
        return MHD_YES;
    }
    return route(call, path, method);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct call *call = *state;

    (void)arg, (void)connection, (void)code;
    if (!call)
        return;
    if (call->stream)
        LIST_REMOVE(call, link);
    free(call->event);
    free(call->body);
    free(call);
    *state = NULL;
}

int control_create(struct simulator *simulator, struct err_text *et)
{
    const struct options *o = &simulator->options;
    struct control *control = calloc(1, sizeof(*control));
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->control_port)};
    const union MHD_DaemonInfo *info;

    if (!control)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    simulator->control = control;
    control->simulator = simulator;
    LIST_INIT(&control->streams);
    timer_init(&control->timer, on_timer);
    control->wake = (struct loop_task){.fn = on_wake, .arg = control};
    if (inet_pton(AF_INET, o->control_address, &in.sin_addr) != 1)
        return err_set(et, ERR_CONFIG, "control.address is \"%s\", expected an IPv4 address",
                       o->control_address);
    control->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, (uint16_t)o->control_port, NULL, NULL, on_call,
        control, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&in, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_LISTENING_ADDRESS_REUSE,
        1u, MHD_OPTION_END);
    if (!control->daemon)
        return err_set(et, ERR_SYSTEM, "could not listen on %s port %u: %m", o->control_address,
                       o->control_port);
    info = MHD_get_daemon_info(control->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info ||
        loop_io_add(simulator->loop, info->epoll_fd, EPOLLIN, on_ready, control, &control->io) < 0)
        return err_set(et, ERR_SYSTEM, "could not watch the control door");
    return 0;
}

void control_destroy(struct simulator *simulator)
{
    struct control *control = simulator->control;

    if (!control)
        return;
    loop_io_remove(simulator->loop, control->io);
    loop_timer_cancel(simulator->loop, &control->timer);
    loop_unpost(simulator->loop, &control->wake);
    if (control->daemon) {
        resume_streams(control);
        MHD_stop_daemon(control->daemon);
    }
    free(control);
    simulator->control = NULL;
}
