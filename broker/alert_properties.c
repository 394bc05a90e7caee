/* alert_properties - see the header. */
#include "broker/alert_properties.h"

#include "common/auto.h"

#include <stddef.h>

/* MQTT 5.0 section 2.2.2.2 */
enum {
    PAYLOAD_FORMAT = 0x01,
    MESSAGE_EXPIRY = 0x02,
    CONTENT_TYPE = 0x03,
    RESPONSE_TOPIC = 0x08,
    CORRELATION_DATA = 0x09,
    USER_PROPERTY = 0x26
};

static bool take(struct bytes *rest, uint32_t len, struct bytes *ret)
{
    if (rest->len < len)
        return false;
    *ret = bytes_of(rest->data, len);
    *rest = bytes_of(rest->data + len, rest->len - len);
    return true;
}

static bool take_string(struct bytes *rest, struct bytes *ret)
{
    struct bytes size;

    return take(rest, 2, &size) && take(rest, (uint32_t)size.data[0] << 8 | size.data[1], ret);
}

static void user_property(struct alert_properties *p, struct bytes name, struct bytes value)
{
    static const struct {
        const char *name;
        size_t offset;
    } texts[] = {{"alert-body", offsetof(struct alert_properties, body)},
                 {"alert-category", offsetof(struct alert_properties, category)},
                 {"alert-thread", offsetof(struct alert_properties, thread)},
                 {"alert-title", offsetof(struct alert_properties, title)},
                 {"alert-sound", offsetof(struct alert_properties, sound)},
                 {"alert-level", offsetof(struct alert_properties, level)}};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (bytes_equal_string(name, texts[i].name)) {
            memcpy((char *)p + texts[i].offset, &value, sizeof(value));
            return;
        }
    }
    if (bytes_equal_string(name, "alert-none"))
        p->none = true;
    else if (bytes_equal_string(name, "priority"))
        p->priority = bytes_equal_string(value, "5") ? 5 : 10;
    else
        p->others = true;
}

static bool read_one(struct bytes *rest, struct alert_properties *p)
{
    struct bytes id, value, name;

    if (!take(rest, 1, &id))
        return false;
    switch (id.data[0]) {
    case PAYLOAD_FORMAT:
        if (!take(rest, 1, &value))
            return false;
        p->utf8 = value.data[0] == 1;
        return true;
    case MESSAGE_EXPIRY:
        return take(rest, 4, &value);
    case CONTENT_TYPE:
        return take_string(rest, &p->content_type);
    case RESPONSE_TOPIC:
    case CORRELATION_DATA:
        p->others = true;
        return take_string(rest, &value);
    case USER_PROPERTY:
        if (!take_string(rest, &name) || !take_string(rest, &value))
            return false;
        user_property(p, name, value);
        return true;
    default:
        return false;
    }
}

struct alert_properties alert_properties_read(struct bytes properties)
{
    struct alert_properties p = {.priority = 10};

    while (read_one(&properties, &p))
        ;
    return p;
}

bool alert_properties_none(struct bytes properties)
{
    return properties.len > 0 && alert_properties_read(properties).none;
}
