/* pushes - a ring of pointers that grows by doubling up to the limit; each push is one allocation.
 * Adding and dropping are O(1), a search for a device looks at every push. */
#include "pushes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RING_MIN 64

struct pushes {
    struct push **ring;
    size_t mask;         /* slots - 1 */
    uint64_t first, end; /* numbers: [first, end) are there */
    size_t bytes, max_bytes, max_pushes;
    void (*on_add)(void *arg);
    void *on_add_arg;
};

struct pushes *pushes_create(size_t max_pushes, size_t max_bytes)
{
    struct pushes *pushes = calloc(1, sizeof(*pushes));

    if (pushes == NULL)
        return NULL;
    *pushes = (struct pushes){
        .ring = malloc(RING_MIN * sizeof(struct push *)),
        .mask = RING_MIN - 1,
        .first = 1,
        .end = 1,
        .max_pushes = max_pushes,
        .max_bytes = max_bytes,
    };
    if (pushes->ring == NULL) {
        free(pushes);
        return NULL;
    }
    return pushes;
}

static struct push **slot(const struct pushes *pushes, uint64_t number)
{
    return &pushes->ring[number & pushes->mask];
}

static void drop_oldest(struct pushes *pushes)
{
    struct push *push = *slot(pushes, pushes->first++);

    pushes->bytes -= push->bytes;
    free(push);
}

void pushes_clear(struct pushes *pushes)
{
    while (pushes->first < pushes->end)
        drop_oldest(pushes);
}

void pushes_destroy(struct pushes *pushes)
{
    if (pushes == NULL)
        return;
    pushes_clear(pushes);
    free(pushes->ring);
    free(pushes);
}

void pushes_on_add(struct pushes *pushes, void (*fn)(void *arg), void *arg)
{
    pushes->on_add = fn;
    pushes->on_add_arg = arg;
}

static int make_room(struct pushes *pushes, size_t bytes)
{
    size_t slots = pushes->mask + 1;
    struct push **ring;

    while (pushes->first < pushes->end && (pushes->end - pushes->first >= pushes->max_pushes ||
                                           pushes->bytes + bytes > pushes->max_bytes))
        drop_oldest(pushes);
    if (pushes->end - pushes->first < slots)
        return 0;
    ring = malloc(2 * slots * sizeof(*ring));
    if (ring == NULL)
        return ERR_NO_MEMORY;
    for (uint64_t number = pushes->first; number < pushes->end; number++)
        ring[number & (2 * slots - 1)] = *slot(pushes, number);
    free(pushes->ring);
    pushes->ring = ring;
    pushes->mask = 2 * slots - 1;
    return 0;
}

static struct push *make_push(const char *device, const char *headers, const char *payload)
{
    size_t device_size = strlen(device) + 1, headers_size = strlen(headers) + 1;
    size_t payload_size = strlen(payload) + 1;
    size_t bytes = sizeof(struct push) + device_size + headers_size + payload_size;
    struct push *push = malloc(bytes);
    char *at = (char *)(push + 1);

    if (push == NULL)
        return NULL;
    *push =
        (struct push){.bytes = bytes,
                      .device = memcpy(at, device, device_size),
                      .headers = memcpy(at + device_size, headers, headers_size),
                      .payload = memcpy(at + device_size + headers_size, payload, payload_size)};
    return push;
}

int pushes_add(struct pushes *pushes, uint64_t at_ms, const char *device, const json_t *headers,
               const json_t *payload, const struct answer *answer, uint64_t *ret_number)
{
    char *headers_text = json_dumps(headers, JSON_COMPACT);
    char *payload_text = payload != NULL ? json_dumps(payload, JSON_COMPACT) : strdup("null");
    struct push *push = NULL;

    if (headers_text != NULL && payload_text != NULL)
        push = make_push(device, headers_text, payload_text);
    free(headers_text);
    free(payload_text);
    if (push == NULL || make_room(pushes, push->bytes) < 0) {
        free(push);
        return ERR_NO_MEMORY;
    }
    push->number = pushes->end;
    push->at_ms = at_ms;
    push->status = answer->status;
    memcpy(push->reason, answer->reason, sizeof(push->reason));
    *slot(pushes, pushes->end++) = push;
    pushes->bytes += push->bytes;
    *ret_number = push->number;
    if (pushes->on_add != NULL)
        pushes->on_add(pushes->on_add_arg);
    return 0;
}

void pushes_unanswered(struct pushes *pushes, uint64_t number)
{
    if (number < pushes->first || number >= pushes->end)
        return;
    struct push *push = *slot(pushes, number);
    push->status = 0;
    push->reason[0] = '\0';
}

const struct push *pushes_next(const struct pushes *pushes, uint64_t number, const char *device)
{
    if (number < pushes->first)
        number = pushes->first;
    for (; number < pushes->end; number++) {
        const struct push *push = *slot(pushes, number);

        if (device == NULL || device[0] == '\0' || strcasecmp(push->device, device) == 0)
            return push;
    }
    return NULL;
}

uint64_t pushes_end(const struct pushes *pushes)
{
    return pushes->end;
}

char *push_json(const struct push *push)
{
    json_t *device = json_string(push->device), *reason = json_string(push->reason);
    char *device_text = json_dumps(device, JSON_ENCODE_ANY);
    char *reason_text = json_dumps(reason, JSON_ENCODE_ANY), *text = NULL;

    if (device_text != NULL && reason_text != NULL &&
        asprintf(&text,
                 "{\"at\":%llu,\"device\":%s,\"headers\":%s,\"payload\":%s,\"status\":%u,"
                 "\"reason\":%s}",
                 (unsigned long long)push->at_ms, device_text, push->headers, push->payload,
                 push->status, push->reason[0] != '\0' ? reason_text : "null") < 0)
        text = NULL;
    free(device_text);
    free(reason_text);
    json_decref(device);
    json_decref(reason);
    return text;
}
