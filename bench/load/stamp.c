#include "bench/load/stamp.h"

#include <endian.h>
#include <string.h>

void stamp_put(uint8_t *payload, const struct stamp *stamp)
{
    const struct stamp bytes = {htole32(stamp->stream), htole32(stamp->run), htole64(stamp->seq),
                                htole64(stamp->due_ns)};

    _Static_assert(sizeof(bytes) == STAMP_BYTES, "without gaps, as it is sent");
    memcpy(payload, &bytes, sizeof(bytes));
}

bool stamp_take(struct bytes payload, uint32_t run, struct stamp *ret)
{
    struct stamp bytes;

    if (payload.len < sizeof(bytes))
        return false;
    memcpy(&bytes, payload.data, sizeof(bytes));
    if (le32toh(bytes.run) != run)
        return false;
    *ret = (struct stamp){le32toh(bytes.stream), run, le64toh(bytes.seq), le64toh(bytes.due_ns)};
    return true;
}
