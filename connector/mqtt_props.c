/* MQTT 5 properties: a list of (identifier, value) pairs, each identifier with its own type, the
 * packets it may stand in, and its range. All of that is data in one table, so the decoder is one
 * loop, and a rule is a row to compare with the specification (table 2-4) and not a branch to find.
 * A list is read once, its duplicates found through a bit per identifier; values that Beckon acts
 * on are copied or borrowed, the others are validated and left in the raw bytes.
 *
 * What travels on to the receiver is found by walking the raw bytes again. They were validated when
 * they came in, so this walk checks lengths only. */
#include "connector/mqtt_reader.h"

#include "common/topic.h"

enum property_id { /* MQTT 5.0 table 2-4 */
                   PAYLOAD_FORMAT = 1,
                   MESSAGE_EXPIRY = 2,
                   CONTENT_TYPE = 3,
                   RESPONSE_TOPIC = 8,
                   CORRELATION_DATA = 9,
                   SUBSCRIPTION_ID = 11,
                   SESSION_EXPIRY = 17,
                   ASSIGNED_CLIENT_ID = 18,
                   SERVER_KEEP_ALIVE = 19,
                   AUTH_METHOD = 21,
                   AUTH_DATA = 22,
                   REQUEST_PROBLEM = 23,
                   WILL_DELAY = 24,
                   REQUEST_RESPONSE = 25,
                   RESPONSE_INFORMATION = 26,
                   SERVER_REFERENCE = 28,
                   REASON_STRING = 31,
                   RECEIVE_MAX = 33,
                   TOPIC_ALIAS_MAX = 34,
                   TOPIC_ALIAS = 35,
                   MAXIMUM_QOS = 36,
                   RETAIN_AVAILABLE = 37,
                   USER_PROPERTY = 38,
                   MAX_PACKET_SIZE = 39,
                   WILDCARD_AVAILABLE = 40,
                   SUBSCRIPTION_ID_AVAILABLE = 41,
                   SHARED_AVAILABLE = 42,
                   PROPERTY_ID_LIMIT
};

enum value_type {
    TYPE_NONE,
    TYPE_BYTE,
    TYPE_U16,
    TYPE_U32,
    TYPE_VARINT,
    TYPE_DATA,
    TYPE_TEXT,
    TYPE_PAIR
};
enum value_range { RANGE_ANY, RANGE_NOT_ZERO, RANGE_BOOLEAN, RANGE_TOPIC };

#define IN_MESSAGE (MQTT_IN_PUBLISH | MQTT_IN_WILL)
#define IN_ANY                                                                                     \
    (MQTT_IN_CONNECT | IN_MESSAGE | MQTT_IN_ACK | MQTT_IN_SUBSCRIBE | MQTT_IN_UNSUBSCRIBE |        \
     MQTT_IN_DISCONNECT | MQTT_IN_AUTH)

/* places: where a client may send it; 0 for what only a server sends. flag: in
 * mqtt_properties.present, 0 when Beckon does not act on it. section: where MQTT 5.0 forbids a
 * second one and gives the range. */
