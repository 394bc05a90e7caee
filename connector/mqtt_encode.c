/* Encoding: what a server sends. The lengths that MQTT puts in front of their content (Remaining
 * Length, Property Length) are computed first, so that a packet is appended in one pass and never
 * moved; only CONNACK, whose few properties are all short and optional, gathers them on the stack.
 * Running out of memory is the buf's business.
 *
 * MQTT can't express a packet over 268,435,455 bytes. mqtt_publish_size gives UINT32_MAX for one,
 * which is above every client's limit, and mqtt_put_publish fails the buf as for lack of memory:
 * what was checked with the former never gets to the latter. */
#include "connector/mqtt_reader.h"

#include <assert.h>
#include <stddef.h>

/* Property identifiers (MQTT 5.0 table 2-4) that a server sends on its own account. */
enum sent_property {
    SENT_MESSAGE_EXPIRY = 2,
    SENT_SUBSCRIPTION_ID = 11,
    SENT_SESSION_EXPIRY = 17,
    SENT_SERVER_KEEP_ALIVE = 19,
    SENT_REASON_STRING = 31,
    SENT_RECEIVE_MAX = 33,
    SENT_TOPIC_ALIAS_MAX = 34,
    SENT_MAXIMUM_QOS = 36,
    SENT_RETAIN_AVAILABLE = 37,
    SENT_MAX_PACKET_SIZE = 39,
    SENT_SHARED_AVAILABLE = 42
};

#define EXPIRY_SIZE 5 /* identifier and four bytes */

static uint32_t varint_size(uint32_t value)
{
    if (value < UINT32_C(1) << 7)
        return 1;
    if (value < UINT32_C(1) << 14)
        return 2;
    return value < UINT32_C(1) << 21 ? 3 : 4;
}

static void put_varint(struct buf *out, uint32_t value)
{
    assert(value <= MQTT_VARINT_MAX);
    for (; value > 0x7F; value >>= 7)
        buf_put_u8(out, (uint8_t)(value | 0x80));
    buf_put_u8(out, (uint8_t)value);
}

static void put_header(struct buf *out, enum mqtt_type type, uint8_t flags, uint32_t remaining)
{
    buf_put_u8(out, (uint8_t)((unsigned)type << 4 | flags));
    put_varint(out, remaining);
}

/* Our own phrases, far below what the length field holds. */
static uint32_t reason_string_size(const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;

    assert(len <= UINT16_MAX);
    return text != NULL ? (uint32_t)len + 3 : 0;
}

static void put_reason_string(struct buf *out, const char *text)
{
    if (text == NULL)
        return;
    buf_put_u8(out, SENT_REASON_STRING);
    buf_put_be16(out, (uint16_t)strlen(text));
    buf_put(out, text, strlen(text));
}

/* The integer properties of one CONNACK. */
struct small_properties {
    uint8_t data[32]; /* add_connack_properties adds 25 at most */
    uint8_t len;
};

static void add_property(struct small_properties *list, enum sent_property id, uint32_t value,
                         unsigned size)
{
    assert(list->len + 1 + size <= sizeof(list->data));
    list->data[list->len++] = (uint8_t)id;
    for (unsigned i = size; i-- > 0;)
        list->data[list->len++] = (uint8_t)(value >> (8 * i));
}

static void add_connack_properties(struct small_properties *list,
                                   const struct mqtt_connack *connack)
{
    if (connack->send_session_expiry)
        add_property(list, SENT_SESSION_EXPIRY, connack->session_expiry_s, 4);
    if (connack->receive_max != 0)
        add_property(list, SENT_RECEIVE_MAX, connack->receive_max, 2);
    if (connack->max_packet_size != 0)
        add_property(list, SENT_MAX_PACKET_SIZE, connack->max_packet_size, 4);
    if (connack->send_server_keep_alive)
        add_property(list, SENT_SERVER_KEEP_ALIVE, connack->server_keep_alive_s, 2);
    if (connack->capabilities) {
        add_property(list, SENT_MAXIMUM_QOS, 1, 1);
        add_property(list, SENT_RETAIN_AVAILABLE, 0, 1);
        add_property(list, SENT_SHARED_AVAILABLE, 0, 1);
        add_property(list, SENT_TOPIC_ALIAS_MAX, 0, 2);
    }
}

void mqtt_put_connack(struct buf *out, uint8_t level, const struct mqtt_connack *connack)
{
    /* MQTT-3.2.2-6, 3.1.1 MQTT-3.2.2-4: a refusal never claims a session. */
    uint8_t session_present = connack->session_present && connack->reason == MQTT_SUCCESS;

    if (level != MQTT_5) {
        put_header(out, MQTT_CONNACK, 0, 2);
        buf_put_u8(out, session_present);
        buf_put_u8(out, mqtt_connack_code_311(connack->reason));
        return;
    }

    struct small_properties list = {.len = 0};
    add_connack_properties(&list, connack);
    uint32_t len = list.len + reason_string_size(connack->reason_string);
    put_header(out, MQTT_CONNACK, 0, 2 + varint_size(len) + len);
    buf_put_u8(out, session_present);
    buf_put_u8(out, connack->reason);
    put_varint(out, len);
    buf_put(out, list.data, list.len);
    put_reason_string(out, connack->reason_string);
}

static uint64_t publish_properties_len(const struct mqtt_publish_out *publish)
{
    uint64_t len = publish->properties.len;

    if (publish->has_expiry)
        len += EXPIRY_SIZE;
    if (publish->subscription_id != 0)
        len += 1 + varint_size(publish->subscription_id);
    return len;
}

