/* stream - nghttp2's callbacks: collect a request, judge it, submit the answer.
 *
 * A request is judged and remembered when it is complete, and only then: as Apple, the simulator
 * has nothing to say before it has read everything. Should its answer not go out in the end (the
 * connection is lost, or the client gives up), what is remembered is changed to status 0. */
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "common/auto.h"
#include "common/log.h"

#include "connection.h"
#include "judge.h"
#include "rules.h"
#include "simulator.h"

/* A client that sends so much has lost its way; until then it is read, and answered that it is too
 * large. */
#define BODY_MAX (1024 * 1024)
#define UUID_SIZE 37
/* {"reason":"...","timestamp":...}: a reason of REASON_TEXT_MAX bytes, each escaped. */
#define BODY_SIZE 512

struct stream {
    TAILQ_ENTRY(stream) link;
    struct connection *connection;
    int32_t id;
    struct request request;
    struct answer answer;
    struct timer delay;
    uint64_t number; /* in the store; 0: not there */
    bool complete;   /* judged; what comes later is not looked at */
    bool answered;   /* all of the answer was given to TLS */
    char body[BODY_SIZE];
    size_t body_len;
};

void stream_destroy(struct stream *stream)
{
    struct connection *connection = stream->connection;

    loop_timer_cancel(connection->simulator->loop, &stream->delay);
    if (stream->number != 0 && !stream->answered)
        pushes_unanswered(connection->simulator->pushes, stream->number);
    TAILQ_REMOVE(&connection->streams, stream, link);
    connection->stream_count--;
    request_fini(&stream->request);
    free(stream);
}

/* RFC 9562, version 4, lower case as Apple asks of everybody. */
static void make_uuid(char out[UUID_SIZE])
{
    uint8_t b[16];

    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        memset(b, 0, sizeof(b)); /* so few bytes never fail once the machine is up */
    b[6] = (uint8_t)((b[6] & 0x0F) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3F) | 0x80);
    snprintf(out, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

/* 0 or ERR_NO_MEMORY. */
static int make_body(struct stream *stream)
{
    const struct answer *answer = &stream->answer;
    json_t *json = json_pack("{s:s}", "reason", answer->reason);
    char *text;

    if (json != NULL && answer->timestamp_ms != 0 &&
        json_object_set_new(json, "timestamp", json_integer((json_int_t)answer->timestamp_ms)) <
            0) {
        json_decref(json);
        return ERR_NO_MEMORY;
    }
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL)
        return ERR_NO_MEMORY;
    stream->body_len = strlen(text) < sizeof(stream->body) ? strlen(text) : 0;
    memcpy(stream->body, text, stream->body_len);
    free(text);
    return 0;
}

/* The whole body at once, and END_STREAM with it: some clients choke on an empty frame after it. */
static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct stream *stream = source->ptr;

    (void)session;
    (void)id;
    (void)arg;
    if (stream->body_len > size) { /* a window of less than 100 bytes: in pieces then */
        memcpy(out, stream->body, size);
        memmove(stream->body, stream->body + size, stream->body_len - size);
        stream->body_len -= size;
        return (ssize_t)size;
    }
    memcpy(out, stream->body, stream->body_len);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)stream->body_len;
}

static int submit(struct stream *stream)
{
    const struct simulator *simulator = stream->connection->simulator;
    const nghttp2_data_provider provider = {{.ptr = stream}, on_read_body};
    const char *given = request_apns_header(&stream->request, "apns-id");
    char status[16], id[UUID_SIZE], unique_id[UUID_SIZE], retry_after[24];
    bool accepted = answer_accepts(&stream->answer);
    nghttp2_nv fields[4];
    size_t count = 0;

    snprintf(status, sizeof(status), "%u", stream->answer.status);
    make_uuid(id);
    fields[count++] = header(":status", status);
    fields[count++] =
        header("apns-id", given != NULL && rules_message_id_valid(given) ? given : id);
    if (accepted && strcmp(simulator->options.environment, "development") == 0) {
        make_uuid(unique_id);
        fields[count++] = header("apns-unique-id", unique_id);
    }
    if (stream->answer.retry_after_s != 0) {
        snprintf(retry_after, sizeof(retry_after), "%llu",
                 (unsigned long long)stream->answer.retry_after_s);
        fields[count++] = header("retry-after", retry_after);
    }
    if (!accepted && make_body(stream) < 0)
        return ERR_NO_MEMORY;
    return nghttp2_submit_response(stream->connection->session, stream->id, fields, count,
                                   accepted ? NULL : &provider) == 0
               ? 0
               : ERR_NO_MEMORY;
}