static const struct property_rule {
    uint8_t type, range, places;
    bool forwarded; /* part of the message (sections 3.3.2.3.2 to 3.3.2.3.9) */
    uint16_t flag;
    const char *section;
} property_rules[PROPERTY_ID_LIMIT] = {
    [PAYLOAD_FORMAT] = {TYPE_BYTE, RANGE_BOOLEAN, IN_MESSAGE, true, MQTT_HAS_PAYLOAD_FORMAT,
                        "3.3.2.3.2"},
    [MESSAGE_EXPIRY] = {TYPE_U32, RANGE_ANY, IN_MESSAGE, false, MQTT_HAS_MESSAGE_EXPIRY,
                        "3.3.2.3.3"},
    [CONTENT_TYPE] = {TYPE_TEXT, RANGE_ANY, IN_MESSAGE, true, 0, "3.3.2.3.9"},
    [RESPONSE_TOPIC] = {TYPE_TEXT, RANGE_TOPIC, IN_MESSAGE, true, 0, "3.3.2.3.5"},
    [CORRELATION_DATA] = {TYPE_DATA, RANGE_ANY, IN_MESSAGE, true, 0, "3.3.2.3.6"},
    /* In PUBLISH it has a place of its own rule: only a server puts it there. */
    [SUBSCRIPTION_ID] = {TYPE_VARINT, RANGE_NOT_ZERO, MQTT_IN_SUBSCRIBE | MQTT_IN_PUBLISH, false,
                         MQTT_HAS_SUBSCRIPTION_ID, "3.8.2.1.2"},
    [SESSION_EXPIRY] = {TYPE_U32, RANGE_ANY, MQTT_IN_CONNECT | MQTT_IN_DISCONNECT, false,
                        MQTT_HAS_SESSION_EXPIRY, "3.1.2.11.2"},
    [ASSIGNED_CLIENT_ID] = {TYPE_TEXT, RANGE_ANY, 0, false, 0, "3.2.2.3.7"},
    [SERVER_KEEP_ALIVE] = {TYPE_U16, RANGE_ANY, 0, false, 0, "3.2.2.3.14"},
    [AUTH_METHOD] = {TYPE_TEXT, RANGE_ANY, MQTT_IN_CONNECT | MQTT_IN_AUTH, false,
                     MQTT_HAS_AUTH_METHOD, "3.1.2.11.9"},
    [AUTH_DATA] = {TYPE_DATA, RANGE_ANY, MQTT_IN_CONNECT | MQTT_IN_AUTH, false, 0, "3.1.2.11.10"},
    [REQUEST_PROBLEM] = {TYPE_BYTE, RANGE_BOOLEAN, MQTT_IN_CONNECT, false, 0, "3.1.2.11.7"},
    [WILL_DELAY] = {TYPE_U32, RANGE_ANY, MQTT_IN_WILL, false, MQTT_HAS_WILL_DELAY, "3.1.3.2.2"},
    [REQUEST_RESPONSE] = {TYPE_BYTE, RANGE_BOOLEAN, MQTT_IN_CONNECT, false, 0, "3.1.2.11.6"},
    [RESPONSE_INFORMATION] = {TYPE_TEXT, RANGE_ANY, 0, false, 0, "3.2.2.3.15"},
    /* Table 2-4 gives it to DISCONNECT without saying whose. */
    [SERVER_REFERENCE] = {TYPE_TEXT, RANGE_ANY, MQTT_IN_DISCONNECT, false, 0, "3.14.2.2.5"},
    [REASON_STRING] = {TYPE_TEXT, RANGE_ANY, MQTT_IN_ACK | MQTT_IN_DISCONNECT | MQTT_IN_AUTH, false,
                       MQTT_HAS_REASON_STRING, "3.14.2.2.3"},
    [RECEIVE_MAX] = {TYPE_U16, RANGE_NOT_ZERO, MQTT_IN_CONNECT, false, MQTT_HAS_RECEIVE_MAX,
                     "3.1.2.11.3"},
    [TOPIC_ALIAS_MAX] = {TYPE_U16, RANGE_ANY, MQTT_IN_CONNECT, false, 0, "3.1.2.11.5"},
    [TOPIC_ALIAS] = {TYPE_U16, RANGE_NOT_ZERO, MQTT_IN_PUBLISH, false, MQTT_HAS_TOPIC_ALIAS,
                     "3.3.2.3.4"},
    [MAXIMUM_QOS] = {TYPE_BYTE, RANGE_BOOLEAN, 0, false, 0, "3.2.2.3.4"},
    [RETAIN_AVAILABLE] = {TYPE_BYTE, RANGE_BOOLEAN, 0, false, 0, "3.2.2.3.5"},
    [USER_PROPERTY] = {TYPE_PAIR, RANGE_ANY, IN_ANY, true, 0, "3.3.2.3.7"},
    [MAX_PACKET_SIZE] = {TYPE_U32, RANGE_NOT_ZERO, MQTT_IN_CONNECT, false, MQTT_HAS_MAX_PACKET,
                         "3.1.2.11.4"},
    [WILDCARD_AVAILABLE] = {TYPE_BYTE, RANGE_BOOLEAN, 0, false, 0, "3.2.2.3.11"},
    [SUBSCRIPTION_ID_AVAILABLE] = {TYPE_BYTE, RANGE_BOOLEAN, 0, false, 0, "3.2.2.3.12"},
    [SHARED_AVAILABLE] = {TYPE_BYTE, RANGE_BOOLEAN, 0, false, 0, "3.2.2.3.13"},
};

