/* mqtt_invariants - what holds for every byte string that is given to the MQTT decoder.
 *
 * Shared by the mutation test and the fuzz target. A broken invariant aborts: under Check that
 * fails the test, under libFuzzer it is a finding. The caller gives memory of exactly the packet's
 * size, so that AddressSanitizer sees a read beyond it. */
#ifndef BECKON_TESTS_SUPPORT_MQTT_INVARIANTS_H
#define BECKON_TESTS_SUPPORT_MQTT_INVARIANTS_H

#include "common/utf8.h"
#include "connector/mqtt_codec.h"

#include <stdio.h>
#include <stdlib.h>

#define MQTT_INVARIANT(condition)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void mqtt_check_inside(struct bytes packet, struct bytes part)
{
    if (part.len == 0)
        return;
    MQTT_INVARIANT(part.data >= packet.data && part.len <= packet.len);
    MQTT_INVARIANT((size_t)(part.data - packet.data) <= packet.len - part.len);
}

static inline void mqtt_check_string(struct bytes packet, struct bytes text)
{
    mqtt_check_inside(packet, text);
    MQTT_INVARIANT(text.len <= UINT16_MAX && utf8_valid(text));
}

static inline void mqtt_check_properties(struct bytes packet,
                                         const struct mqtt_properties *properties)
{
    struct bytes rest = properties->all, name, value;
    struct buf once = {0}, twice = {0};

    mqtt_check_inside(packet, properties->all);
    mqtt_check_string(packet, properties->auth_method);
    mqtt_check_string(packet, properties->reason_string);
    MQTT_INVARIANT(properties->request_problem_information <= 1);
    MQTT_INVARIANT(properties->request_response_information <= 1);
    MQTT_INVARIANT(properties->payload_format <= 1);
    if ((properties->present & MQTT_HAS_RECEIVE_MAX) != 0)
        MQTT_INVARIANT(properties->receive_max != 0);
    if ((properties->present & MQTT_HAS_MAX_PACKET) != 0)
        MQTT_INVARIANT(properties->max_packet_size != 0);
    if ((properties->present & MQTT_HAS_TOPIC_ALIAS) != 0)
        MQTT_INVARIANT(properties->topic_alias != 0);

    for (uint32_t before = rest.len; mqtt_user_property_next(&rest, &name, &value) == 1;
         before = rest.len) {
        MQTT_INVARIANT(rest.len < before);
        mqtt_check_string(packet, name);
        mqtt_check_string(packet, value);
    }
    /* What is forwarded is a part of what came, and all of it is forwarded again. */
    mqtt_forward_properties(properties->all, &once);
    MQTT_INVARIANT(buf_ok(&once) && once.len <= properties->all.len);
    mqtt_forward_properties(bytes_of(once.data, (uint32_t)once.len), &twice);
    MQTT_INVARIANT(bytes_equal(bytes_of(once.data, (uint32_t)once.len),
                               bytes_of(twice.data, (uint32_t)twice.len)));
    buf_release(&once);
    buf_release(&twice);
}

static inline void mqtt_check_connect(struct bytes packet, const struct mqtt_connect *connect)
{
    MQTT_INVARIANT(connect->level == MQTT_311 || connect->level == MQTT_5);
    MQTT_INVARIANT(connect->will_qos <= 2);
    mqtt_check_string(packet, connect->client_id);
    mqtt_check_string(packet, connect->username);
    mqtt_check_inside(packet, connect->password);
    mqtt_check_string(packet, connect->will_topic);
    mqtt_check_inside(packet, connect->will_payload);
    mqtt_check_properties(packet, &connect->properties);
    mqtt_check_properties(packet, &connect->will_properties);
    MQTT_INVARIANT(connect->has_will == (connect->will_topic.len != 0));
    MQTT_INVARIANT(connect->level == MQTT_5 || connect->properties.all.len == 0);
}

/* A server's packets of these types are read by the same rules as a client's. */
static inline void mqtt_decode_own(struct buf *encoded, uint8_t level,
                                   struct mqtt_packet *ret_packet)
{
    struct mqtt_fault fault;
    struct bytes bytes = bytes_of(encoded->data, (uint32_t)encoded->len);
    uint32_t size = 0;

    MQTT_INVARIANT(buf_ok(encoded));
    MQTT_INVARIANT(mqtt_packet_size(bytes, UINT32_MAX, &size) == 1 && size == encoded->len);
    MQTT_INVARIANT(mqtt_decode(bytes, level, ret_packet, &fault) == 0);
}

