/* mqtt_reader - takes fields off one packet; private to the codec's files.
 *
 * The first rule that is broken sticks: the reader then has no bytes left, every later read gives 0
 * or nothing, and the decoder looks once, at its end. So no decoder can act on what it could not
 * read, and none has to check each field. On the stack, borrows the packet. */
#ifndef BECKON_CONNECTOR_MQTT_READER_H
#define BECKON_CONNECTOR_MQTT_READER_H

#include "connector/mqtt_codec.h"

/* Variable byte integers end after four bytes (MQTT 5.0 section 1.5.5). */
#define MQTT_VARINT_MAX UINT32_C(268435455)

enum mqtt_rule { /* see mqtt_rule.def */
#define RULE(name, reason, clause_311, clause_5, text) MQTT_RULE_##name,
#include "connector/mqtt_rule.def"
#undef RULE
                 MQTT_RULE_COUNT
};

struct mqtt_reader {
    const uint8_t *at, *end;
    uint8_t level;           /* enum mqtt_level: which form, and whose clauses */
    bool skip_utf8;          /* the bytes passed mqtt_decode before */
    bool padded;             /* the last variable byte integer was longer than necessary */
    int err;                 /* 0 or what mqtt_decode returns */
    struct mqtt_fault fault; /* when err is not 0 */
};

void mqtt_reader_init(struct mqtt_reader *reader, struct bytes data, uint8_t level);
/* Records the broken rule, unless one is recorded already. */
void mqtt_refuse(struct mqtt_reader *reader, enum mqtt_rule rule);
/* The same with another clause than the rule's own. */
void mqtt_refuse_clause(struct mqtt_reader *reader, enum mqtt_rule rule, const char *clause);

static inline uint32_t mqtt_left(const struct mqtt_reader *reader)
{
    return (uint32_t)(reader->end - reader->at);
}

uint8_t mqtt_read_u8(struct mqtt_reader *reader);
uint16_t mqtt_read_u16(struct mqtt_reader *reader);
uint32_t mqtt_read_u32(struct mqtt_reader *reader);
/* A packet identifier: not 0. */
uint16_t mqtt_read_packet_id(struct mqtt_reader *reader);
/* Sets padded and leaves the verdict to the caller: 3.1.1 does not demand the shortest form. */
uint32_t mqtt_read_varint(struct mqtt_reader *reader);
struct bytes mqtt_read_bytes(struct mqtt_reader *reader, uint32_t len);
/* Two bytes of length, then so many bytes. */
struct bytes mqtt_read_binary(struct mqtt_reader *reader);
/* The same, which must be UTF-8 without U+0000. */
struct bytes mqtt_read_string(struct mqtt_reader *reader);

/* Where properties stand; one bit each. */
enum mqtt_place {
    MQTT_IN_CONNECT = 1 << 0,
    MQTT_IN_WILL = 1 << 1,
    MQTT_IN_PUBLISH = 1 << 2,
    MQTT_IN_ACK = 1 << 3, /* PUBACK, PUBREC, PUBREL, PUBCOMP */
    MQTT_IN_SUBSCRIBE = 1 << 4,
    MQTT_IN_UNSUBSCRIBE = 1 << 5,
    MQTT_IN_DISCONNECT = 1 << 6,
    MQTT_IN_AUTH = 1 << 7
};

/* Reads a property list with its length. In 3.1.1 there is none: gives the defaults. */
void mqtt_read_properties(struct mqtt_reader *reader, enum mqtt_place place,
                          struct mqtt_properties *ret_properties);

/* The body of CONNECT; sets reader->level. connect is all zero before. */
void mqtt_read_connect(struct mqtt_reader *reader, struct mqtt_connect *connect);
/* The body of SUBSCRIBE and UNSUBSCRIBE. */
void mqtt_read_subscribe(struct mqtt_reader *reader, bool unsubscribe,
                         struct mqtt_subscribe *subscribe);

#endif