/* Remaining Length, or above MQTT_VARINT_MAX when there is none that fits. */
static uint64_t publish_remaining(uint8_t level, const struct mqtt_publish_out *publish)
{
    uint64_t remaining = 2 + (uint64_t)publish->topic.len + publish->payload.len;

    if (publish->topic.len > UINT16_MAX)
        return UINT64_MAX;
    if (publish->qos != 0)
        remaining += 2;
    if (level == MQTT_5) {
        uint64_t len = publish_properties_len(publish);
        if (len > MQTT_VARINT_MAX || publish->subscription_id > MQTT_VARINT_MAX)
            return UINT64_MAX;
        remaining += varint_size((uint32_t)len) + len;
    }
    return remaining;
}

uint32_t mqtt_publish_size(uint8_t level, const struct mqtt_publish_out *publish)
{
    uint64_t remaining = publish_remaining(level, publish);

    if (remaining > MQTT_VARINT_MAX)
        return UINT32_MAX;
    return 1 + varint_size((uint32_t)remaining) + (uint32_t)remaining;
}

void mqtt_put_publish(struct buf *out, uint8_t level, const struct mqtt_publish_out *publish)
{
    uint64_t remaining = publish_remaining(level, publish);

    if (remaining > MQTT_VARINT_MAX) {
        out->failed = true;
        return;
    }
    put_header(out, MQTT_PUBLISH, (uint8_t)(publish->dup << 3 | publish->qos << 1),
               (uint32_t)remaining);
    buf_put_be16(out, (uint16_t)publish->topic.len);
    buf_put(out, publish->topic.data, publish->topic.len);
    if (publish->qos != 0)
        buf_put_be16(out, publish->packet_id);
    if (level == MQTT_5) {
        put_varint(out, (uint32_t)publish_properties_len(publish));
        buf_put(out, publish->properties.data, publish->properties.len);
        if (publish->has_expiry) {
            buf_put_u8(out, SENT_MESSAGE_EXPIRY);
            buf_put_be32(out, publish->expiry_s);
        }
        if (publish->subscription_id != 0) {
            buf_put_u8(out, SENT_SUBSCRIPTION_ID);
            put_varint(out, publish->subscription_id);
        }
    }
    buf_put(out, publish->payload.data, publish->payload.len);
}

/* Reason code and properties as PUBACK and DISCONNECT end: each left out when it says nothing. */
static uint32_t tail_size(uint8_t reason, const char *reason_string)
{
    uint32_t len = reason_string_size(reason_string);

    if (len != 0)
        return 1 + varint_size(len) + len;
    return reason != MQTT_SUCCESS ? 1 : 0;
}

static void put_tail(struct buf *out, uint8_t reason, const char *reason_string)
{
    if (reason != MQTT_SUCCESS || reason_string != NULL)
        buf_put_u8(out, reason);
    if (reason_string != NULL) {
        put_varint(out, reason_string_size(reason_string));
        put_reason_string(out, reason_string);
    }
}

/* Reason String is for diagnosis (section 3.4.2.2.2): a success has nothing to diagnose. */
static const char *failure_string(uint8_t reason, const char *reason_string)
{
    return reason >= MQTT_UNSPECIFIED_ERROR ? reason_string : NULL;
}

void mqtt_put_puback(struct buf *out, uint8_t level, uint16_t packet_id, uint8_t reason,
                     const char *reason_string)
{
    const char *text = failure_string(reason, reason_string);

    put_header(out, MQTT_PUBACK, 0, 2 + (level == MQTT_5 ? tail_size(reason, text) : 0));
    buf_put_be16(out, packet_id);
    if (level == MQTT_5)
        put_tail(out, reason, text);
}

void mqtt_put_suback(struct buf *out, uint8_t level, uint16_t packet_id, struct bytes codes)
{
    put_header(out, MQTT_SUBACK, 0, 2 + (level == MQTT_5 ? 1 : 0) + codes.len);
    buf_put_be16(out, packet_id);
    if (level == MQTT_5) {
        buf_put_u8(out, 0); /* no properties */
        buf_put(out, codes.data, codes.len);
        return;
    }
    /* 3.1.1 knows one failure (section 3.9.3). */
    for (uint32_t i = 0; i < codes.len; i++)
        buf_put_u8(out, codes.data[i] < 0x80 ? codes.data[i] : 0x80);
}

uint32_t mqtt_suback_size(uint16_t count)
{
    uint32_t remaining = 3 + (uint32_t)count;

    return 1 + varint_size(remaining) + remaining;
}

void mqtt_put_unsuback(struct buf *out, uint8_t level, uint16_t packet_id, struct bytes codes)
{
    if (level != MQTT_5) {
        put_header(out, MQTT_UNSUBACK, 0, 2);
        buf_put_be16(out, packet_id);
        return;
    }
    put_header(out, MQTT_UNSUBACK, 0, 3 + codes.len);
    buf_put_be16(out, packet_id);
    buf_put_u8(out, 0); /* no properties */
    buf_put(out, codes.data, codes.len);
}

void mqtt_put_pingresp(struct buf *out)
{
    put_header(out, MQTT_PINGRESP, 0, 0);
}

void mqtt_put_disconnect(struct buf *out, uint8_t level, uint8_t reason, const char *reason_string)
{
    const char *text = failure_string(reason, reason_string);

    if (level != MQTT_5)
        return;
    put_header(out, MQTT_DISCONNECT, 0, tail_size(reason, text));
    put_tail(out, reason, text);
}