struct property {
    uint32_t id;
    uint32_t number;    /* the integer types */
    struct bytes text;  /* text, data; the name of a pair */
    struct bytes value; /* of a pair */
};

static uint32_t read_identifier(struct mqtt_reader *reader)
{
    uint32_t id = mqtt_read_varint(reader);

    if (reader->padded)
        mqtt_refuse(reader, MQTT_RULE_VARINT_PADDED);
    if (id >= PROPERTY_ID_LIMIT || property_rules[id].type == TYPE_NONE)
        mqtt_refuse(reader, MQTT_RULE_PROPERTY_UNKNOWN);
    return reader->err == 0 ? id : 0;
}

static void read_value(struct mqtt_reader *reader, struct property *property)
{
    switch ((enum value_type)property_rules[property->id].type) {
    case TYPE_NONE:
        break;
    case TYPE_BYTE:
        property->number = mqtt_read_u8(reader);
        break;
    case TYPE_U16:
        property->number = mqtt_read_u16(reader);
        break;
    case TYPE_U32:
        property->number = mqtt_read_u32(reader);
        break;
    case TYPE_VARINT:
        property->number = mqtt_read_varint(reader);
        if (reader->padded)
            mqtt_refuse(reader, MQTT_RULE_VARINT_PADDED);
        break;
    case TYPE_DATA:
        property->text = mqtt_read_binary(reader);
        break;
    case TYPE_TEXT:
        property->text = mqtt_read_string(reader);
        break;
    case TYPE_PAIR:
        property->text = mqtt_read_string(reader);
        property->value = mqtt_read_string(reader);
        break;
    }
}

/* Values that no rule of the type forbids but the property's own section does. */
static void check_range(struct mqtt_reader *reader, enum mqtt_place place,
                        const struct property *property)
{
    const struct property_rule *rule = &property_rules[property->id];

    if (property->id == SUBSCRIPTION_ID && place == MQTT_IN_PUBLISH)
        mqtt_refuse(reader, MQTT_RULE_SUBSCRIPTION_ID_SENT);
    else if (property->id == TOPIC_ALIAS && property->number == 0)
        mqtt_refuse(reader, MQTT_RULE_TOPIC_ALIAS_ZERO); /* section 3.3.4 gives it 0x94 */
    else if (rule->range == RANGE_NOT_ZERO && property->number == 0)
        mqtt_refuse_clause(reader, MQTT_RULE_PROPERTY_ZERO, rule->section);
    else if (rule->range == RANGE_BOOLEAN && property->number > 1)
        mqtt_refuse_clause(reader, MQTT_RULE_PROPERTY_BOOLEAN, rule->section);
    else if (rule->range == RANGE_TOPIC && !topic_name_valid(property->text))
        mqtt_refuse(reader, MQTT_RULE_RESPONSE_TOPIC);
}

static void store(struct mqtt_properties *properties, const struct property *property)
{
    properties->present |= property_rules[property->id].flag;
    switch (property->id) {
    case PAYLOAD_FORMAT:
        properties->payload_format = (uint8_t)property->number;
        break;
    case MESSAGE_EXPIRY:
        properties->message_expiry_s = property->number;
        break;
    case SUBSCRIPTION_ID:
        properties->subscription_id = property->number;
        break;
    case SESSION_EXPIRY:
        properties->session_expiry_s = property->number;
        break;
    case AUTH_METHOD:
        properties->auth_method = property->text;
        break;
    case REQUEST_PROBLEM:
        properties->request_problem_information = (uint8_t)property->number;
        break;
    case WILL_DELAY:
        properties->will_delay_s = property->number;
        break;
    case REQUEST_RESPONSE:
        properties->request_response_information = (uint8_t)property->number;
        break;
    case REASON_STRING:
        properties->reason_string = property->text;
        break;
    case RECEIVE_MAX:
        properties->receive_max = (uint16_t)property->number;
        break;
    case TOPIC_ALIAS:
        properties->topic_alias = (uint16_t)property->number;
        break;
    case MAX_PACKET_SIZE:
        properties->max_packet_size = property->number;
        break;
    default: /* forwarded, or without use for a server like this one */
        break;
    }
}

