/* behaviour - see the header. */
#include "behaviour.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Of a device token in a path. */
#define TOKEN_MAX 512
#define DELAY_MAX_MS 3600000

static const char *number(const json_t *value, json_int_t max, uint32_t *ret)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > max)
        return "a member is not a number in its range";
    *ret = (uint32_t)json_integer_value(value);
    return NULL;
}

static const char *boolean(const json_t *value, bool *ret)
{
    if (!json_is_boolean(value))
        return "drop_connections and hang: expected true or false";
    *ret = json_is_true(value);
    return NULL;
}

static const char *set(struct behaviour *b, const char *key, const json_t *value)
{
    const char *why = NULL;

    if (strcmp(key, "delay_ms") == 0) {
        why = number(value, DELAY_MAX_MS, &b->delay_ms);
    } else if (strcmp(key, "status") == 0) {
        why = number(value, 599, &b->status);
        if (!why && b->status < 200)
            why = "status: expected 200 to 599";
    } else if (strcmp(key, "reason") == 0) {
        if (!json_is_string(value) || json_string_length(value) >= sizeof(b->reason))
            return "reason: expected a string of at most 63 bytes";
        snprintf(b->reason, sizeof(b->reason), "%s", json_string_value(value));
    } else if (strcmp(key, "retry_after") == 0) {
        b->has_retry_after = true;
        why = number(value, 86400, &b->retry_after);
    } else if (strcmp(key, "goaway_after") == 0) {
        why = number(value, INT32_MAX, &b->goaway_after);
    } else if (strcmp(key, "max_concurrent_streams") == 0) {
        why = number(value, INT32_MAX, &b->max_concurrent_streams);
    } else if (strcmp(key, "drop_connections") == 0) {
        why = boolean(value, &b->drop_connections);
    } else if (strcmp(key, "hang") == 0) {
        why = boolean(value, &b->hang);
    } else {
        return "unknown member, expected delay_ms, status, reason, retry_after, goaway_after, "
               "drop_connections, max_concurrent_streams or hang";
    }
    return why;
}

const char *behaviour_put(struct simulator *simulator, const char *body, size_t len)
{
    json_t *document = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, NULL), *value;
    struct behaviour fresh = {0};
    const char *why = json_is_object(document) ? NULL : "expected a JSON object", *key;

    if (!why) {
        json_object_foreach(document, key, value)
        {
            why = set(&fresh, key, value);
            if (why)
                break;
        }
    }
    json_decref(document);
    if (!why)
        simulator->behaviour = fresh;
    return why;
}

static const char *lower(const char *token, char text[TOKEN_MAX])
{
    size_t len = strlen(token);

    if (len == 0 || len >= TOKEN_MAX || len % 2 != 0)
        return "the token: expected an even number of hexadecimal digits";
    for (size_t i = 0; i <= len; i++) {
        if (i < len && !isxdigit((unsigned char)token[i]))
            return "the token: expected an even number of hexadecimal digits";
        text[i] = (char)tolower((unsigned char)token[i]);
    }
    return NULL;
}

static const char *check_answer(const json_t *document)
{
    const json_t *status = json_object_get(document, "status");
    const json_t *reason = json_object_get(document, "reason");
    const json_t *timestamp = json_object_get(document, "timestamp");
    const char *key;
    json_t *value;

    if (!json_is_object(document))
        return "expected a JSON object";
    json_object_foreach((json_t *)document, key, value)
    {
        if (strcmp(key, "status") != 0 && strcmp(key, "reason") != 0 &&
            strcmp(key, "timestamp") != 0)
            return "unknown member, expected status, reason and timestamp";
    }
    if (!json_is_integer(status) || json_integer_value(status) < 200 ||
        json_integer_value(status) > 599)
        return "status: expected 200 to 599";
    if (reason && !json_is_string(reason))
        return "reason: expected a string";
    if (timestamp && !json_is_integer(timestamp))
        return "timestamp: expected milliseconds since 1970";
    return NULL;
}

const char *token_answer_put(struct simulator *simulator, const char *token, const char *body,
                             size_t len)
{
    json_t *document = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, NULL);
    char text[TOKEN_MAX];
    const char *why = check_answer(document);

    if (!why)
        why = lower(token, text);
    if (!why && json_object_set(simulator->tokens, text, document) != 0)
        why = "out of memory";
    json_decref(document);
    return why;
}

void token_answer_delete(struct simulator *simulator, const char *token)
{
    char text[TOKEN_MAX];

    if (!lower(token, text))
        json_object_del(simulator->tokens, text);
}
