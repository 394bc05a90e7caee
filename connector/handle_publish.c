/* handle_publish - PUBLISH, the hot path: a topic is parsed, a MID minted, a record appended to the
 * frame of the turn and to the unanswered requests. No allocation; one copy each. PUBACK follows
 * the broker's answer, which means committed. */
#include "connector/handle.h"

#include "common/log.h"
#include "common/topic.h"

#include "connector/conn.h"
#include "connector/limits.h"
#include "connector/request.h"
#include "connector/session.h"

/* What no publish may be, whatever its topic; NULL = nothing of it. */
static const struct mqtt_fault *find_fault(const struct conn *c, const struct mqtt_publish *publish)
{
    static const struct mqtt_fault qos = {MQTT_QOS_NOT_SUPPORTED, "MQTT-3.2.2-11",
                                          "QoS 2 is not supported"};
    static const struct mqtt_fault retain = {MQTT_RETAIN_NOT_SUPPORTED, "MQTT-3.2.2-14",
                                             "RETAIN is not supported"};
    static const struct mqtt_fault alias = {MQTT_TOPIC_ALIAS_INVALID, "MQTT-3.3.2-9",
                                            "Topic Alias Maximum is 0"};

    if (publish->qos > 1)
        return &qos;
    if (c->level == MQTT_311)
        return NULL;
    if (publish->retain)
        return &retain;
    if ((publish->properties.present & MQTT_HAS_TOPIC_ALIAS) != 0)
        return &alias;
    return NULL;
}

static void put_puback(struct conn *c, uint16_t packet_id, uint8_t reason, const char *text)
{
    struct buf out = conn_begin(c);

    mqtt_put_puback(&out, c->level, packet_id, reason,
                    c->terse ? NULL : conn_reason_string(c, text));
    conn_end(c, &out);
}

/* MQTT 3.1.1 has no way to refuse a publish but to end the connection. */
static void send_answer(struct conn *c, const struct puback_owed *owed)
{
    const struct mqtt_fault fault = {owed->reason, "section 3.3.5",
                                     owed->text != NULL ? owed->text
                                                        : mqtt_reason_text(owed->reason)};

    if (c->level == MQTT_5 || owed->reason < MQTT_UNSPECIFIED_ERROR)
        put_puback(c, owed->packet_id, owed->reason, owed->text);
    else
        conn_close(c, CLOSE_PUBLISH_REFUSED, &fault);
}

static void send_answers(struct conn *c)
{
    struct puback_owed owed;

    while (conn_is_open(c) && pubacks_next(&c->pubacks, &owed))
        send_answer(c, &owed);
}

/* An answer that needs no broker: its PUBACK still waits for those before it. */
static void answer_now(struct conn *c, const struct mqtt_publish *publish, struct refusal answer)
{
    uint32_t position;

    if (answer.reason != MQTT_SUCCESS)
        c->connector->metrics.publishes_refused++;
    if (publish->qos == 0) {
        c->connector->metrics.publishes_dropped += answer.reason != MQTT_SUCCESS;
        return;
    }
    if (pubacks_count(c->pubacks) == 0) {
        send_answer(c, &(struct puback_owed){.packet_id = publish->packet_id,
                                             .reason = answer.reason,
                                             .text = answer.text});
        return;
    }
    if (pubacks_expect(&c->pubacks, publish->packet_id, &position) < 0)
        conn_close(c, CLOSE_NO_MEMORY, NULL);
    else
        pubacks_answer(c->pubacks, position, answer.reason, answer.text);
}

static struct bytes forwarded(struct conn *c, const struct mqtt_publish *publish)
{
    struct buf *out = &c->connector->properties;

    buf_clear(out);
    if (c->level == MQTT_5 && publish->properties.all.len > 0)
        mqtt_forward_properties(publish->properties.all, out);
    return bytes_of(out->data, (uint32_t)out->len);
}

static uint8_t target_of(const struct topic *topic)
{
    return topic->kind == TOPIC_TO_USER ? WIRE_TO_USER : WIRE_TO_GROUP;
}

