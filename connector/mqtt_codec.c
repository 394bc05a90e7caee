/* Decoding: the fixed header, then one function a packet type, all reading through mqtt_reader,
 * which keeps the first broken rule and never leaves the packet. What may stand in a packet is
 * checked here or in the files for CONNECT, SUBSCRIBE and properties; nothing is copied, so a
 * packet costs one pass over its header fields and its payload is not touched.
 *
 * A padded Remaining Length is malformed in MQTT 5 (MQTT-1.5.5-1); 3.1.1 has no such rule, so there
 * it is taken. */
#include "connector/mqtt_reader.h"

#include "common/auto.h"
#include "common/topic.h"

#include <stddef.h>

#define LENGTH_MAX_BYTES 4 /* MQTT 5.0 section 2.1.4 */

/* Header flags of PUBLISH (MQTT 5.0 section 3.3.1). */
#define PUBLISH_RETAIN 0x01
#define PUBLISH_QOS_SHIFT 1
#define PUBLISH_DUP 0x08

/* Reason codes that only AUTH has (MQTT 5.0 table 3-11). */
#define AUTH_CONTINUE 0x18
#define AUTH_AGAIN 0x19

int mqtt_packet_size(struct bytes data, uint32_t max_size, uint32_t *ret_size)
{
    uint32_t remaining = 0;

    for (uint32_t i = 0; i < LENGTH_MAX_BYTES; i++) {
        if (data.len < i + 2)
            return 0;

        uint8_t byte = data.data[i + 1];
        remaining |= (uint32_t)(byte & 0x7F) << (7 * i);
        if ((byte & 0x80) == 0) {
            uint32_t size = remaining + i + 2;
            if (size > max_size)
                return ERR_TOO_LARGE;
            *ret_size = size;
            return 1;
        }
    }
    return ERR_MALFORMED;
}

static void read_publish(struct mqtt_reader *reader, uint8_t flags, struct mqtt_publish *publish)
{
    publish->retain = (flags & PUBLISH_RETAIN) != 0;
    publish->dup = (flags & PUBLISH_DUP) != 0;
    publish->qos = (flags >> PUBLISH_QOS_SHIFT) & 3;
    if (publish->qos == 3)
        mqtt_refuse(reader, MQTT_RULE_QOS_3);
    else if (publish->qos == 0 && publish->dup)
        mqtt_refuse(reader, MQTT_RULE_DUP_QOS_0);

    publish->topic = mqtt_read_string(reader);
    if (publish->topic.len != 0 && !topic_name_valid(publish->topic))
        mqtt_refuse(reader, MQTT_RULE_TOPIC_WILDCARD);
    if (publish->qos != 0)
        publish->packet_id = mqtt_read_packet_id(reader);
    mqtt_read_properties(reader, MQTT_IN_PUBLISH, &publish->properties);
    if (publish->topic.len == 0 && (publish->properties.present & MQTT_HAS_TOPIC_ALIAS) == 0)
        mqtt_refuse(reader, MQTT_RULE_TOPIC_EMPTY);
    publish->payload = mqtt_read_bytes(reader, mqtt_left(reader));
}

/* The reason codes a client may send, besides 0: PUBACK and PUBREC (MQTT 5.0 tables 3-4, 3-5),
 * PUBREL and PUBCOMP (3-6, 3-7), DISCONNECT (3-10, without those that only a server sends), AUTH
 * (3-11). */
static const uint8_t publish_codes[] = {MQTT_NO_MATCHING_SUBSCRIBERS, MQTT_UNSPECIFIED_ERROR,
                                        MQTT_IMPLEMENTATION_SPECIFIC, MQTT_NOT_AUTHORIZED,
                                        MQTT_TOPIC_INVALID,           MQTT_PACKET_ID_IN_USE,
                                        MQTT_QUOTA_EXCEEDED,          MQTT_PAYLOAD_FORMAT_INVALID};