static void read_list(struct mqtt_reader *reader, enum mqtt_place place,
                      struct mqtt_properties *properties)
{
    uint64_t seen = 0; /* identifiers are below 64 */

    while (mqtt_left(reader) != 0) {
        struct property property = {.id = read_identifier(reader)};
        const struct property_rule *rule = &property_rules[property.id];
        uint64_t bit = UINT64_C(1) << property.id;

        if (reader->err != 0)
            return;
        if ((rule->places & place) == 0)
            mqtt_refuse(reader, MQTT_RULE_PROPERTY_MISPLACED);
        else if ((seen & bit) != 0 && property.id != USER_PROPERTY)
            mqtt_refuse_clause(reader, MQTT_RULE_PROPERTY_TWICE, rule->section);
        read_value(reader, &property);
        if (reader->err != 0)
            return;
        check_range(reader, place, &property);
        store(properties, &property);
        seen |= bit;
    }
    if ((seen & UINT64_C(1) << AUTH_DATA) != 0 && (seen & UINT64_C(1) << AUTH_METHOD) == 0)
        mqtt_refuse(reader, MQTT_RULE_AUTH_DATA_ALONE);
}

void mqtt_read_properties(struct mqtt_reader *reader, enum mqtt_place place,
                          struct mqtt_properties *ret_properties)
{
    *ret_properties = (struct mqtt_properties){.request_problem_information = 1};
    if (reader->level != MQTT_5)
        return;

    uint32_t len = mqtt_read_varint(reader);
    if (reader->padded)
        mqtt_refuse(reader, MQTT_RULE_VARINT_PADDED);
    if (len > mqtt_left(reader))
        mqtt_refuse(reader, MQTT_RULE_PROPERTY_LENGTH);
    if (reader->err != 0)
        return;

    const uint8_t *packet_end = reader->end;
    ret_properties->all = bytes_of(reader->at, len);
    reader->end = reader->at + len;
    read_list(reader, place, ret_properties);
    if (reader->err == 0)
        reader->end = packet_end;
}

/* Starts a walk over properties that mqtt_decode accepted. */
static void reopen(struct mqtt_reader *reader, struct bytes all)
{
    mqtt_reader_init(reader, all, MQTT_5);
    reader->skip_utf8 = true;
}

/* 1, or 0 at the end (and at bytes that no decoder has seen). */
static int next(struct mqtt_reader *reader, struct property *ret_property)
{
    if (mqtt_left(reader) == 0)
        return 0;
    *ret_property = (struct property){.id = read_identifier(reader)};
    read_value(reader, ret_property);
    return reader->err == 0;
}

int mqtt_user_property_next(struct bytes *rest, struct bytes *ret_name, struct bytes *ret_value)
{
    struct mqtt_reader reader;
    struct property property;

    reopen(&reader, *rest);
    while (next(&reader, &property)) {
        if (property.id != USER_PROPERTY)
            continue;
        *rest = bytes_of(reader.at, mqtt_left(&reader));
        *ret_name = property.text;
        *ret_value = property.value;
        return 1;
    }
    *rest = bytes_of(reader.end, 0);
    return 0;
}

void mqtt_forward_properties(struct bytes all, struct buf *out)
{
    struct mqtt_reader reader;
    struct property property;

    reopen(&reader, all);
    for (const uint8_t *start = reader.at; next(&reader, &property); start = reader.at) {
        if (property_rules[property.id].forwarded)
            buf_put(out, start, (size_t)(reader.at - start));
    }
}