/* QoS 0: now or never. */
static void send_signal(struct conn *c, const struct mqtt_publish *publish,
                        const struct topic *topic)
{
    struct broker *broker = brokers_of(c->connector->brokers, topic->to);
    struct buf *frame = broker_frame(broker);
    struct wire_signal signal = {
        .kind = target_of(topic),
        .from = client_user(c->client),
        .from_device = client_device(c->client),
        .to = topic->to,
        .payload = publish->payload,
    };

    if (frame == NULL || broker_congested(broker)) {
        c->connector->metrics.signals_dropped++;
        return;
    }
    signal.properties = forwarded(c, publish);
    wire_put_signal(frame, &signal);
    c->connector->metrics.signals++;
}

static bool send_message(struct conn *c, const struct mqtt_publish *publish,
                         const struct topic *topic)
{
    struct connector *connector = c->connector;
    struct broker *broker = brokers_of(connector->brokers, topic->to);
    struct wire_publish record = {
        .conn = conn_handle(c),
        .service = c->client->service,
        .has_expiry = (publish->properties.present & MQTT_HAS_MESSAGE_EXPIRY) != 0,
        .kind = target_of(topic),
        .expiry_s = publish->properties.message_expiry_s,
        .from = client_user(c->client),
        .from_device = client_device(c->client),
        .to = topic->to,
        .key = topic->key,
        .payload = publish->payload,
    };
    struct buf *out;
    size_t start;
    uint32_t position;

    if (broker_full(broker)) {
        session_stall(c, broker);
        return false;
    }
    record.token = link_requests_next_token(broker->requests);
    record.mid = mid_mint(loop_wall_ms(connector->loop));
    record.properties = forwarded(c, publish);
    if (!buf_ok(&connector->properties)) {
        conn_close(c, CLOSE_NO_MEMORY, NULL);
        return true;
    }
    out = request_buf(connector, broker);
    start = out->len;
    wire_put_publish(out, WIRE_PUBLISH, &record);
    if (pubacks_expect(&c->pubacks, publish->packet_id, &position) < 0)
        conn_close(c, CLOSE_NO_MEMORY, NULL);
    else if (request_add(c, broker, WIRE_PUBLISH, position, out, start, bytes_of(NULL, 0)))
        connector->metrics.publishes++;
    return true;
}

static bool publish_to(struct conn *c, const struct mqtt_publish *publish,
                       const struct topic *topic)
{
    if (!payload_format_valid(&publish->properties, publish->payload)) {
        answer_now(c, publish,
                   (struct refusal){MQTT_PAYLOAD_FORMAT_INVALID, "the payload is not UTF-8"});
        return true;
    }
    if (!limits_properties_fit(c, &publish->properties)) {
        answer_now(c, publish,
                   (struct refusal){MQTT_QUOTA_EXCEEDED, "too many or too long properties"});
        return true;
    }
    if (publish->qos == 0) {
        send_signal(c, publish, topic);
        return true;
    }
    return send_message(c, publish, topic);
}

static bool publish_to_me(struct conn *c, const struct mqtt_publish *publish, enum topic_kind kind)
{
    struct refusal refusal;
    enum me_result result;

    switch (kind) {
    case TOPIC_ME_TOKEN:
        refusal = me_token(c, publish->payload);
        break;
    case TOPIC_ME_STATE:
    case TOPIC_ME_PUSH:
    case TOPIC_ME_READ:
    case TOPIC_ME_SHOWN:
        result = me_forward(c, publish, kind, &refusal);
        if (result != ME_REFUSED)
            return result == ME_FORWARDED;
        break;
    case TOPIC_UNKNOWN:
        refusal = (struct refusal){MQTT_TOPIC_INVALID, "no such topic to publish to"};
        break;
    default:
        refusal = (struct refusal){MQTT_IMPLEMENTATION_SPECIFIC, "not available in this release"};
        break;
    }
    if (conn_is_open(c))
        answer_now(c, publish, refusal);
    return true;
}

/* It has used up its share. MQTT 3.1.1 can't refuse one publish: the client is not read until there
 * is a share again, so its PUBACK comes later, and it can't send faster. As handle_publish. */
