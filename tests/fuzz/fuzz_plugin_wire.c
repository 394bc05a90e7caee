/* Any bytes as a frame of a plugin host's link: decoding stays inside them, and what it accepts
 * encodes to the very same bytes. */
#include <stdlib.h>
#include <string.h>

#include "plugin-host/plugin_wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/plugin_wire_again.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plugin_wire_reader reader;
    struct plugin_wire_record record;
    struct buf again = {0};
    int r;

    if (size > UINT32_MAX || plugin_wire_open_frame(bytes_of(data, (uint32_t)size), &reader) != 0)
        return 0;
    plugin_wire_begin(&again);
    while ((r = plugin_wire_next(&reader, &record)) == 1)
        plugin_wire_again(&again, &record);
    if (r == 0 && (!buf_ok(&again) || again.len != size || memcmp(again.data, data, size) != 0))
        abort();
    buf_release(&again);
    return 0;
}
