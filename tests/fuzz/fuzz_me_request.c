/* Any bytes as me/push, me/read and me/shown: what is accepted is within what the wire carries. */
#include <stdlib.h>

#include "common/topic.h"
#include "connector/me_request.h"
#include "tests/fuzz/fuzz.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_push(struct bytes payload)
{
    struct me_request request;
    struct wire_push push = {0};
    const char *why = NULL;

    if (me_request_push(payload, &request, &push, &why) == 0) {
        check(push.provider.len >= 1 && push.provider.len <= 32);
        check(push.push_token.len <= ME_TOKEN_MAX && push.topic.len <= 255);
        check(push.environment.len <= 255);
    } else {
        check(why != NULL);
    }
    me_request_fini(&request);
}

static void try_read(struct bytes payload)
{
    struct me_request request;
    struct wire_read read = {0};
    const char *why = NULL;

    if (me_request_read(payload, &request, &read, &why) == 0)
        check(name_is_user(read.conversation) &&
              (read.kind == WIRE_TO_USER || read.kind == WIRE_TO_GROUP));
    else
        check(why != NULL);
    me_request_fini(&request);
}

static void try_shown(struct bytes payload)
{
    struct me_request request;
    const char *why = NULL;

    if (me_request_shown(payload, &request, &why) == 0)
        check(request.mid_count >= 1 && request.mid_count <= ME_SHOWN_MAX);
    else
        check(why != NULL);
    me_request_fini(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > UINT32_MAX)
        return 0;
    try_push(bytes_of(data, (uint32_t)size));
    try_read(bytes_of(data, (uint32_t)size));
    try_shown(bytes_of(data, (uint32_t)size));
    return 0;
}
