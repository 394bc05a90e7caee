/* rules - Apple's rules for requests, a function a rule, tables where there is a list.
 *
 * Where Apple's documentation gives no reason string for a mistake, the nearest one is answered:
 * a push type that contradicts topic or payload is InvalidPushType, a body without an `aps` object
 * is PayloadEmpty. Linear in the size of the request. */
#include "rules.h"

#include <string.h>

#include "common/auto.h"

#define PATH "/3/device"
#define PAYLOAD_MAX 4096
#define PAYLOAD_MAX_VOIP 5120
#define COLLAPSE_ID_MAX 64
#define TOPIC_MAX 255
/* Seconds since the epoch fit into 12 digits for the next 29,000 years. */
#define EXPIRATION_DIGITS 12
#define UUID_LEN 36

enum push_type {
    TYPE_ALERT,
    TYPE_BACKGROUND,
    TYPE_VOIP,
    TYPE_LIVEACTIVITY,
    TYPE_LOCATION,
    TYPE_COMPLICATION,
    TYPE_FILEPROVIDER,
    TYPE_MDM,
    TYPE_PUSHTOTALK,
    TYPE_WIDGETS,
    TYPE_CONTROLS,
    TYPE_COUNT,
};

/* suffix: what the topic ends with, after the bundle id; NULL: nothing. */
static const struct {
    const char *name, *suffix;
} types[TYPE_COUNT] = {
    [TYPE_ALERT] = {"alert", NULL},
    [TYPE_BACKGROUND] = {"background", NULL},
    [TYPE_VOIP] = {"voip", ".voip"},
    [TYPE_LIVEACTIVITY] = {"liveactivity", ".push-type.liveactivity"},
    [TYPE_LOCATION] = {"location", ".location-query"},
    [TYPE_COMPLICATION] = {"complication", ".complication"},
    [TYPE_FILEPROVIDER] = {"fileprovider", ".pushkit.fileprovider"},
    [TYPE_MDM] = {"mdm", NULL},
    [TYPE_PUSHTOTALK] = {"pushtotalk", ".voip-ptt"},
    [TYPE_WIDGETS] = {"widgets", ".push-type.widgets"},
    [TYPE_CONTROLS] = {"controls", ".push-type.controls"},
};

enum reason rules_check_target(const struct request *request, const char **ret_device)
{
    const size_t len = sizeof(PATH) - 1;
    const char *path = request->path != NULL ? request->path : "";

    *ret_device = NULL;
    if (strncmp(path, PATH, len) == 0 && (path[len] == '/' || path[len] == '\0'))
        *ret_device = path[len] == '/' ? path + len + 1 : path + len;
    if (request->method == NULL || strcmp(request->method, "POST") != 0)
        return REASON_METHOD_NOT_ALLOWED;
    if (*ret_device == NULL)
        return REASON_BAD_PATH;
    return request->duplicates ? REASON_DUPLICATE_HEADERS : REASON_NONE;
}

enum reason rules_check_device(const char *device)
{
    size_t len = strlen(device);

    if (len == 0)
        return REASON_MISSING_DEVICE_TOKEN;
    if (len % 2 != 0 || strspn(device, "0123456789abcdefABCDEF") != len)
        return REASON_BAD_DEVICE_TOKEN;
    return REASON_NONE;
}

bool rules_topic_valid(const char *topic)
{
    size_t len = strspn(topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.");

    return len != 0 && len <= TOPIC_MAX && topic[len] == '\0';
}

/* The length of topic without the suffix; its whole length when it does not end so. */
static size_t without_suffix(const char *topic, const char *suffix)
{
    size_t len = strlen(topic), suffix_len = strlen(suffix);

    if (len <= suffix_len || strcmp(topic + len - suffix_len, suffix) != 0)
        return len;
    return len - suffix_len;
}

/* The length of the bundle id in it: the topic without the suffix of any push type. */
static size_t bundle_len(const char *topic)
{
    size_t len = strlen(topic);

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        size_t shorter = types[i].suffix != NULL ? without_suffix(topic, types[i].suffix) : len;

        if (shorter < len)
            return shorter;
    }
    return len;
}

static bool topic_allowed(const char *topic, const config_setting_t *topics)
{
    size_t len = bundle_len(topic);
    int count = topics != NULL ? config_setting_length(topics) : 0;

    for (int i = 0; i < count; i++) {
        const char *allowed = config_setting_get_string_elem(topics, i);

        if (allowed != NULL && (strcmp(allowed, topic) == 0 ||
                                (strlen(allowed) == len && strncmp(allowed, topic, len) == 0)))
            return true;
    }
    return count == 0;
}

static enum reason check_topic(const char *topic, const config_setting_t *topics)
{
    if (topic == NULL || topic[0] == '\0')
        return REASON_MISSING_TOPIC;
    if (!rules_topic_valid(topic))
        return REASON_BAD_TOPIC;
    return topic_allowed(topic, topics) ? REASON_NONE : REASON_TOPIC_DISALLOWED;
}

/* TYPE_COUNT when there is no such type. Without the header Apple looks at the payload: see
 * rules_check_payload. */
