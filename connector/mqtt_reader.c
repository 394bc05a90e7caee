/* Every length in a packet is the peer's word. All fields therefore pass through one place that
 * compares lengths before it moves, and a decoder above it can't forget to: after the first broken
 * rule the reader is empty and stays so. The price is a compare per field. */
#include "connector/mqtt_reader.h"

#include "common/utf8.h"

#include <stddef.h>

#define VARINT_MAX_BYTES 4 /* MQTT 5.0 section 1.5.5 */

static const struct rule {
    uint8_t reason;
    const char *clause_311, *clause_5, *text;
} rules[MQTT_RULE_COUNT] = {
#define RULE(name, reason, clause_311, clause_5, text)                                             \
    [MQTT_RULE_##name] = {reason, clause_311, clause_5, text},
#include "connector/mqtt_rule.def"
#undef RULE
};

void mqtt_reader_init(struct mqtt_reader *reader, struct bytes data, uint8_t level)
{
    /* Offsets of NULL are undefined, an empty run may have it. */
    static const uint8_t nothing[1];
    const uint8_t *at = data.len != 0 ? data.data : nothing;

    *reader = (struct mqtt_reader){.at = at, .end = at + data.len, .level = level};
}

void mqtt_refuse_clause(struct mqtt_reader *reader, enum mqtt_rule rule, const char *clause)
{
    const struct rule *broken = &rules[rule];

    if (reader->err != 0)
        return;
    if (broken->reason == MQTT_MALFORMED_PACKET)
        reader->err = ERR_MALFORMED;
    else if (broken->reason == MQTT_UNSUPPORTED_VERSION)
        reader->err = ERR_VERSION;
    else
        reader->err = ERR_PROTOCOL;
    reader->fault =
        (struct mqtt_fault){.reason = broken->reason, .clause = clause, .text = broken->text};
    reader->at = reader->end;
}

void mqtt_refuse(struct mqtt_reader *reader, enum mqtt_rule rule)
{
    mqtt_refuse_clause(reader, rule,
                       reader->level == MQTT_5 ? rules[rule].clause_5 : rules[rule].clause_311);
}

struct bytes mqtt_read_bytes(struct mqtt_reader *reader, uint32_t len)
{
    struct bytes field = bytes_of(reader->at, len);

    if (len > mqtt_left(reader)) {
        mqtt_refuse(reader, MQTT_RULE_OVERRUN);
        return bytes_of(NULL, 0);
    }
    reader->at += len;
    return field;
}

/* Big-endian, as all integers of MQTT. */
static uint32_t read_integer(struct mqtt_reader *reader, uint32_t size)
{
    struct bytes field = mqtt_read_bytes(reader, size);
    uint32_t value = 0;

    for (uint32_t i = 0; i < field.len; i++)
        value = value << 8 | field.data[i];
    return value;
}

uint8_t mqtt_read_u8(struct mqtt_reader *reader)
{
    return (uint8_t)read_integer(reader, 1);
}

uint16_t mqtt_read_u16(struct mqtt_reader *reader)
{
    return (uint16_t)read_integer(reader, 2);
}

uint32_t mqtt_read_u32(struct mqtt_reader *reader)
{
    return read_integer(reader, 4);
}

uint16_t mqtt_read_packet_id(struct mqtt_reader *reader)
{
    uint16_t packet_id = mqtt_read_u16(reader);

    if (packet_id == 0)
        mqtt_refuse(reader, MQTT_RULE_PACKET_ID_ZERO);
    return packet_id;
}

uint32_t mqtt_read_varint(struct mqtt_reader *reader)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < VARINT_MAX_BYTES; i++) {
        uint8_t byte = mqtt_read_u8(reader);

        value |= (uint32_t)(byte & 0x7F) << (7 * i);
        if ((byte & 0x80) == 0) {
            reader->padded = i > 0 && byte == 0; /* a last byte that adds nothing */
            return value;
        }
    }
    mqtt_refuse(reader, MQTT_RULE_VARINT_LONG);
    return 0;
}

struct bytes mqtt_read_binary(struct mqtt_reader *reader)
{
    return mqtt_read_bytes(reader, mqtt_read_u16(reader));
}

struct bytes mqtt_read_string(struct mqtt_reader *reader)
{
    struct bytes text = mqtt_read_binary(reader);

    if (text.len == 0 || reader->skip_utf8 || utf8_valid(text))
        return text;
    if (memchr(text.data, 0, text.len) != NULL)
        mqtt_refuse(reader, MQTT_RULE_UTF8_NUL);
    else
        mqtt_refuse(reader, MQTT_RULE_UTF8);
    return bytes_of(NULL, 0);
}
