#include "connector/ws_out.h"

#include <string.h>

#include "connector/mqtt_codec.h"
#include "connector/ws_frame.h"

struct ws_out ws_out_begin(const uint8_t *data, size_t size)
{
    uint8_t header[WS_SERVER_HEADER_MAX];
    uint32_t len = size < WS_FRAME_MAX_BYTES ? (uint32_t)size : WS_FRAME_MAX_BYTES, packet;

    if (mqtt_packet_size(bytes_of(data, len), UINT32_MAX, &packet) == 1 && packet < len)
        len = packet;
    return (struct ws_out){.left = len,
                           .header_left = (uint8_t)ws_write_header(header, WS_BINARY, len)};
}

/* As much of one frame as there is room for. Returns the bytes put. */
static size_t put_frame(struct ws_out *out, const uint8_t *data, uint8_t *buf, size_t room)
{
    size_t head = out->header_left, body = out->left;

    if (head > 0) {
        uint8_t header[WS_SERVER_HEADER_MAX];
        uint32_t size = ws_write_header(header, WS_BINARY, out->left); /* all of it is left */

        if (head > room)
            head = room;
        memcpy(buf, header + size - out->header_left, head);
        out->header_left -= (uint8_t)head;
    }
    if (body > room - head)
        body = room - head;
    memcpy(buf + head, data, body);
    out->left -= (uint32_t)body;
    return head + body;
}

size_t ws_out_put(struct ws_out out, const uint8_t *data, size_t size, uint8_t *buf, size_t room)
{
    size_t len = 0, used = 0;

    while (len < room && used < size) {
        uint32_t left;

        if (out.left == 0)
            out = ws_out_begin(data + used, size - used);
        left = out.left;
        len += put_frame(&out, data + used, buf + len, room - len);
        used += left - out.left;
    }
    return len;
}

size_t ws_out_pass(struct ws_out *out, const uint8_t *data, size_t size, size_t bytes)
{
    size_t used = 0;

    while (bytes > 0) {
        size_t head, body;

        if (out->left == 0)
            *out = ws_out_begin(data + used, size - used);
        head = out->header_left < bytes ? out->header_left : bytes;
        body = out->left < bytes - head ? out->left : bytes - head;
        out->header_left -= (uint8_t)head;
        out->left -= (uint32_t)body;
        used += body;
        bytes -= head + body;
    }
    return used;
}
