/* Any bytes as the properties that travel with a message: reading stays inside them. */
#include <stdlib.h>

#include "broker/alert_properties.h"
#include "tests/fuzz/fuzz.h"

static void inside(const uint8_t *data, size_t size, struct bytes part)
{
    if (part.len > 0 && (part.data < data || part.data + part.len > data + size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct alert_properties p;

    if (size > UINT32_MAX)
        return 0;
    p = alert_properties_read(bytes_of(data, (uint32_t)size));
    inside(data, size, p.body);
    inside(data, size, p.category);
    inside(data, size, p.thread);
    inside(data, size, p.title);
    inside(data, size, p.sound);
    inside(data, size, p.level);
    inside(data, size, p.content_type);
    if (p.priority != 5 && p.priority != 10)
        abort();
    return 0;
}