static enum push_type find_type(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].name, name) == 0)
            return (enum push_type)i;
    }
    return TYPE_COUNT;
}

static enum reason check_type(const char *name, const char *topic)
{
    enum push_type type;
    const char *suffix;

    if (name == NULL)
        return REASON_NONE;
    type = find_type(name);
    if (type == TYPE_COUNT)
        return REASON_INVALID_PUSH_TYPE;
    suffix = types[type].suffix;
    /* mdm: the topic comes from a certificate and follows no such rule. */
    if (type == TYPE_MDM)
        return REASON_NONE;
    if (bundle_len(topic) != (suffix != NULL ? without_suffix(topic, suffix) : strlen(topic)))
        return REASON_INVALID_PUSH_TYPE;
    return suffix == NULL || without_suffix(topic, suffix) < strlen(topic)
               ? REASON_NONE
               : REASON_INVALID_PUSH_TYPE;
}

static enum reason check_priority(const char *priority, const char *type)
{
    bool background = type != NULL && strcmp(type, types[TYPE_BACKGROUND].name) == 0;

    if (priority == NULL) /* the default is 10, which a background push must not have */
        return background ? REASON_BAD_PRIORITY : REASON_NONE;
    if (strcmp(priority, "5") == 0)
        return REASON_NONE;
    if (!background && (strcmp(priority, "10") == 0 || strcmp(priority, "1") == 0))
        return REASON_NONE;
    return REASON_BAD_PRIORITY;
}

static bool expiration_valid(const char *text)
{
    size_t len = strlen(text);

    return len != 0 && len <= EXPIRATION_DIGITS && strspn(text, "0123456789") == len;
}

bool rules_message_id_valid(const char *text)
{
    if (strlen(text) != UUID_LEN)
        return false;
    for (size_t i = 0; i < UUID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : strchr("0123456789abcdef", text[i]) == NULL)
            return false;
    }
    return true;
}

static bool collapse_id_valid(const char *text)
{
    size_t len = strlen(text);

    return len != 0 && len <= COLLAPSE_ID_MAX;
}

enum reason rules_check_headers(const struct request *request, const config_setting_t *topics)
{
    const char *topic = request_apns_header(request, "apns-topic");
    const char *type = request_apns_header(request, "apns-push-type");
    const char *expiration = request_apns_header(request, "apns-expiration");
    const char *id = request_apns_header(request, "apns-id");
    const char *collapse_id = request_apns_header(request, "apns-collapse-id");
    enum reason reason = check_topic(topic, topics);

    if (reason == REASON_NONE)
        reason = check_type(type, topic);
    if (reason == REASON_NONE)
        reason = check_priority(request_apns_header(request, "apns-priority"), type);
    if (reason != REASON_NONE)
        return reason;
    if (expiration != NULL && !expiration_valid(expiration))
        return REASON_BAD_EXPIRATION_DATE;
    if (id != NULL && !rules_message_id_valid(id))
        return REASON_BAD_MESSAGE_ID;
    if (collapse_id != NULL && !collapse_id_valid(collapse_id))
        return REASON_BAD_COLLAPSE_ID;
    return REASON_NONE;
}

json_t *rules_parse_payload(const struct request *request)
{
    json_t *payload;

    if (request->body_bytes > request->body.len || request->body.len == 0)
        return NULL;
    payload = json_loadb((const char *)request->body.data, request->body.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(payload)) {
        json_decref(payload);
        return NULL;
    }
    return payload;
}

/* What a person notices; a background push must have none of it. */
static bool noticeable(const json_t *aps)
{
    return json_object_get(aps, "alert") != NULL || json_object_get(aps, "badge") != NULL ||
           json_object_get(aps, "sound") != NULL;
}

static bool aps_matches(const json_t *aps, enum push_type type)
{
    switch (type) {
    case TYPE_ALERT:
        return noticeable(aps);
    case TYPE_BACKGROUND:
        return !noticeable(aps) &&
               json_integer_value(json_object_get(aps, "content-available")) == 1;
    case TYPE_LIVEACTIVITY:
        return json_is_string(json_object_get(aps, "event")) &&
               json_is_number(json_object_get(aps, "timestamp"));
    default: /* no rule that Apple tells */
        return true;
    }
}

enum reason rules_check_payload(const struct request *request, const json_t *payload)
{
    const char *name = request_apns_header(request, "apns-push-type");
    enum push_type type = name != NULL ? find_type(name) : TYPE_COUNT;
    const json_t *aps = json_object_get(payload, "aps");

    if (request->body_bytes == 0)
        return REASON_PAYLOAD_EMPTY;
    if (request->body_bytes > (type == TYPE_VOIP ? PAYLOAD_MAX_VOIP : PAYLOAD_MAX))
        return REASON_PAYLOAD_TOO_LARGE;
    if (type == TYPE_MDM)
        return json_is_string(json_object_get(payload, "mdm")) ? REASON_NONE : REASON_PAYLOAD_EMPTY;
    if (!json_is_object(aps))
        return REASON_PAYLOAD_EMPTY;
    return aps_matches(aps, type) ? REASON_NONE : REASON_INVALID_PUSH_TYPE;
}
