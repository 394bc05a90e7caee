/* pushes - see the header. */
#include "pushes.h"

#include "control.h"
#include "simulator.h"

#include <stdlib.h>
#include <string.h>

struct pushes {
    json_t **ring;
    uint32_t cap, head, count;
    uint64_t first; /* number of ring[head] */
};

int pushes_create(struct simulator *simulator)
{
    struct pushes *p = calloc(1, sizeof(*p));

    simulator->pushes = p;
    if (!p)
        return ERR_NO_MEMORY;
    p->cap = simulator->options.max_pushes;
    p->first = 1;
    p->ring = calloc(p->cap, sizeof(*p->ring));
    return p->ring ? 0 : ERR_NO_MEMORY;
}

static void drop_first(struct pushes *p)
{
    json_decref(p->ring[p->head]);
    p->head = (p->head + 1) % p->cap;
    p->count--;
    p->first++;
}

void pushes_clear(struct simulator *simulator)
{
    while (simulator->pushes->count > 0)
        drop_first(simulator->pushes);
}

void pushes_destroy(struct simulator *simulator)
{
    if (!simulator->pushes)
        return;
    if (simulator->pushes->ring)
        pushes_clear(simulator);
    free(simulator->pushes->ring);
    free(simulator->pushes);
    simulator->pushes = NULL;
}

void pushes_add(struct simulator *simulator, const struct request *request, const char *device,
                json_t *payload, unsigned status, const char *reason)
{
    struct pushes *p = simulator->pushes;
    json_t *headers = json_object(), *push = json_object();

    for (int i = 0; i < HEADER_COUNT; i++) {
        /* who sent it is a secret */
        if (i != HEADER_AUTHORIZATION && request->headers[i])
            json_object_set_new(headers, request_headers[i], json_string(request->headers[i]));
    }
    json_object_set_new(push, "at", json_integer((json_int_t)loop_wall_ms(simulator->loop)));
    json_object_set_new(push, "device", json_string(device));
    json_object_set_new(push, "headers", headers);
    json_object_set(push, "payload", payload ? payload : json_null());
    json_object_set_new(push, "status", json_integer(status));
    json_object_set_new(push, "reason", reason ? json_string(reason) : json_null());
    if (!push)
        return;
    if (p->count == p->cap)
        drop_first(p);
    p->ring[(p->head + p->count++) % p->cap] = push;
    control_pushed(simulator);
}

char *pushes_json(const struct simulator *simulator, const char *device)
{
    const struct pushes *p = simulator->pushes;
    json_t *all = json_array();
    char *text;

    for (uint32_t i = 0; i < p->count; i++) {
        json_t *push = p->ring[(p->head + i) % p->cap];

        if (!device || strcasecmp(json_string_value(json_object_get(push, "device")), device) == 0)
            json_array_append(all, push);
    }
    text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

char *pushes_next(const struct simulator *simulator, uint64_t *number)
{
    const struct pushes *p = simulator->pushes;

    if (*number < p->first)
        *number = p->first;
    if (*number >= p->first + p->count)
        return NULL;
    return json_dumps(p->ring[(p->head + (*number)++ - p->first) % p->cap], JSON_COMPACT);
}

uint64_t pushes_end(const struct simulator *simulator)
{
    return simulator->pushes->first + simulator->pushes->count;
}
