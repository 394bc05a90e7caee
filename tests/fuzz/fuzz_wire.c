/* Any bytes as a frame and as a body: decoding stays inside them, and what it accepts encodes to
 * the very same bytes. */
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/wire_again.h"

/* made is what was decoded, encoded again. Takes its memory. */
static void compare(struct buf *made, const uint8_t *data, size_t size)
{
    if (!buf_ok(made) || made->len != size || memcmp(made->data, data, size) != 0)
        abort();
    buf_release(made);
}

static void try_frame(const uint8_t *data, size_t size)
{
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version;
    struct buf again = {0};
    int result;

    if (wire_open_frame(bytes_of(data, (uint32_t)size), &reader, &version) != 0)
        return;
    wire_begin(&again);
    while ((result = wire_next(&reader, &record)) == 1)
        wire_again(&again, &record);
    if (result == 0)
        compare(&again, data, size);
    else
        buf_release(&again);
}

static void try_body(const uint8_t *data, size_t size)
{
    struct wire_body body;
    struct buf again = {0};

    if (wire_get_body(bytes_of(data, (uint32_t)size), &body) != 0)
        return;
    if (wire_body_size(&body) != size)
        abort();
    wire_put_body(&again, &body);
    compare(&again, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > UINT32_MAX)
        return 0;
    try_frame(data, size);
    try_body(data, size);
    return 0;
}
