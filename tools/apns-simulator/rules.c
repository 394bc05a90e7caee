/* rules - see the header. */
#include "rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

#define PATH_PREFIX "/3/device/"
#define COLLAPSE_MAX 64

const char *const request_headers[HEADER_COUNT] = {
    "authorization",   "apns-topic",    "apns-push-type",  "apns-id",
    "apns-expiration", "apns-priority", "apns-collapse-id"};

/* What a push type goes with: the end of the topic, and the key of aps that it needs. */
static const struct push_type {
    const char *name, *suffix;
} push_types[] = {
    {"alert", ""},
    {"background", ""},
    {"voip", ".voip"},
    {"complication", ".complication"},
    {"fileprovider", ".pushkit.fileprovider"},
    {"location", ".location-query"},
    {"liveactivity", ".push-type.liveactivity"},
    {"pushtotalk", ".voip-ptt"},
    {"widgets", ".push-type.widgets"},
    {"controls", ".push-type.controls"},
    {"mdm", ""},
};

const char *rules_path(const struct request *request, unsigned *ret_status, const char **ret_token)
{
    if (strncmp(request->path, PATH_PREFIX, sizeof(PATH_PREFIX) - 1) != 0 ||
        strchr(request->path + sizeof(PATH_PREFIX) - 1, '/')) {
        *ret_status = 404;
        return "BadPath";
    }
    if (strcmp(request->method, "POST") != 0) {
        *ret_status = 405;
        return "MethodNotAllowed";
    }
    *ret_token = request->path + sizeof(PATH_PREFIX) - 1;
    *ret_status = 400;
    return **ret_token == '\0' ? "MissingDeviceToken" : NULL;
}

static bool is_hex(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return false;
    }
    return len > 0 && len % 2 == 0;
}

/* Lower case, as Apple asks for. */
static bool is_uuid(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (strlen(text) != sizeof(form) - 1)
        return false;
    for (size_t i = 0; form[i] != '\0'; i++) {
        bool hex = isdigit((unsigned char)text[i]) || (text[i] >= 'a' && text[i] <= 'f');

        if (form[i] == 'x' ? !hex : text[i] != form[i])
            return false;
    }
    return true;
}

static bool is_number(const char *text)
{
    char *end;

    errno = 0;
    return isdigit((unsigned char)*text) && (strtoull(text, &end, 10), *end == '\0') && errno == 0;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t len = strlen(text), end = strlen(suffix);

    return len > end && strcmp(text + len - end, suffix) == 0;
}

static const struct push_type *find_push_type(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(push_types); i++) {
        if (strcmp(push_types[i].name, name) == 0)
            return &push_types[i];
    }
    return NULL;
}

static bool topic_valid(const char *topic)
{
    if (*topic == '\0' || strlen(topic) > 255)
        return false;
    for (; *topic != '\0'; topic++) {
        if (!isalnum((unsigned char)*topic) && !strchr(".-_", *topic))
            return false;
    }
    return true;
}

static const char *check_headers(const struct request *r)
{
    const char *topic = r->headers[HEADER_TOPIC], *type = r->headers[HEADER_PUSH_TYPE];
    const char *priority = r->headers[HEADER_PRIORITY];
    const struct push_type *known = find_push_type(type ? type : "alert");

    if (r->duplicate)
        return "DuplicateHeaders";
    if (r->headers[HEADER_ID] && !is_uuid(r->headers[HEADER_ID]))
        return "BadMessageId";
    if (r->headers[HEADER_EXPIRATION] && !is_number(r->headers[HEADER_EXPIRATION]))
        return "BadExpirationDate";
    if (priority && strcmp(priority, "10") != 0 && strcmp(priority, "5") != 0 &&
        strcmp(priority, "1") != 0)
        return "BadPriority";
    if (r->headers[HEADER_COLLAPSE_ID] && strlen(r->headers[HEADER_COLLAPSE_ID]) > COLLAPSE_MAX)
        return "BadCollapseId";
    if (!topic)
        return "MissingTopic";
    if (!topic_valid(topic))
        return "BadTopic";
    if (!known)
        return "InvalidPushType";
    if (known->suffix[0] != '\0' && !ends_with(topic, known->suffix))
        return "BadTopic";
    /* without the header Apple takes 10, which a background push must not have */
    if (strcmp(known->name, "background") == 0 && (!priority || strcmp(priority, "10") == 0))
        return "BadPriority";
    return NULL;
}

/* An alert has something to show or to sound; a background push has nothing of it. */
static const char *check_aps(const char *type, const json_t *aps)
{
    bool shows = json_object_get(aps, "alert") || json_object_get(aps, "sound") ||
                 json_object_get(aps, "badge");
    const json_t *silent = json_object_get(aps, "content-available");

    if (strcmp(type, "background") == 0 &&
        (shows || !json_is_integer(silent) || json_integer_value(silent) != 1))
        return "InvalidPushType";
    if (strcmp(type, "alert") == 0 && !shows)
        return "InvalidPushType";
    return NULL;
}

struct verdict rules_check(const struct request *r, const char *device_token)
{
    const char *type = r->headers[HEADER_PUSH_TYPE] ? r->headers[HEADER_PUSH_TYPE] : "alert";
    struct verdict verdict = {.status = 400};
    const json_t *aps;

    verdict.reason = check_headers(r);
    if (!verdict.reason && !is_hex(device_token))
        verdict.reason = "BadDeviceToken";
    if (verdict.reason)
        return verdict;
    if (r->body_len == 0) {
        verdict.reason = "PayloadEmpty";
        return verdict;
    }
    if (r->body_len > (strcmp(type, "voip") == 0 ? PAYLOAD_VOIP_MAX : PAYLOAD_MAX)) {
        verdict.status = 413;
        verdict.reason = "PayloadTooLarge";
        return verdict;
    }
    verdict.payload = json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL);
    aps = json_object_get(verdict.payload, "aps");
    /* Apple names no reason for a payload that is no such JSON; it treats it as having none */
    if (!json_is_object(verdict.payload) || !json_is_object(aps)) {
        verdict.reason = "PayloadEmpty";
        return verdict;
    }
    verdict.reason = check_aps(type, aps);
    verdict.status = verdict.reason ? 400 : 200;
    return verdict;
}
