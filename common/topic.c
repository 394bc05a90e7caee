/* Each PUBLISH passes here once in the connector, so names are checked with one table look-up a
 * byte, and topics are taken apart level by level without copying. Whatever is not exactly in the
 * client contract's table is unknown: there is no topic space behind it that a near miss could
 * reach. */
#include "common/topic.h"

#include <stddef.h>

#define SHARE_PREFIX "$share/"
/* A topic is an MQTT string, whose length is two bytes (MQTT-4.7.3-3). */
#define TOPIC_MAX_LEN 65535

enum char_class {
    CHAR_DEVICE = 1, /* [A-Za-z0-9._~-]: device ids and keys */
    CHAR_USER = 2    /* those and [@:]: user and group ids */
};

static const uint8_t char_classes[256] = {
    ['A' ... 'Z'] = CHAR_DEVICE | CHAR_USER,
    ['a' ... 'z'] = CHAR_DEVICE | CHAR_USER,
    ['0' ... '9'] = CHAR_DEVICE | CHAR_USER,
    ['.'] = CHAR_DEVICE | CHAR_USER,
    ['_'] = CHAR_DEVICE | CHAR_USER,
    ['~'] = CHAR_DEVICE | CHAR_USER,
    ['-'] = CHAR_DEVICE | CHAR_USER,
    ['@'] = CHAR_USER,
    [':'] = CHAR_USER,
};

static bool name_is(struct bytes text, enum char_class class)
{
    if (text.len == 0 || text.len > NAME_MAX_LEN)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if ((char_classes[text.data[i]] & class) == 0)
            return false;
    }
    return true;
}

bool name_is_user(struct bytes text)
{
    return name_is(text, CHAR_USER);
}

bool name_is_device(struct bytes text)
{
    return name_is(text, CHAR_DEVICE);
}

bool name_is_group(struct bytes text)
{
    return name_is(text, CHAR_USER);
}

bool name_is_key(struct bytes text)
{
    return name_is(text, CHAR_DEVICE);
}

/* Takes prefix off the front of *text; false, and *text as it was, when it does not start so. */
static bool take_prefix(struct bytes *text, const char *prefix)
{
    uint32_t len = (uint32_t)strlen(prefix);

    if (text->len < len || memcmp(text->data, prefix, len) != 0)
        return false;
    *text = bytes_of(text->data + len, text->len - len);
    return true;
}

/* The part before the first '/'; *ret_more says whether there was one, *ret_rest what follows it.
 */
static struct bytes first_level(struct bytes text, bool *ret_more, struct bytes *ret_rest)
{
    const uint8_t *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);

    *ret_more = slash != NULL;
    if (slash == NULL) {
        *ret_rest = (struct bytes){0};
        return text;
    }
    uint32_t len = (uint32_t)(slash - text.data);
    *ret_rest = bytes_of(slash + 1, text.len - len - 1);
    return bytes_of(text.data, len);
}

/* to/u/... and to/g/...: ID or ID/KEY. */
static struct topic parse_to(enum topic_kind kind, struct bytes rest)
{
    bool has_key;
    struct topic topic = {.kind = kind};

    topic.to = first_level(rest, &has_key, &topic.key);
    bool to_valid = kind == TOPIC_TO_USER ? name_is_user(topic.to) : name_is_group(topic.to);
    if (!to_valid || (has_key && !name_is_key(topic.key)))
        return (struct topic){.kind = TOPIC_UNKNOWN};
    return topic;
}

struct topic topic_parse(struct bytes name)
{
    static const struct {
        const char *name;
        enum topic_kind kind;
    } fixed[] = {
        {"send", TOPIC_SEND},       {"me/state", TOPIC_ME_STATE}, {"me/push", TOPIC_ME_PUSH},
        {"me/read", TOPIC_ME_READ}, {"me/shown", TOPIC_ME_SHOWN}, {"me/token", TOPIC_ME_TOKEN},
    };
    struct bytes rest = name;

    if (take_prefix(&rest, "to/u/"))
        return parse_to(TOPIC_TO_USER, rest);
    if (take_prefix(&rest, "to/g/"))
        return parse_to(TOPIC_TO_GROUP, rest);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (bytes_equal_string(name, fixed[i].name))
            return (struct topic){.kind = fixed[i].kind};
    }
    return (struct topic){.kind = TOPIC_UNKNOWN};
}

struct filter filter_parse(struct bytes text)
{
    struct bytes rest = text;

    if (bytes_equal_string(text, "inbox/#"))
        return (struct filter){.kind = FILTER_INBOX};
    if (bytes_equal_string(text, "receipt/#"))
        return (struct filter){.kind = FILTER_RECEIPT};
    if (take_prefix(&rest, "presence/u/") && name_is_user(rest))
        return (struct filter){.kind = FILTER_PRESENCE, .user = rest};
    if (take_prefix(&rest, SHARE_PREFIX))
        return (struct filter){.kind = FILTER_SHARED};
    return (struct filter){.kind = FILTER_UNKNOWN};
}

bool filter_syntax_valid(struct bytes text)
{
    if (text.len == 0 || text.len > TOPIC_MAX_LEN)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        bool starts_level = i == 0 || text.data[i - 1] == '/';
        bool last = i + 1 == text.len;

        switch (text.data[i]) {
        case '\0': /* MQTT-4.7.3-2 */
            return false;
        case '#': /* alone in the last level: MQTT-4.7.1-1 */
            if (!starts_level || !last)
                return false;
            break;
        case '+': /* alone in its level: MQTT-4.7.1-2 */
            if (!starts_level || (!last && text.data[i + 1] != '/'))
                return false;
            break;
        default:
            break;
        }
    }
    return true;
}

bool topic_name_valid(struct bytes text)
{
    if (text.len == 0 || text.len > TOPIC_MAX_LEN)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        /* MQTT-4.7.3-2; MQTT-3.3.2-2: no wildcards in the topic of a PUBLISH. */
        if (text.data[i] == '\0' || text.data[i] == '#' || text.data[i] == '+')
            return false;
    }
    return true;
}
