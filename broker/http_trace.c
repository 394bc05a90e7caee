/* http_trace - GET /v1/messages/MID/trace: the message's life, for its sender and for services. */
#include "broker/http.h"

#include "broker/http_api.h"
#include "broker/pg_array.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/wire.h"

#include <microhttpd.h>

static json_t *text(const PGresult *result, int row, int column)
{
    struct bytes value = pg_get_bytes(result, row, column);

    return json_stringn((const char *)value.data, value.len);
}

static json_t *optional_time(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column)
               ? json_null()
               : json_integer((json_int_t)pg_get_time(result, row, column));
}

static bool same(const PGresult *result, int a, int b, int column)
{
    return bytes_equal(pg_get_bytes(result, a, column), pg_get_bytes(result, b, column)) &&
           PQgetisnull(result, a, column) == PQgetisnull(result, b, column);
}

static json_t *make_event(const PGresult *result, int row)
{
    json_t *event = json_object();

    json_object_set_new(event, "at",
                        json_integer((json_int_t)pg_get_time(result, row, TRACE_EVENT_AT)));
    json_object_set_new(event, "step", text(result, row, TRACE_EVENT_STEP));
    json_object_set_new(event, "outcome", text(result, row, TRACE_EVENT_OUTCOME));
    json_object_set_new(event, "reason", text(result, row, TRACE_EVENT_REASON));
    json_object_set_new(event, "ms",
                        json_integer((json_int_t)pg_get_int8(result, row, TRACE_EVENT_TOOK)));
    return event;
}

static json_t *make_state(const PGresult *result, int row)
{
    bool acked = pg_get_bool(result, row, TRACE_ACKED);

    if (pg_get_bool(result, row, TRACE_ORIGIN))
        return json_string("origin");
    if (acked && !PQgetisnull(result, row, TRACE_PASSED))
        return text(result, row, TRACE_PASSED);
    if (acked)
        return json_string("acknowledged");
    if (pg_get_bool(result, row, TRACE_OVER))
        return json_string("expired");
    return json_string(pg_get_bool(result, row, TRACE_ALERTED) ? "alerted" : "waiting");
}

static json_t *make_device(const PGresult *result, int row)
{
    json_t *device = json_object();

    json_object_set_new(device, "device", text(result, row, TRACE_DEVICE_ID));
    json_object_set_new(device, "state", make_state(result, row));
    json_object_set_new(device, "events", json_array());
    return device;
}

static json_t *make_recipient(const PGresult *result, int row)
{
    int kind = pg_get_int2(result, row, TRACE_KIND);
    json_t *recipient = json_object();

    json_object_set_new(recipient, "user", text(result, row, TRACE_USER_ID));
    /* what the sender's own other devices get */
    json_object_set_new(recipient, "copy",
                        json_boolean(kind == WIRE_BODY_SENT_USER || kind == WIRE_BODY_SENT_GROUP));
    json_object_set_new(recipient, "seq",
                        json_integer((json_int_t)pg_get_int8(result, row, TRACE_SEQ_NO)));
    json_object_set_new(recipient, "expires", optional_time(result, row, TRACE_EXPIRES_AT));
    json_object_set_new(recipient, "read", json_boolean(pg_get_bool(result, row, TRACE_READ)));
    json_object_set_new(recipient, "devices", json_array());
    return recipient;
}

static json_t *make_recipients(const PGresult *result)
{
    json_t *recipients = json_array(), *recipient = NULL, *device = NULL;

    for (int row = 0; row < PQntuples(result); row++) {
        bool next_recipient = row == 0 || !same(result, row, row - 1, TRACE_USER_ID) ||
                              !same(result, row, row - 1, TRACE_SEQ_NO);

        if (next_recipient) {
            recipient = make_recipient(result, row);
            json_array_append_new(recipients, recipient);
        }
        if (PQgetisnull(result, row, TRACE_DEVICE_ID))
            continue;
        if (next_recipient || !same(result, row, row - 1, TRACE_DEVICE_ID)) {
            device = make_device(result, row);
            json_array_append_new(json_object_get(recipient, "devices"), device);
        }
        if (!PQgetisnull(result, row, TRACE_EVENT_AT))
            json_array_append_new(json_object_get(device, "events"), make_event(result, row));
    }
    return recipients;
}

static void on_trace(struct http_call *call, const PGresult *result)
{
    json_t *document;

    if (!result) {
        http_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "the database did not answer");
        return;
    }
    if (PQntuples(result) == 0) {
        http_problem(call, MHD_HTTP_NOT_FOUND,
                     "there is no such message, or it is not kept any more");
        return;
    }
    if (!call->claims.service &&
        !bytes_equal_string(pg_get_bytes(result, 0, TRACE_FROM), call->claims.user)) {
        /* that it exists is not theirs to know either */
        http_problem(call, MHD_HTTP_NOT_FOUND,
                     "there is no such message, or it is not kept any more");
        return;
    }
    document = json_object();
    json_object_set_new(document, "mid",
                        json_stringn((const char *)call->argument.data, call->argument.len));
    json_object_set_new(document, "from", text(result, 0, TRACE_FROM));
    json_object_set_new(document, "accepted",
                        json_integer((json_int_t)pg_get_time(result, 0, TRACE_SENT_AT)));
    json_object_set_new(document, "recipients", make_recipients(result));
    http_reply_json(call, MHD_HTTP_OK, document);
}

void http_trace(struct http_call *call)
{
    struct mid mid;

    if (mid_parse(call->argument, &mid) < 0)
        http_problem(call, MHD_HTTP_BAD_REQUEST,
                     "the message id: expected a UUIDv7, as 018f0000-0001-7000-8000-000000000000");
    else if (!http_api_trace(http_api_of(call->broker), call, &mid, on_trace))
        http_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE,
                     "the database is away, or too many questions wait for it");
}
