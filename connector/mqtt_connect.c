/* CONNECT is the one packet that says itself how to read it: protocol name and level come first,
 * and everything after them (whether there are properties, which flags may stand together) depends
 * on them. So the level is settled before anything else is looked at, and a peer that speaks
 * another protocol or another version is told so and not accused of what its version allows. */
#include "connector/mqtt_reader.h"

#include "common/topic.h"

enum connect_flag { /* MQTT 5.0 section 3.1.2.3 */
                    FLAG_RESERVED = 0x01,
                    FLAG_CLEAN_START = 0x02,
                    FLAG_WILL = 0x04,
                    FLAG_WILL_RETAIN = 0x20,
                    FLAG_PASSWORD = 0x40,
                    FLAG_USERNAME = 0x80
};
#define WILL_QOS_SHIFT 3
#define LEVEL_31 3 /* MQTT 3.1, the only version that called itself MQIsdp */

static void read_protocol(struct mqtt_reader *reader, struct mqtt_connect *connect)
{
    struct bytes name = mqtt_read_binary(reader);
    uint8_t level = mqtt_read_u8(reader);

    if (reader->err != 0)
        return;
    if (!bytes_equal_string(name, "MQTT") &&
        !(bytes_equal_string(name, "MQIsdp") && level == LEVEL_31)) {
        mqtt_refuse(reader, MQTT_RULE_PROTOCOL_NAME);
        return;
    }
    connect->level = level;
    if (level != MQTT_311 && level != MQTT_5)
        mqtt_refuse(reader, MQTT_RULE_PROTOCOL_LEVEL);
    else
        reader->level = level;
}

static void read_flags(struct mqtt_reader *reader, struct mqtt_connect *connect)
{
    uint8_t flags = mqtt_read_u8(reader);

    connect->clean_start = (flags & FLAG_CLEAN_START) != 0;
    connect->has_will = (flags & FLAG_WILL) != 0;
    connect->will_qos = (flags >> WILL_QOS_SHIFT) & 3;
    connect->will_retain = (flags & FLAG_WILL_RETAIN) != 0;
    connect->has_password = (flags & FLAG_PASSWORD) != 0;
    connect->has_username = (flags & FLAG_USERNAME) != 0;

    if ((flags & FLAG_RESERVED) != 0)
        mqtt_refuse(reader, MQTT_RULE_CONNECT_RESERVED);
    else if (!connect->has_will && connect->will_qos != 0)
        mqtt_refuse(reader, MQTT_RULE_WILL_QOS_ALONE);
    else if (!connect->has_will && connect->will_retain)
        mqtt_refuse(reader, MQTT_RULE_WILL_RETAIN_ALONE);
    else if (connect->will_qos == 3)
        mqtt_refuse(reader, MQTT_RULE_WILL_QOS_3);
    else if (reader->level == MQTT_311 && connect->has_password && !connect->has_username)
        mqtt_refuse(reader, MQTT_RULE_PASSWORD_ALONE);
}

static void read_will(struct mqtt_reader *reader, struct mqtt_connect *connect)
{
    mqtt_read_properties(reader, MQTT_IN_WILL, &connect->will_properties);
    connect->will_topic = mqtt_read_string(reader);
    if (connect->will_topic.len == 0)
        mqtt_refuse(reader, MQTT_RULE_WILL_TOPIC_EMPTY);
    else if (!topic_name_valid(connect->will_topic))
        mqtt_refuse(reader, MQTT_RULE_WILL_TOPIC_WILDCARD);
    connect->will_payload = mqtt_read_binary(reader);
}

void mqtt_read_connect(struct mqtt_reader *reader, struct mqtt_connect *connect)
{
    read_protocol(reader, connect);
    read_flags(reader, connect);
    connect->keep_alive_s = mqtt_read_u16(reader);
    mqtt_read_properties(reader, MQTT_IN_CONNECT, &connect->properties);
    connect->client_id = mqtt_read_string(reader);
    if (connect->has_will)
        read_will(reader, connect);
    if (connect->has_username)
        connect->username = mqtt_read_string(reader);
    if (connect->has_password)
        connect->password = mqtt_read_binary(reader);
}