static const uint8_t release_codes[] = {MQTT_PACKET_ID_NOT_FOUND};
static const uint8_t disconnect_codes[] = {
    MQTT_DISCONNECT_WITH_WILL,  MQTT_UNSPECIFIED_ERROR,       MQTT_MALFORMED_PACKET,
    MQTT_PROTOCOL_ERROR,        MQTT_IMPLEMENTATION_SPECIFIC, MQTT_TOPIC_INVALID,
    MQTT_RECEIVE_MAX_EXCEEDED,  MQTT_TOPIC_ALIAS_INVALID,     MQTT_PACKET_TOO_LARGE,
    MQTT_RATE_TOO_HIGH,         MQTT_QUOTA_EXCEEDED,          MQTT_ADMINISTRATIVE_ACTION,
    MQTT_PAYLOAD_FORMAT_INVALID};
static const uint8_t auth_codes[] = {AUTH_CONTINUE, AUTH_AGAIN};

static uint8_t read_reason(struct mqtt_reader *reader, struct bytes codes, bool zero_allowed,
                           enum mqtt_rule rule)
{
    uint8_t reason = mqtt_left(reader) != 0 ? mqtt_read_u8(reader) : (uint8_t)MQTT_SUCCESS;
    bool known =
        reason == MQTT_SUCCESS ? zero_allowed : memchr(codes.data, reason, codes.len) != NULL;

    if (!known)
        mqtt_refuse(reader, rule);
    return reason;
}

/* Property length, and the reason code before it, may be left out at the end of these packets
 * (MQTT 5.0 sections 3.4.2.1, 3.14.2.2.1). */
static void read_tail_properties(struct mqtt_reader *reader, enum mqtt_place place,
                                 struct mqtt_properties *properties)
{
    if (mqtt_left(reader) != 0)
        mqtt_read_properties(reader, place, properties);
}

static void read_ack(struct mqtt_reader *reader, enum mqtt_type type, struct mqtt_puback *ack)
{
    struct bytes publish = bytes_of(publish_codes, ARRAY_LEN(publish_codes));
    struct bytes release = bytes_of(release_codes, ARRAY_LEN(release_codes));

    ack->packet_id = mqtt_read_packet_id(reader);
    if (reader->level != MQTT_5)
        return;
    if (type == MQTT_PUBACK)
        ack->reason = read_reason(reader, publish, true, MQTT_RULE_PUBACK_REASON);
    else if (type == MQTT_PUBREC)
        ack->reason = read_reason(reader, publish, true, MQTT_RULE_PUBREC_REASON);
    else if (type == MQTT_PUBREL)
        ack->reason = read_reason(reader, release, true, MQTT_RULE_PUBREL_REASON);
    else
        ack->reason = read_reason(reader, release, true, MQTT_RULE_PUBCOMP_REASON);
    read_tail_properties(reader, MQTT_IN_ACK, &ack->properties);
}

static void read_disconnect(struct mqtt_reader *reader, struct mqtt_disconnect *disconnect)
{
    struct bytes codes = bytes_of(disconnect_codes, ARRAY_LEN(disconnect_codes));

    if (reader->level != MQTT_5)
        return;
    disconnect->reason = read_reason(reader, codes, true, MQTT_RULE_DISCONNECT_REASON);
    read_tail_properties(reader, MQTT_IN_DISCONNECT, &disconnect->properties);
}

static void read_auth(struct mqtt_reader *reader, struct mqtt_disconnect *auth)
{
    struct bytes codes = bytes_of(auth_codes, ARRAY_LEN(auth_codes));

    /* 0 (Success) is the server's to send. */
    auth->reason = read_reason(reader, codes, false, MQTT_RULE_AUTH_REASON);
    read_tail_properties(reader, MQTT_IN_AUTH, &auth->properties);
    if ((auth->properties.present & MQTT_HAS_AUTH_METHOD) == 0)
        mqtt_refuse(reader, MQTT_RULE_AUTH_METHOD_MISSING);
}

