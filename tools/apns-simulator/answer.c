/* answer - what a request is answered with: the behaviour that was asked for, a token's own answer,
 * or what the rules say. */
#include "connection.h"

#include "common/auto.h"
#include "provider_token.h"
#include "pushes.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

static void make_uuid(char text[40])
{
    unsigned char b[16] = {0};

    RAND_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(text, 40, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static ssize_t read_answer(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t len,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct stream *stream = source->ptr;
    size_t left = stream->answer_len - stream->answer_sent;

    (void)session, (void)stream_id, (void)arg;
    if (len > left)
        len = left;
    memcpy(buf, stream->answer + stream->answer_sent, len);
    stream->answer_sent += len;
    if (stream->answer_sent == stream->answer_len)
        *flags |= NGHTTP2_DATA_FLAG_EOF; /* END_STREAM on this frame: some clients need that */
    return (ssize_t)len;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static void submit(struct stream *stream, const json_t *token_answer)
{
    const struct simulator *simulator = stream->connection->simulator;
    const struct behaviour *b = &simulator->behaviour;
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_answer};
    char status[16], retry[16], unique[40];
    nghttp2_nv headers[6];
    size_t count = 0;
    json_t *answer;

    snprintf(status, sizeof(status), "%u", stream->verdict.status);
    headers[count++] = nv(":status", status);
    headers[count++] = nv("apns-id", stream->id_text);
    if (stream->verdict.status == 200 &&
        strcmp(simulator->options.environment, "development") == 0) {
        make_uuid(unique);
        headers[count++] = nv("apns-unique-id", unique);
    }
    if (b->has_retry_after && stream->verdict.status != 200) {
        snprintf(retry, sizeof(retry), "%u", b->retry_after);
        headers[count++] = nv("retry-after", retry);
    }
    if (stream->verdict.reason) {
        answer = json_pack("{s:s}", "reason", stream->verdict.reason);
        if (stream->verdict.status == 410)
            json_object_set_new(answer, "timestamp",
                                json_is_integer(json_object_get(token_answer, "timestamp"))
                                    ? json_copy(json_object_get(token_answer, "timestamp"))
                                    : json_integer((json_int_t)loop_wall_ms(simulator->loop)));
        stream->answer = json_dumps(answer, JSON_COMPACT);
        json_decref(answer);
        stream->answer_len = stream->answer ? strlen(stream->answer) : 0;
    }
    nghttp2_submit_response(stream->connection->session, stream->id, headers, count,
                            stream->answer_len > 0 ? &body : NULL);
}

/* The rules first: a request that Apple refuses is refused whatever was asked for. */
static void judge(struct stream *stream, const char **ret_device)
{
    struct connection *connection = stream->connection;
    struct simulator *simulator = connection->simulator;
    const char *authorization = stream->request.headers[HEADER_AUTHORIZATION];
    uint64_t wall_s = loop_wall_ms(simulator->loop) / 1000;

    stream->verdict.reason = rules_path(&stream->request, &stream->verdict.status, ret_device);
    if (stream->verdict.reason)
        return;
    stream->verdict.reason = provider_token_check(
        simulator, bytes_of(authorization, authorization ? (uint32_t)strlen(authorization) : 0),
        wall_s, stream->team);
    if (stream->verdict.reason) {
        stream->verdict.status =
            strcmp(stream->verdict.reason, "TooManyProviderTokenUpdates") == 0 ? 429 : 403;
        return;
    }
    if (connection->team[0] != '\0' && strcmp(connection->team, stream->team) != 0) {
        stream->verdict.status = 403;
        stream->verdict.reason = "InvalidProviderToken"; /* one team a connection */
        return;
    }
    if (connection->team[0] == '\0') {
        snprintf(connection->team, sizeof(connection->team), "%s", stream->team);
        connection_limit(connection);
    }
    stream->verdict = rules_check(&stream->request, *ret_device);
}

static void respond(struct stream *stream)
{
    struct connection *connection = stream->connection;
    struct simulator *simulator = connection->simulator;
    const struct behaviour *b = &simulator->behaviour;
    const char *device = "";
    const json_t *own = NULL;

    judge(stream, &device);
    if (!stream->verdict.reason) {
        char *lower = strdup(device);

        for (char *c = lower; c && *c != '\0'; c++)
            *c = (char)(*c >= 'A' && *c <= 'F' ? *c + 'a' - 'A' : *c);
        own = lower ? json_object_get(simulator->tokens, lower) : NULL;
        free(lower);
        if (own) {
            stream->verdict.status = (unsigned)json_integer_value(json_object_get(own, "status"));
            stream->verdict.reason = json_string_value(json_object_get(own, "reason"));
        } else if (b->status != 0) {
            stream->verdict.status = b->status;
            stream->verdict.reason = b->reason[0] != '\0' ? b->reason : NULL;
        }
    }
    if (stream->request.headers[HEADER_ID] && stream->verdict.status == 200)
        snprintf(stream->id_text, sizeof(stream->id_text), "%s",
                 stream->request.headers[HEADER_ID]);
    else
        make_uuid(stream->id_text);
    stream->recorded = true;
    pushes_add(simulator, &stream->request, device, stream->verdict.payload, stream->verdict.status,
               stream->verdict.reason);
    submit(stream, own);
    connection->answers++;
    if (b->goaway_after > 0 && connection->answers >= b->goaway_after)
        connection_go_away(connection, "Shutdown");
}

static void on_delay(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, delay);
    struct connection *connection = stream->connection;

    respond(stream);
    connection_flush(connection);
}

void answer_request(struct stream *stream)
{
    struct simulator *simulator = stream->connection->simulator;
    const char *device = "";
    unsigned status;

    timer_init(&stream->delay, on_delay);
    if (stream->connection->going_away && stream->id > stream->connection->last_stream)
        return; /* the provider was told so, and sends it again elsewhere */
    if (simulator->behaviour.hang) {
        IGNORE_RESULT(rules_path(&stream->request, &status, &device));
        json_t *payload = stream->request.body_len <= PAYLOAD_MAX
                              ? json_loadb(stream->request.body, stream->request.body_len, 0, NULL)
                              : NULL;
        pushes_add(simulator, &stream->request, device, payload, 0, NULL);
        json_decref(payload);
        return; /* never answered */
    }
    if (simulator->behaviour.delay_ms > 0)
        loop_timer_add(simulator->loop, &stream->delay, simulator->behaviour.delay_ms);
    else
        respond(stream);
}