static void reset(struct stream *stream, uint32_t code)
{
    /* It fails only without memory; then the stream stays as if it was hung. */
    IGNORE_RESULT(nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE,
                                            stream->id, code));
    connection_flush_later(stream->connection);
}

static void answer(struct stream *stream)
{
    struct connection *connection = stream->connection;
    const struct behaviour *behaviour = &connection->simulator->behaviour;

    if (submit(stream) < 0) {
        reset(stream, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    connection->active_ms = loop_now_ms(connection->simulator->loop);
    connection->answers++;
    if (stream->id > connection->last_answered)
        connection->last_answered = stream->id;
    if (behaviour->goaway_after != 0 && connection->answers >= behaviour->goaway_after)
        connection_goaway(connection, connection->last_answered, behaviour->goaway_reason);
    connection_flush_later(connection);
}

static void on_delay(struct timer *timer)
{
    answer(CONTAINER_OF(timer, struct stream, delay));
}

/* The request is complete. */
static void finish(struct stream *stream)
{
    struct connection *connection = stream->connection;
    struct simulator *simulator = connection->simulator;
    uint64_t now_ms = loop_wall_ms(simulator->loop);
    bool too_late = connection->ending && stream->id > connection->last_stream;
    struct verdict verdict;

    stream->complete = true;
    connection->active_ms = loop_now_ms(simulator->loop);
    verdict = judge_request(&simulator->judge, &connection->auth, &stream->request, now_ms / 1000);
    if (too_late)
        verdict.answer = (struct answer){0};
    stream->answer = verdict.answer;
    if (stream->request.authorization != NULL &&
        json_object_set_new(stream->request.headers, "authorization",
                            json_string("bearer (not shown)")) < 0)
        log_limited(loop_now_ms(simulator->loop), LOG_WARNING, NULL, "out of memory");
    if (pushes_add(simulator->pushes, now_ms, verdict.device, stream->request.headers,
                   verdict.payload, &stream->answer, &stream->number) < 0)
        log_limited(loop_now_ms(simulator->loop), LOG_WARNING, NULL,
                    "out of memory: a push is not remembered");
    log_debug(NULL, "stream %d: status %u%s%s", stream->id, stream->answer.status,
              stream->answer.reason[0] != '\0' ? " " : "", stream->answer.reason);
    verdict_fini(&verdict);
    connection_announce_streams(connection);
    if (stream->answer.status == 0)
        return;
    if (simulator->behaviour.delay_ms != 0)
        loop_timer_add(simulator->loop, &stream->delay, simulator->behaviour.delay_ms);
    else
        answer(stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct connection *connection = arg;
    struct stream *stream;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    stream = calloc(1, sizeof(*stream));
    if (stream == NULL || request_init(&stream->request) < 0) {
        free(stream);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    stream->connection = connection;
    stream->id = frame->hd.stream_id;
    timer_init(&stream->delay, on_delay);
    TAILQ_INSERT_TAIL(&connection->streams, stream, link);
    connection->stream_count++;
    /* It fails only for a stream that is not there. */
    IGNORE_RESULT(nghttp2_session_set_stream_user_data(session, stream->id, stream));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)arg;
    if (stream == NULL || stream->complete || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers */
    if (request_header(&stream->request, bytes_of(name, (uint32_t)name_len),
                       bytes_of(value, (uint32_t)value_len)) == 0)
        return 0;
    stream->complete = true;
    reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *arg)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

    (void)flags;
    (void)arg;
    if (stream == NULL || stream->complete)
        return 0;
    if (request_body(&stream->request, data, len) < 0 || stream->request.body_bytes > BODY_MAX) {
        stream->complete = true;
        reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct stream *stream;

    (void)arg;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream != NULL && !stream->complete)
        finish(stream);
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct stream *stream;

    (void)arg;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream != NULL)
        stream->answered = true;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

    (void)code;
    (void)arg;
    if (stream != NULL)
        stream_destroy(stream);
    return 0;
}

int stream_callbacks(nghttp2_session_callbacks **ret_callbacks)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return ERR_NO_MEMORY;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    *ret_callbacks = callbacks;
    return 0;
}