static inline void mqtt_check_publish(struct bytes packet, uint8_t level,
                                      const struct mqtt_publish *publish)
{
    struct buf properties = {0}, encoded = {0}, forwarded = {0};
    struct mqtt_packet again;

    mqtt_check_string(packet, publish->topic);
    mqtt_check_inside(packet, publish->payload);
    mqtt_check_properties(packet, &publish->properties);
    MQTT_INVARIANT(publish->qos <= 2 && (publish->qos != 0) == (publish->packet_id != 0));
    MQTT_INVARIANT(!publish->dup || publish->qos != 0);
    MQTT_INVARIANT(memchr(publish->topic.len != 0 ? (const char *)publish->topic.data : "", '#',
                          publish->topic.len) == NULL);
    if (publish->topic.len == 0) { /* only with an alias, which a server never sends */
        MQTT_INVARIANT((publish->properties.present & MQTT_HAS_TOPIC_ALIAS) != 0);
        return;
    }

    mqtt_forward_properties(publish->properties.all, &properties);
    struct mqtt_publish_out out = {
        .dup = publish->dup,
        .qos = publish->qos,
        .packet_id = publish->packet_id,
        .topic = publish->topic,
        .payload = publish->payload,
        .properties = bytes_of(properties.data, (uint32_t)properties.len),
        .has_expiry = (publish->properties.present & MQTT_HAS_MESSAGE_EXPIRY) != 0,
        .expiry_s = publish->properties.message_expiry_s,
    };
    mqtt_put_publish(&encoded, level, &out);
    MQTT_INVARIANT(mqtt_publish_size(level, &out) == encoded.len);
    mqtt_decode_own(&encoded, level, &again);
    MQTT_INVARIANT(again.publish.dup == publish->dup && again.publish.qos == publish->qos);
    MQTT_INVARIANT(!again.publish.retain && again.publish.packet_id == publish->packet_id);
    MQTT_INVARIANT(bytes_equal(again.publish.topic, publish->topic));
    MQTT_INVARIANT(bytes_equal(again.publish.payload, publish->payload));
    MQTT_INVARIANT(again.publish.properties.message_expiry_s ==
                   publish->properties.message_expiry_s);
    MQTT_INVARIANT(again.publish.properties.payload_format == publish->properties.payload_format);
    mqtt_forward_properties(again.publish.properties.all, &forwarded);
    MQTT_INVARIANT(bytes_equal(bytes_of(forwarded.data, (uint32_t)forwarded.len), out.properties));
    buf_release(&forwarded);
    buf_release(&encoded);
    buf_release(&properties);
}

static inline void mqtt_check_subscribe(struct bytes packet, const struct mqtt_subscribe *subscribe)
{
    struct bytes rest = subscribe->filters;
    struct mqtt_filter filter;
    uint32_t count = 0;

    mqtt_check_inside(packet, subscribe->filters);
    mqtt_check_properties(packet, &subscribe->properties);
    while (mqtt_filter_next(subscribe, &rest, &filter) == 1) {
        mqtt_check_string(packet, filter.filter);
        MQTT_INVARIANT(filter.filter.len != 0 && filter.qos <= 2);
        MQTT_INVARIANT((filter.options & ~0x3C) == 0 && (filter.options & 0x30) != 0x30);
        count++;
    }
    MQTT_INVARIANT(rest.len == 0);
    MQTT_INVARIANT(count == subscribe->count && count >= 1 && subscribe->packet_id != 0);
}

static inline void mqtt_check_puback(struct bytes packet, uint8_t level,
                                     const struct mqtt_packet *ack)
{
    struct buf encoded = {0};
    struct mqtt_packet again;

    MQTT_INVARIANT(ack->puback.packet_id != 0);
    MQTT_INVARIANT(level == MQTT_5 || ack->puback.reason == 0);
    mqtt_check_properties(packet, &ack->puback.properties);
    if (ack->type != MQTT_PUBACK)
        return;
    mqtt_put_puback(&encoded, level, ack->puback.packet_id, ack->puback.reason, "why");
    mqtt_decode_own(&encoded, level, &again);
    MQTT_INVARIANT(again.type == MQTT_PUBACK);
    MQTT_INVARIANT(again.puback.packet_id == ack->puback.packet_id);
    MQTT_INVARIANT(again.puback.reason == ack->puback.reason);
    MQTT_INVARIANT(bytes_equal_string(again.puback.properties.reason_string,
                                      ack->puback.reason >= 0x80 ? "why" : ""));
    buf_release(&encoded);
}

static inline void mqtt_check_disconnect(struct bytes packet, uint8_t level,
                                         const struct mqtt_packet *disconnect)
{
    struct buf encoded = {0};
    struct mqtt_packet again;

    mqtt_check_properties(packet, &disconnect->disconnect.properties);
    if (disconnect->type != MQTT_DISCONNECT || level != MQTT_5)
        return;
    mqtt_put_disconnect(&encoded, level, disconnect->disconnect.reason, NULL);
    mqtt_decode_own(&encoded, level, &again);
    MQTT_INVARIANT(again.type == MQTT_DISCONNECT);
    MQTT_INVARIANT(again.disconnect.reason == disconnect->disconnect.reason);
    buf_release(&encoded);
}

static inline void mqtt_check_fault(int err, const struct mqtt_fault *fault)
{
    int expected = fault->reason == MQTT_MALFORMED_PACKET      ? ERR_MALFORMED
                   : fault->reason == MQTT_UNSUPPORTED_VERSION ? ERR_VERSION
                                                               : ERR_PROTOCOL;

    MQTT_INVARIANT(err == expected && fault->reason >= 0x80);
    MQTT_INVARIANT(fault->clause != NULL && fault->clause[0] != '\0');
    MQTT_INVARIANT(fault->text != NULL && fault->text[0] != '\0');
}

/* Decodes one packet and checks whatever came of it. Returns what mqtt_decode did. */
static inline int mqtt_check_packet(struct bytes bytes, uint8_t level)
{
    struct mqtt_packet packet;
    struct mqtt_fault fault = {0};
    int err = mqtt_decode(bytes, level, &packet, &fault);

    if (err != 0) {
        mqtt_check_fault(err, &fault);
        return err;
    }
    switch (packet.type) {
    case MQTT_CONNECT:
        mqtt_check_connect(bytes, &packet.connect);
        break;
    case MQTT_PUBLISH:
        mqtt_check_publish(bytes, level, &packet.publish);
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        mqtt_check_subscribe(bytes, &packet.subscribe);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        mqtt_check_puback(bytes, level, &packet);
        break;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        mqtt_check_disconnect(bytes, level, &packet);
        break;
    case MQTT_PINGREQ:
        MQTT_INVARIANT(bytes.len >= 2);
        break;
    default: /* what only a server sends is never accepted */
        MQTT_INVARIANT(packet.type == MQTT_PINGREQ);
    }
    return 0;
}

#endif