static bool too_fast(struct conn *c, const struct mqtt_publish *publish, uint64_t wait_ms)
{
    static const struct mqtt_fault abuse = {MQTT_QUOTA_EXCEEDED, "section 4.13",
                                            "it went on publishing too fast"};
    bool lasting = limits_publish_refused(c);

    if (c->level == MQTT_311 && publish->qos == 1) {
        c->connector->metrics.limited_publishes_delayed++;
        conn_set_state(&c->connector->conns->lists, c, CONN_SLOWED);
        loop_timer_add(c->connector->loop, &c->timer, wait_ms);
        return false;
    }
    if (lasting) {
        conn_close(c, CLOSE_TOO_FAST, &abuse);
        return true;
    }
    if (publish->qos == 1)
        c->connector->metrics.limited_publishes++;
    else
        c->connector->metrics.limited_publishes_dropped++;
    answer_now(c, publish,
               (struct refusal){MQTT_QUOTA_EXCEEDED, "more messages a second than allowed"});
    return true;
}

static bool take_publish(struct conn *c, const struct mqtt_publish *publish)
{
    struct topic topic = topic_parse(publish->topic);

    if (topic.kind == TOPIC_TO_USER || topic.kind == TOPIC_TO_GROUP)
        return publish_to(c, publish, &topic);
    return publish_to_me(c, publish, topic.kind);
}

bool handle_publish(struct conn *c, const struct mqtt_publish *publish)
{
    static const struct mqtt_fault too_many = {MQTT_RECEIVE_MAX_EXCEEDED, "MQTT-3.3.4-7",
                                               "more unanswered publishes than Receive Maximum"};
    const struct mqtt_fault *fault = find_fault(c, publish);
    uint64_t wait_ms;

    if (fault != NULL) {
        conn_close(c, CLOSE_FAULT, fault);
        return true;
    }
    if (publish->dup && pubacks_owes(c->pubacks, publish->packet_id)) {
        c->connector->metrics.publishes_repeated++;
        return true; /* the answer to the first one is the answer */
    }
    if (publish->qos == 1 && pubacks_count(c->pubacks) >= c->connector->options.receive_max) {
        conn_close(c, CLOSE_FAULT, &too_many);
        return true;
    }
    wait_ms = limits_publish_wait_ms(c);
    if (wait_ms > 0)
        return too_fast(c, publish, wait_ms);
    if (!take_publish(c, publish))
        return false;
    limits_published(c);
    return true;
}

/* The message is stored, which is what a PUBACK says; its copy will not be. */
static void copy_refused(struct broker *broker, const struct conn *c, uint8_t reason)
{
    struct connector *connector = broker->brokers->connector;
    struct log_subject subject = {.describe = NULL};

    if (c != NULL)
        subject = conn_log(c);
    connector->metrics.copies_refused++;
    log_limited(loop_now_ms(connector->loop), LOG_WARNING, c != NULL ? &subject : NULL,
                "%s refused the copy of a message for its sender's devices (reason 0x%02x)",
                broker->name, reason);
}

static void answer(struct conn *c, const struct link_request *request, uint8_t reason)
{
    bool could_read = conn_can_read(c);

    if (reason >= MQTT_UNSPECIFIED_ERROR)
        c->connector->metrics.publishes_refused++;
    pubacks_answer(c->pubacks, request->reply, reason, me_reason_text(request->type, reason));
    send_answers(c);
    if (!could_read && conn_can_read(c)) {
        c->last_seen_ms = loop_now_ms(c->connector->loop); /* the silence was ours */
        conn_update_reading(c);
    }
}

void publish_on_published(struct broker *broker, const struct wire_published *published)
{
    struct connector *connector = broker->brokers->connector;
    bool refused = published->reason >= MQTT_UNSPECIFIED_ERROR;
    uint8_t reason = published->reason;
    struct link_request request;
    struct conn *c;

    if (!link_requests_find(broker->requests, published->token, &request) ||
        request.type == WIRE_SUBSCRIBE || request.type == WIRE_UNSUBSCRIBE) {
        connector->metrics.records_stale++;
        return;
    }
    if (!refused && request_copy(broker, published->token, &request,
                                 published->has_stored ? &published->stored : NULL))
        return; /* the answer to the COPY is the client's answer */
    c = conn_find(connector->conns, request.conn);
    request_done(broker, published->token, c);
    if (refused && request.type == WIRE_COPY) {
        copy_refused(broker, c, reason);
        reason = MQTT_SUCCESS;
    }
    if (c != NULL && conn_is_open(c) && request.reply != REPLY_NONE)
        answer(c, &request,
               reason); /* else its sender will repeat it; the message itself is safe */
}
