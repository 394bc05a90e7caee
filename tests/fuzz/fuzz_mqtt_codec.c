/* Fuzz target: the first byte chooses the protocol level (its low bit: 5, else 4, so that the
 * seeds' first byte is the level), the rest is a stream of packets. Packets are cut as the
 * connector cuts them; what is no packet is given to the decoder as it is. */
#include "tests/support/mqtt_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > UINT32_MAX)
        return 0;

    uint8_t level = (data[0] & 1) != 0 ? MQTT_5 : MQTT_311;
    struct bytes rest = bytes_of(data + 1, (uint32_t)size - 1);

    while (rest.len != 0) {
        uint32_t packet_size = 0;
        int r = mqtt_packet_size(rest, UINT32_MAX, &packet_size);

        if (r != 1 || packet_size > rest.len)
            packet_size = rest.len;
        IGNORE_RESULT(
            mqtt_check_packet(bytes_of(rest.data, packet_size), level)); /* both are fine */
        rest = bytes_of(rest.data + packet_size, rest.len - packet_size);
    }
    return 0;
}
