/* me_request - see the header. */
#include "connector/me_request.h"

#include <ctype.h>

#include "common/auto.h"
#include "common/topic.h"

/* Of provider, topic and environment: strings of the wire. */
#define NAME_BYTES 255
#define PROVIDER_BYTES 32

static int load(struct bytes payload, struct me_request *request, const char **ret_why)
{
    request->mid_count = 0;
    request->json =
        json_loadb((const char *)payload.data, payload.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(request->json))
        return 0;
    *ret_why = "the payload is not a JSON object";
    return ERR_INVALID;
}

void me_request_fini(struct me_request *request)
{
    json_decref(request->json);
    request->json = NULL;
}

/* Only the known members: a misspelt one must not be taken for an absent one. */
static bool only_known(json_t *object, const char *const *known, size_t count)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        size_t i = 0;

        while (i < count && strcmp(known[i], key) != 0)
            i++;
        if (i == count)
            return false;
    }
    return true;
}

/* The string member, or an empty run with data NULL. */
static struct bytes member(const struct me_request *request, const char *name)
{
    json_t *value = json_object_get(request->json, name);

    if (!json_is_string(value) || json_string_length(value) > ME_TOKEN_MAX)
        return bytes_of(NULL, 0);
    return bytes_of(json_string_value(value), (uint32_t)json_string_length(value));
}

static bool printable(struct bytes text, uint32_t max)
{
    if (text.len == 0 || text.len > max)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if (!isgraph(text.data[i]))
            return false;
    }
    return true;
}

static bool is_provider(struct bytes text)
{
    if (text.len == 0 || text.len > PROVIDER_BYTES || !islower(text.data[0]))
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if (!islower(text.data[i]) && !isdigit(text.data[i]) && text.data[i] != '-')
            return false;
    }
    return true;
}

static bool is_hex(struct bytes text)
{
    if (text.len == 0 || text.len % 2 != 0)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if (!isxdigit(text.data[i]))
            return false;
    }
    return true;
}

static bool is_bundle_id(struct bytes text)
{
    if (text.len == 0 || text.len > NAME_BYTES)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if (!isalnum(text.data[i]) && text.data[i] != '.' && text.data[i] != '-')
            return false;
    }
    return true;
}

/* What is wrong with a registration, NULL: nothing. Apple's forms for its own provider; another
 * provider's are its plugin's business, within what the wire carries. */
static const char *push_fault(const struct me_request *request, const struct wire_push *push)
{
    if (!is_provider(push->provider))
        return "provider: expected the name of a push plugin, or \"none\"";
    if (bytes_equal_string(push->provider, "none"))
        return NULL;
    if (bytes_equal_string(push->provider, "apns")) {
        if (!is_hex(push->push_token))
            return "token: expected an even number of hexadecimal digits, at most 1024";
        if (!is_bundle_id(push->topic))
            return "topic: expected a bundle id";
    }
    if (!printable(push->push_token, ME_TOKEN_MAX))
        return "token: expected 1 to 1024 printable characters";
    /* it may be absent or empty, but one of another type or beyond all limits is not absent */
    if ((json_object_get(request->json, "topic") != NULL && push->topic.data == NULL) ||
        (push->topic.len > 0 && !printable(push->topic, NAME_BYTES)))
        return "topic: expected at most 255 printable characters";
    if (!bytes_equal_string(push->environment, "production") &&
        !bytes_equal_string(push->environment, "development"))
        return "environment: expected \"production\" or \"development\"";
    return NULL;
}

int me_request_push(struct bytes payload, struct me_request *request, struct wire_push *ret_record,
                    const char **ret_why)
{
    static const char *const known[] = {"provider", "token", "topic", "environment"};
    int r = load(payload, request, ret_why);
    const char *fault;

    if (r < 0)
        return r;
    if (!only_known(request->json, known, ARRAY_LEN(known))) {
        *ret_why = "unknown member, expected provider, token, topic and environment";
        return ERR_INVALID;
    }
    ret_record->provider = member(request, "provider");
    ret_record->push_token = member(request, "token");
    ret_record->topic = member(request, "topic");
    ret_record->environment = member(request, "environment");
    fault = push_fault(request, ret_record);
    if (fault != NULL) {
        *ret_why = fault;
        return ERR_INVALID;
    }
    /* what was not looked at does not go on: the wire has limits, and a frame is many clients' */
    if (bytes_equal_string(ret_record->provider, "none"))
        ret_record->push_token = ret_record->topic = ret_record->environment = (struct bytes){0};
    return 0;
}

static bool get_mid(json_t *value, struct mid *ret_mid)
{
    return json_is_string(value) &&
           mid_parse(bytes_of(json_string_value(value), (uint32_t)json_string_length(value)),
                     ret_mid) == 0;
}

int me_request_read(struct bytes payload, struct me_request *request, struct wire_read *ret_record,
                    const char **ret_why)
{
    static const char *const known[] = {"conversation", "mid"};
    int r = load(payload, request, ret_why);
    struct bytes conversation;

    if (r < 0)
        return r;
    if (!only_known(request->json, known, ARRAY_LEN(known))) {
        *ret_why = "unknown member, expected conversation and mid";
        return ERR_INVALID;
    }
    conversation = member(request, "conversation");
    if (conversation.len < 3 || conversation.data[1] != '/' ||
        (conversation.data[0] != WIRE_TO_USER && conversation.data[0] != WIRE_TO_GROUP) ||
        !name_is_user(bytes_of(conversation.data + 2, conversation.len - 2))) {
        *ret_why = "conversation: expected \"u/USER\" or \"g/GROUP\"";
        return ERR_INVALID;
    }
    ret_record->kind = conversation.data[0];
    ret_record->conversation = bytes_of(conversation.data + 2, conversation.len - 2);
    if (get_mid(json_object_get(request->json, "mid"), &ret_record->mid))
        return 0;
    *ret_why = "mid: expected a message id";
    return ERR_INVALID;
}

int me_request_shown(struct bytes payload, struct me_request *request, const char **ret_why)
{
    static const char *const known[] = {"mid", "mids"};
    int r = load(payload, request, ret_why);
    json_t *one, *many;

    if (r < 0)
        return r;
    one = json_object_get(request->json, "mid");
    many = json_object_get(request->json, "mids");
    *ret_why = "expected {\"mid\": MID} or {\"mids\": [MID, ...]} with 1 to 256 message ids";
    if (!only_known(request->json, known, ARRAY_LEN(known)) || (one == NULL) == (many == NULL))
        return ERR_INVALID;
    if (one != NULL) {
        request->mid_count = 1;
        return get_mid(one, &request->mids[0]) ? 0 : ERR_INVALID;
    }
    if (!json_is_array(many) || json_array_size(many) == 0 || json_array_size(many) > ME_SHOWN_MAX)
        return ERR_INVALID;
    for (size_t i = 0; i < json_array_size(many); i++) {
        if (!get_mid(json_array_get(many, i), &request->mids[i]))
            return ERR_INVALID;
        request->mid_count++;
    }
    return 0;
}