/* The type, and the four low bits of the first byte (MQTT 5.0 tables 2-1, 2-2). */
static void check_type(struct mqtt_reader *reader, uint8_t type, uint8_t flags)
{
    static const struct {
        bool forbidden; /* from a client, whatever the flags */
        uint8_t flags, rule;
    } expected[] = {
        [0] = {true, 0, MQTT_RULE_TYPE_RESERVED},
        [MQTT_CONNECT] = {false, 0, MQTT_RULE_FLAGS},
        [MQTT_CONNACK] = {true, 0, MQTT_RULE_TYPE_SERVER},
        [MQTT_PUBACK] = {false, 0, MQTT_RULE_FLAGS},
        [MQTT_PUBREC] = {false, 0, MQTT_RULE_FLAGS},
        [MQTT_PUBREL] = {false, 2, MQTT_RULE_FLAGS_PUBREL},
        [MQTT_PUBCOMP] = {false, 0, MQTT_RULE_FLAGS},
        [MQTT_SUBSCRIBE] = {false, 2, MQTT_RULE_FLAGS_SUBSCRIBE},
        [MQTT_SUBACK] = {true, 0, MQTT_RULE_TYPE_SERVER},
        [MQTT_UNSUBSCRIBE] = {false, 2, MQTT_RULE_FLAGS_UNSUBSCRIBE},
        [MQTT_UNSUBACK] = {true, 0, MQTT_RULE_TYPE_SERVER},
        [MQTT_PINGREQ] = {false, 0, MQTT_RULE_FLAGS},
        [MQTT_PINGRESP] = {true, 0, MQTT_RULE_TYPE_SERVER},
        [MQTT_DISCONNECT] = {false, 0, MQTT_RULE_FLAGS_DISCONNECT},
        [MQTT_AUTH] = {false, 0, MQTT_RULE_FLAGS_AUTH},
    };

    if (type == MQTT_PUBLISH) /* its flags mean something */
        return;
    if (type == MQTT_AUTH && reader->level != MQTT_5)
        mqtt_refuse(reader, MQTT_RULE_TYPE_RESERVED);
    else if (expected[type].forbidden || flags != expected[type].flags)
        mqtt_refuse(reader, (enum mqtt_rule)expected[type].rule);
}

static void read_body(struct mqtt_reader *reader, uint8_t flags, struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNECT:
        mqtt_read_connect(reader, &packet->connect);
        break;
    case MQTT_PUBLISH:
        read_publish(reader, flags, &packet->publish);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        read_ack(reader, packet->type, &packet->puback);
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        mqtt_read_subscribe(reader, packet->type == MQTT_UNSUBSCRIBE, &packet->subscribe);
        break;
    case MQTT_DISCONNECT:
        read_disconnect(reader, &packet->disconnect);
        break;
    case MQTT_AUTH:
        read_auth(reader, &packet->disconnect);
        break;
    default: /* PINGREQ has none; what only a server sends was refused */
        break;
    }
}

int mqtt_decode(struct bytes packet, uint8_t level, struct mqtt_packet *ret_packet,
                struct mqtt_fault *ret_fault)
{
    struct mqtt_reader reader;

    mqtt_reader_init(&reader, packet, level);
    uint8_t first = mqtt_read_u8(&reader);
    uint8_t type = first >> 4, flags = first & 0x0F;

    if (type == MQTT_CONNECT)
        reader.level = MQTT_5;                  /* until it says itself */
    memset(ret_packet, 0, sizeof(*ret_packet)); /* an initializer clears one member of the union */
    ret_packet->type = (enum mqtt_type)type;
    check_type(&reader, type, flags);

    uint32_t remaining = mqtt_read_varint(&reader);
    bool padded = reader.padded;
    if (remaining > mqtt_left(&reader))
        mqtt_refuse(&reader, MQTT_RULE_OVERRUN);
    else if (remaining < mqtt_left(&reader))
        mqtt_refuse(&reader, MQTT_RULE_TRAILING);

    if (reader.err == 0)
        read_body(&reader, flags, ret_packet);
    if (mqtt_left(&reader) != 0)
        mqtt_refuse(&reader, MQTT_RULE_TRAILING);
    if (padded && reader.level == MQTT_5)
        mqtt_refuse(&reader, MQTT_RULE_VARINT_PADDED);
    if (reader.err != 0)
        *ret_fault = reader.fault;
    return reader.err;
}
