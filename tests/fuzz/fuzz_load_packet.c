/* Any bytes from a server, of either version, to the load generator's parser: what it returns lies
 * inside the packet, and with fewer bytes the packet is not complete; then its payload to the check
 * of stamps. The first byte is the version. */
#include <stdlib.h>

#include "bench/load/packet.h"
#include "bench/load/stamp.h"
#include "tests/fuzz/fuzz.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_inside(struct bytes part, struct bytes whole, uint32_t size)
{
    if (part.len > 0)
        check(part.data >= whole.data && part.data + part.len <= whole.data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum packet_level level;
    struct packet packet, shorter;
    struct stamp stamp;
    struct bytes bytes;

    if (size == 0 || size > UINT32_MAX)
        return 0;
    level = (data[0] & 1) != 0 ? PACKET_LEVEL_5 : PACKET_LEVEL_311;
    bytes = bytes_of(data + 1, (uint32_t)size - 1);
    if (packet_parse(bytes, level, &packet) != 1)
        return 0;
    check(packet.size >= 2 && packet.size <= bytes.len);
    check_inside(packet.topic, bytes, packet.size);
    check_inside(packet.payload, bytes, packet.size);
    check(packet_parse(bytes_of(bytes.data, packet.size - 1), level, &shorter) == 0);
    if (stamp_take(packet.payload, 1, &stamp))
        check(packet.payload.len >= STAMP_BYTES && stamp.run == 1);
    return 0;
}
