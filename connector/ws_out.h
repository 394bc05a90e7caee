/* ws_out - the frames of what a server sends: one for each MQTT packet, without I/O.
 *
 * The specification lets frames and packets be cut independently (MQTT-6.0.0-2), but clients exist
 * that take a frame for a packet, or forget the second packet of a frame until more arrives (paho C
 * 1.3.12). A header of 2 to 10 bytes a packet is what it costs to get along with them. */
#ifndef BECKON_CONNECTOR_WS_OUT_H
#define BECKON_CONNECTOR_WS_OUT_H

#include <stddef.h>
#include <stdint.h>

/* The frame under way: where writing it has come to. */
struct ws_out {
    uint32_t left;       /* bytes of its payload to be written yet; 0: none is under way */
    uint8_t header_left; /* bytes of its header to be written yet, before any of the payload */
};

/* The frame for the packet at the front of data (one frame for all of it, should it be none). */
struct ws_out ws_out_begin(const uint8_t *data, size_t size);
/* Writes frames to buf, from where `out` has come to and on through the packets of data, as much as
 * fits. Returns the bytes. The same again for the same data, or for more behind it. */
size_t ws_out_put(struct ws_out out, const uint8_t *data, size_t size, uint8_t *buf, size_t room);
/* Moves on over the first `bytes` of what ws_out_put writes. Returns the bytes of data in them. */
size_t ws_out_pass(struct ws_out *out, const uint8_t *data, size_t size, size_t bytes);

#endif
