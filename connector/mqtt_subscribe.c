/* SUBSCRIBE and UNSUBSCRIBE carry lists of any length. They are not unpacked into an array, which
 * would be memory of the peer's choosing: the list is validated in place once, and whoever needs
 * the filters walks the same bytes again. */
#include "connector/mqtt_reader.h"

#include "common/topic.h"

#define QOS_MASK 0x03
#define NO_LOCAL 0x04
#define RETAIN_HANDLING_MASK 0x30
#define OPTIONS_MASK 0x3C /* No Local, Retain As Published, Retain Handling */
#define RESERVED_MASK_311 0xFC
#define RESERVED_MASK_5 0xC0

#define SHARE_PREFIX "$share/"
#define SHARE_PREFIX_LEN ((uint32_t)sizeof(SHARE_PREFIX) - 1)

/* Shared subscriptions exist in MQTT 5 only; in 3.1.1 $share is a topic level like another. */
static bool is_shared(const struct mqtt_reader *reader, struct bytes filter)
{
    return reader->level == MQTT_5 && filter.len >= SHARE_PREFIX_LEN &&
           memcmp(filter.data, SHARE_PREFIX, SHARE_PREFIX_LEN) == 0;
}

/* `$share/ShareName/filter` (MQTT 5.0 section 4.8.2). */
static void check_share(struct mqtt_reader *reader, struct bytes filter)
{
    const uint8_t *name = filter.data + SHARE_PREFIX_LEN;
    uint32_t left = filter.len - SHARE_PREFIX_LEN, len = 0;

    while (len < left && name[len] != '/') {
        if (name[len] == '+' || name[len] == '#') {
            mqtt_refuse(reader, MQTT_RULE_SHARE_NAME);
            return;
        }
        len++;
    }
    if (len == 0)
        mqtt_refuse(reader, MQTT_RULE_SHARE_NAME_EMPTY);
    else if (left - len < 2) /* the separator and a character at least */
        mqtt_refuse(reader, MQTT_RULE_SHARE_NAME);
}

static void check_filter(struct mqtt_reader *reader, struct bytes filter)
{
    if (filter.len == 0) {
        mqtt_refuse(reader, MQTT_RULE_FILTER_EMPTY);
        return;
    }
    if (is_shared(reader, filter))
        check_share(reader, filter);
    if (!filter_syntax_valid(filter))
        mqtt_refuse(reader, MQTT_RULE_FILTER_WILDCARD);
}

static void check_options(struct mqtt_reader *reader, struct bytes filter, uint8_t options)
{
    uint8_t reserved = reader->level == MQTT_5 ? RESERVED_MASK_5 : RESERVED_MASK_311;

    if ((options & reserved) != 0)
        mqtt_refuse(reader, MQTT_RULE_OPTIONS_RESERVED);
    else if ((options & QOS_MASK) == 3)
        mqtt_refuse(reader, MQTT_RULE_SUBSCRIBE_QOS_3);
    else if ((options & RETAIN_HANDLING_MASK) == RETAIN_HANDLING_MASK)
        mqtt_refuse(reader, MQTT_RULE_RETAIN_HANDLING_3);
    else if ((options & NO_LOCAL) != 0 && is_shared(reader, filter))
        mqtt_refuse(reader, MQTT_RULE_NO_LOCAL_SHARED);
}

void mqtt_read_subscribe(struct mqtt_reader *reader, bool unsubscribe,
                         struct mqtt_subscribe *subscribe)
{
    subscribe->unsubscribe = unsubscribe;
    subscribe->packet_id = mqtt_read_packet_id(reader);
    mqtt_read_properties(reader, unsubscribe ? MQTT_IN_UNSUBSCRIBE : MQTT_IN_SUBSCRIBE,
                         &subscribe->properties);
    if (mqtt_left(reader) == 0)
        mqtt_refuse(reader, unsubscribe ? MQTT_RULE_UNSUBSCRIBE_EMPTY : MQTT_RULE_SUBSCRIBE_EMPTY);

    subscribe->filters = bytes_of(reader->at, mqtt_left(reader));
    while (mqtt_left(reader) != 0) {
        struct bytes filter = mqtt_read_string(reader);

        if (reader->err == 0)
            check_filter(reader, filter);
        if (!unsubscribe) {
            uint8_t options = mqtt_read_u8(reader);
            if (reader->err == 0)
                check_options(reader, filter, options);
        }
        if (subscribe->count == UINT16_MAX)
            mqtt_refuse(reader, MQTT_RULE_TOO_MANY_FILTERS);
        else
            subscribe->count++;
    }
}

int mqtt_filter_next(const struct mqtt_subscribe *subscribe, struct bytes *rest,
                     struct mqtt_filter *ret_filter)
{
    struct mqtt_reader reader;
    struct mqtt_filter filter = {0};

    if (rest->len == 0)
        return 0;
    mqtt_reader_init(&reader, *rest, MQTT_5);
    reader.skip_utf8 = true; /* mqtt_decode has looked */
    filter.filter = mqtt_read_string(&reader);
    if (!subscribe->unsubscribe) {
        uint8_t options = mqtt_read_u8(&reader);
        filter.qos = options & QOS_MASK;
        filter.options = options & OPTIONS_MASK;
    }
    *rest = bytes_of(reader.at, mqtt_left(&reader));
    if (reader.err != 0) /* not from mqtt_decode: ends here and not beyond the bytes */
        return 0;
    *ret_filter = filter;
    return 1;
}
