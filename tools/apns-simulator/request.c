/* request - keeps what rules look at, counts the rest. Headers become a JSON object at once, which
 * finds repeated ones and is what the control door shows. */
#include "request.h"

#include <stdlib.h>

#define FIELD_OVERHEAD 32 /* RFC 9113, section 6.5.2 */

int request_init(struct request *request)
{
    *request = (struct request){.headers = json_object()};
    return request->headers != NULL ? 0 : ERR_NO_MEMORY;
}

void request_fini(struct request *request)
{
    free(request->method);
    free(request->path);
    free(request->authorization);
    json_decref(request->headers);
    buf_release(&request->body);
}

/* A header may hold any byte above 0x1F, JSON only UTF-8: whatever isn't becomes '?', so that it
 * can be recorded. No rule lets such a value pass. */
static void to_ascii(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x80)
            *text = '?';
    }
}

static int keep(struct request *request, char **field, struct bytes value)
{
    char *copy = strndup((const char *)value.data, value.len);

    if (copy == NULL)
        return ERR_NO_MEMORY;
    to_ascii(copy);
    request->duplicates |= *field != NULL;
    free(*field);
    *field = copy;
    return 0;
}

static json_t *to_json(struct bytes value)
{
    json_t *text = json_stringn((const char *)value.data, value.len);
    char *ascii;

    if (text != NULL)
        return text;
    ascii = strndup((const char *)value.data, value.len);
    if (ascii == NULL)
        return NULL;
    to_ascii(ascii);
    text = json_string(ascii);
    free(ascii);
    return text;
}

static int keep_apns(struct request *request, struct bytes name, struct bytes value)
{
    char key[64]; /* the longest name Apple has is 18 bytes; a longer one is not Apple's */
    json_t *text;

    if (name.len >= sizeof(key))
        return 0;
    memcpy(key, name.data, name.len);
    key[name.len] = '\0';
    if (json_object_get(request->headers, key) != NULL) {
        request->duplicates = true;
        return 0;
    }
    text = to_json(value);
    /* It fails for a name that is not UTF-8 too, but names are tokens: nghttp2 saw to it. */
    return json_object_set_new(request->headers, key, text) == 0 ? 0 : ERR_NO_MEMORY;
}

int request_header(struct request *request, struct bytes name, struct bytes value)
{
    static const char prefix[] = "apns-";

    request->header_bytes += (size_t)name.len + value.len + FIELD_OVERHEAD;
    if (request->header_bytes > REQUEST_HEADER_BYTES)
        return ERR_TOO_LARGE;
    if (bytes_equal_string(name, ":method"))
        return keep(request, &request->method, value);
    if (bytes_equal_string(name, ":path"))
        return keep(request, &request->path, value);
    if (bytes_equal_string(name, "authorization"))
        return keep(request, &request->authorization, value);
    if (name.len > sizeof(prefix) - 1 && memcmp(name.data, prefix, sizeof(prefix) - 1) == 0)
        return keep_apns(request, name, value);
    return 0;
}

int request_body(struct request *request, const void *data, size_t len)
{
    size_t room = REQUEST_BODY_KEPT - request->body.len;

    request->body_bytes += len;
    buf_put(&request->body, data, len < room ? len : room);
    return buf_ok(&request->body) ? 0 : ERR_NO_MEMORY;
}

const char *request_apns_header(const struct request *request, const char *name)
{
    return json_string_value(json_object_get(request->headers, name));
}
