/* control_routes - a table of calls; a path that is in it with another method is 405, another 404.
 */
#include "control_routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/log.h"

#include "door.h"
#include "rules.h"
#include "simulator.h"

#define JSON "application/json"
#define PROBLEM "application/problem+json"
#define TOKENS "/tokens/"

/* A call under way. */
struct call {
    struct simulator *simulator;
    struct feeds *feeds;
    struct MHD_Connection *connection;
    const struct control_request *request;
    const char *rest; /* of the path, behind the route's */
};

struct route {
    const char *method, *path;
    bool has_rest; /* path is a prefix */
    enum MHD_Result (*handle)(const struct call *call);
};

/* Takes response, which may be NULL. */
static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status, const char *type,
                             struct MHD_Response *response)
{
    enum MHD_Result result = MHD_NO;

    if (response == NULL)
        return MHD_NO;
    if (type == NULL || MHD_add_response_header(response, "Content-Type", type) == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Takes json, which may be NULL. Returns owned, NULL when out of memory. */
static struct MHD_Response *make_json(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    json_decref(json);
    return text != NULL ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE)
                        : NULL;
}

static enum MHD_Result queue_nothing(struct MHD_Connection *connection)
{
    return queue(connection, MHD_HTTP_NO_CONTENT, NULL,
                 MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

/* Returns owned, NULL when out of memory. */
static struct MHD_Response *make_problem(unsigned status, const char *key, const char *detail)
{
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title",
                  MHD_get_reason_phrase_for(status), "status", (int)status, "detail", detail);

    if (json != NULL && key[0] != '\0' && json_object_set_new(json, "key", json_string(key)) < 0)
        log_debug(NULL, "a problem without its key: out of memory, or the key is cut in UTF-8");
    return make_json(json);
}

enum MHD_Result control_problem(struct MHD_Connection *connection, unsigned status, const char *key,
                                const char *detail)
{
    return queue(connection, status, PROBLEM, make_problem(status, key, detail));
}

static enum MHD_Result bad_body(const struct call *call, const struct json_problem *problem)
{
    return control_problem(call->connection, MHD_HTTP_BAD_REQUEST, problem->key,
                           problem->text.text);
}

static enum MHD_Result on_get_pushes(const struct call *call)
{
    return queue(call->connection, MHD_HTTP_OK, JSON,
                 feed_array(call->feeds, call->request->device));
}

static enum MHD_Result on_stream_pushes(const struct call *call)
{
    struct MHD_Response *response =
        feed_events(call->feeds, call->connection, call->request->device);

    if (response != NULL &&
        MHD_add_response_header(response, "Cache-Control", "no-store") != MHD_YES)
        log_debug(NULL, "an event stream without Cache-Control: out of memory");
    return queue(call->connection, MHD_HTTP_OK, "text/event-stream", response);
}

static enum MHD_Result on_delete_pushes(const struct call *call)
{
    pushes_clear(call->simulator->pushes);
    return queue_nothing(call->connection);
}

static enum MHD_Result bad_device(const struct call *call)
{
    return control_problem(call->connection, MHD_HTTP_BAD_REQUEST, "",
                           "the device token must be an even number of hexadecimal digits");
}

static enum MHD_Result on_put_token(const struct call *call)
{
    struct simulator *simulator = call->simulator;
    struct json_problem problem = {0};
    struct device_rule rule;
    int r;

    if (rules_check_device(call->rest) != REASON_NONE)
        return bad_device(call);
    if (device_rule_read(call->request->body, call->request->body_len,
                         loop_wall_ms(simulator->loop), &rule, &problem) < 0)
        return bad_body(call, &problem);
    r = device_rules_put(simulator->rules, call->rest, &rule);
    if (r < 0)
        return control_problem(call->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "",
                               r == ERR_FULL ? "too many device tokens have rules: DELETE some"
                                             : err_string(r));
    return queue_nothing(call->connection);
}

static enum MHD_Result on_delete_token(const struct call *call)
{
    if (rules_check_device(call->rest) != REASON_NONE)
        return bad_device(call);
    /* Undoing what was not done is done. */
    IGNORE_RESULT(device_rules_remove(call->simulator->rules, call->rest));
    return queue_nothing(call->connection);
}

static enum MHD_Result on_put_behaviour(const struct call *call)
{
    struct simulator *simulator = call->simulator;
    struct json_problem problem = {0};

    if (behaviour_read(call->request->body, call->request->body_len, &simulator->behaviour,
                       &problem) < 0)
        return bad_body(call, &problem);
    door_apply_behaviour(simulator->door);
    return queue_nothing(call->connection);
}

static enum MHD_Result on_get_connections(const struct call *call)
{
    struct door_counts counts = door_count(call->simulator->door);

    return queue(
        call->connection, MHD_HTTP_OK, JSON,
        make_json(json_pack("{s:I, s:I, s:I}", "open", (json_int_t)counts.open, "accepted",
                            (json_int_t)counts.accepted, "requests", (json_int_t)counts.requests)));
}

static enum MHD_Result on_get_health(const struct call *call)
{
    return queue(call->connection, MHD_HTTP_OK, JSON,
                 make_json(json_pack("{s:s}", "status", "ok")));
}

static const struct route routes[] = {
    {"GET", "/pushes", false, on_get_pushes},
    {"GET", "/pushes/stream", false, on_stream_pushes},
    {"DELETE", "/pushes", false, on_delete_pushes},
    {"PUT", TOKENS, true, on_put_token},
    {"DELETE", TOKENS, true, on_delete_token},
    {"PUT", "/behaviour", false, on_put_behaviour},
    {"GET", "/connections", false, on_get_connections},
    {"GET", "/healthz", false, on_get_health},
};

static bool matches(const struct route *route, const char *path)
{
    return route->has_rest ? strncmp(path, route->path, strlen(route->path)) == 0
                           : strcmp(path, route->path) == 0;
}

/* allowed: "GET, PUT". */
static enum MHD_Result wrong_method(struct MHD_Connection *connection, const char *allowed)
{
    char detail[128];
    struct MHD_Response *response;

    snprintf(detail, sizeof(detail), "this path takes %s", allowed);
    response = make_problem(MHD_HTTP_METHOD_NOT_ALLOWED, "", detail);
    if (response != NULL && MHD_add_response_header(response, "Allow", allowed) != MHD_YES)
        log_debug(NULL, "an answer without Allow: out of memory");
    return queue(connection, MHD_HTTP_METHOD_NOT_ALLOWED, PROBLEM, response);
}

enum MHD_Result control_route(struct simulator *simulator, struct feeds *feeds,
                              struct MHD_Connection *connection,
                              const struct control_request *request)
{
    char allowed[64] = "";
    size_t len = 0;

    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!matches(&routes[i], request->path))
            continue;
        struct call call = {simulator, feeds, connection, request,
                            request->path + strlen(routes[i].path)};
        if (strcmp(routes[i].method, request->method) == 0)
            return routes[i].handle(&call);
        /* The table has two methods a path at most. */
        len += (size_t)snprintf(allowed + len, sizeof(allowed) - len, "%s%s", len > 0 ? ", " : "",
                                routes[i].method);
    }
    if (len > 0)
        return wrong_method(connection, allowed);
    return control_problem(connection, MHD_HTTP_NOT_FOUND, "",
                           "expected /pushes, /pushes/stream, /tokens/HEX, /behaviour, "
                           "/connections or /healthz");
}
