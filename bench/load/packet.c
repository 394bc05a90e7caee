#include "bench/load/packet.h"

#include "common/auto.h"

#define PROPERTY_RECEIVE_MAX 0x21
#define PROPERTY_SESSION_EXPIRY 0x11

/* --- parsing --- */

/* What is left to read. Running over the end is remembered and reads zeros. */
struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static uint8_t take_u8(struct cursor *cursor)
{
    if (cursor->at == cursor->end) {
        cursor->bad = true;
        return 0;
    }
    return *cursor->at++;
}

static uint16_t take_u16(struct cursor *cursor)
{
    uint16_t high = take_u8(cursor);

    return (uint16_t)(high << 8 | take_u8(cursor));
}

static struct bytes take(struct cursor *cursor, uint32_t len)
{
    struct bytes taken = {0};

    if (len > (size_t)(cursor->end - cursor->at)) {
        cursor->bad = true;
        return taken;
    }
    taken = bytes_of(cursor->at, len);
    cursor->at += len;
    return taken;
}

/* MQTT 5, 1.5.5: at most four bytes. */
static uint32_t take_varint(struct cursor *cursor)
{
    uint32_t value = 0;

    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte = take_u8(cursor);

        value |= (uint32_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    cursor->bad = true;
    return 0;
}

/* Lengths of property values (MQTT 5, 2.2.2.2); 0: none has this identifier. */
enum { LENGTH_VARINT = -1, LENGTH_STRING = -2, LENGTH_PAIR = -3 };

static int property_length(uint32_t id)
{
    static const int8_t lengths[] = {
        [0x01] = 1,
        [0x02] = 4,
        [0x03] = LENGTH_STRING,
        [0x08] = LENGTH_STRING,
        [0x09] = LENGTH_STRING,
        [0x0B] = LENGTH_VARINT,
        [0x11] = 4,
        [0x12] = LENGTH_STRING,
        [0x13] = 2,
        [0x15] = LENGTH_STRING,
        [0x16] = LENGTH_STRING,
        [0x17] = 1,
        [0x18] = 4,
        [0x19] = 1,
        [0x1A] = LENGTH_STRING,
        [0x1C] = LENGTH_STRING,
        [0x1F] = LENGTH_STRING,
        [0x21] = 2,
        [0x22] = 2,
        [0x23] = 2,
        [0x24] = 1,
        [0x25] = 1,
        [0x26] = LENGTH_PAIR,
        [0x27] = 4,
        [0x28] = 1,
        [0x29] = 1,
        [0x2A] = 1,
    };

    return id < ARRAY_LEN(lengths) ? lengths[id] : 0;
}

static void take_property(struct cursor *cursor, struct packet *packet)
{
    uint32_t id = take_varint(cursor);
    int length = property_length(id);

    switch (length) {
    case 0:
        cursor->bad = true;
        break;
    case LENGTH_VARINT:
        take_varint(cursor);
        break;
    case LENGTH_PAIR:
        take(cursor, take_u16(cursor));
        take(cursor, take_u16(cursor));
        break;
    case LENGTH_STRING:
        take(cursor, take_u16(cursor));
        break;
    default:
        if (id == PROPERTY_RECEIVE_MAX)
            packet->receive_max = take_u16(cursor);
        else
            take(cursor, (uint32_t)length);
    }
}

static void take_properties(struct cursor *cursor, struct packet *packet)
{
    struct bytes all = take(cursor, take_varint(cursor));
    struct cursor inside = {.at = all.data};

    if (cursor->bad)
        return;
    inside.end = all.data + all.len;
    while (!cursor->bad && inside.at != inside.end) {
        take_property(&inside, packet);
        cursor->bad = inside.bad;
    }
}

/* What comes behind the fixed header. */
static void take_body(struct cursor *cursor, uint8_t flags, enum packet_level level,
                      struct packet *packet)
{
    bool v5 = level == PACKET_LEVEL_5;

    switch (packet->type) {
    case PACKET_CONNACK:
        packet->session = (take_u8(cursor) & 1) != 0;
        packet->reason = take_u8(cursor);
        if (v5 && cursor->at != cursor->end) /* a refusal of our level has none */
            take_properties(cursor, packet);
        cursor->bad |= packet->receive_max == 0;
        break;
    case PACKET_PUBLISH:
        packet->qos = flags >> 1 & 3;
        packet->dup = (flags & 8) != 0;
        cursor->bad |= packet->qos > 1; /* nobody here asks for QoS 2 */
        packet->topic = take(cursor, take_u16(cursor));
        packet->id = packet->qos > 0 ? take_u16(cursor) : 0;
        cursor->bad |= packet->qos > 0 && packet->id == 0;
        if (v5)
            take_properties(cursor, packet);
        packet->payload = take(cursor, (uint32_t)(cursor->end - cursor->at));
        break;
    case PACKET_PUBACK:
        packet->id = take_u16(cursor);
        if (v5 && cursor->at != cursor->end)
            packet->reason = take_u8(cursor);
        break;
    case PACKET_SUBACK:
        packet->id = take_u16(cursor);
        if (v5)
            take_properties(cursor, packet);
        packet->reason = take_u8(cursor);
        break;
    case PACKET_DISCONNECT:
        if (v5 && cursor->at != cursor->end)
            packet->reason = take_u8(cursor);
        break;
    case PACKET_PINGRESP:
        break;
    default: /* clients do not get it */
        cursor->bad = true;
    }
}

int packet_parse(struct bytes data, enum packet_level level, struct packet *ret)
{
    struct cursor cursor = {.at = data.data, .end = data.data + data.len};
    struct packet packet = {.receive_max = UINT16_MAX};
    uint32_t length;
    uint8_t first;

    if (data.len == 0)
        return 0;
    first = take_u8(&cursor);
    length = take_varint(&cursor);
    if (cursor.bad)
        return cursor.at == cursor.end && data.len < 5 ? 0 : ERR_MALFORMED;
    if (length > (size_t)(cursor.end - cursor.at))
        return 0;
    cursor.end = cursor.at + length;
    packet.type = first >> 4;
    packet.size = (uint32_t)(cursor.end - data.data);
    take_body(&cursor, first & 0x0F, level, &packet);
    if (cursor.bad)
        return ERR_MALFORMED;
    *ret = packet;
    return 1;
}

/* --- encoding --- */

static void put_varint(struct buf *out, uint32_t value)
{
    while (value > 0x7F) {
        buf_put_u8(out, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    buf_put_u8(out, (uint8_t)value);
}

static void put_string(struct buf *out, struct bytes text)
{
    buf_put_be16(out, (uint16_t)text.len);
    buf_put(out, text.data, text.len);
}

void packet_put_connect(struct buf *out, enum packet_level level,
                        const struct packet_connect *connect)
{
    bool v5 = level == PACKET_LEVEL_5, kept = connect->session_expiry_s > 0;
    uint32_t properties = v5 && kept ? 5 : 0;
    uint32_t size = 10 + (v5 ? 1 + properties : 0) + 2 + connect->client_id.len;
    uint8_t flags = kept ? 0 : 0x02; /* Clean Start; Clean Session */

    if (connect->user.len > 0) {
        size += 4 + connect->user.len + connect->password.len;
        flags |= 0xC0;
    }
    buf_put_u8(out, PACKET_CONNECT << 4);
    put_varint(out, size);
    put_string(out, bytes_of_string("MQTT"));
    buf_put_u8(out, (uint8_t)level);
    buf_put_u8(out, flags);
    buf_put_be16(out, connect->keep_alive_s);
    if (v5)
        put_varint(out, properties);
    if (properties > 0) {
        buf_put_u8(out, PROPERTY_SESSION_EXPIRY);
        buf_put_be32(out, connect->session_expiry_s);
    }
    put_string(out, connect->client_id);
    if (connect->user.len > 0) {
        put_string(out, connect->user);
        put_string(out, connect->password);
    }
}

void packet_put_subscribe(struct buf *out, enum packet_level level, uint16_t id,
                          struct bytes filter)
{
    bool v5 = level == PACKET_LEVEL_5;

    buf_put_u8(out, PACKET_SUBSCRIBE << 4 | 2);
    put_varint(out, 2 + (v5 ? 1 : 0) + 2 + filter.len + 1);
    buf_put_be16(out, id);
    if (v5)
        put_varint(out, 0);
    put_string(out, filter);
    buf_put_u8(out, 1);
}

void packet_put_publish(struct buf *out, enum packet_level level, uint16_t id, struct bytes topic,
                        struct bytes payload)
{
    bool v5 = level == PACKET_LEVEL_5;

    buf_put_u8(out, PACKET_PUBLISH << 4 | 1 << 1);
    put_varint(out, 2 + topic.len + 2 + (v5 ? 1 : 0) + payload.len);
    put_string(out, topic);
    buf_put_be16(out, id);
    if (v5)
        put_varint(out, 0);
    buf_put(out, payload.data, payload.len);
}

void packet_put_puback(struct buf *out, uint16_t id)
{
    buf_put_u8(out, PACKET_PUBACK << 4);
    put_varint(out, 2);
    buf_put_be16(out, id);
}

void packet_put_pingreq(struct buf *out)
{
    buf_put_u8(out, PACKET_PINGREQ << 4);
    buf_put_u8(out, 0);
}

void packet_put_disconnect(struct buf *out)
{
    buf_put_u8(out, PACKET_DISCONNECT << 4);
    buf_put_u8(out, 0);
}
