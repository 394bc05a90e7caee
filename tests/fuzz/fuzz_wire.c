/* Any bytes as a frame and as a body: decoding stays inside them, and what it accepts encodes to
 * the very same bytes. Lists of members are read as well. */
#include <stdlib.h>
#include <string.h>

#include "common/members.h"
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

/* A list that is accepted is the same list when it is said again. */
static void try_members(const struct wire_members *record)
{
    static struct members members, read_again;
    struct wire_member list[MEMBERS_MAX];
    struct wire_reader reader;
    struct wire_record again;
    struct buf frame = {0};

    if (members_read(record, &members) < 0)
        return;
    wire_put_members(&frame, members.generation, list, members_list(&members, list));
    reader.rest = bytes_of(frame.data, (uint32_t)frame.len);
    if (!buf_ok(&frame) || wire_next(&reader, &again) != 1 ||
        members_read(&again.members, &read_again) < 0 || !members_equal(&members, &read_again))
        abort();
    buf_release(&frame);
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
    wire_begin(&again, reader.generation);
    while ((result = wire_next(&reader, &record)) == 1) {
        wire_again(&again, &record);
        if (record.type == WIRE_WELCOME || record.type == WIRE_MEMBERS)
            try_members(record.type == WIRE_WELCOME ? &record.welcome.members : &record.members);
    }
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
