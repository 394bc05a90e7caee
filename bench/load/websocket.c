#include "bench/load/websocket.h"

#include <stdio.h>
#include <string.h>

#define OPCODE_CLOSE 0x8
#define CONTROL 0x8 /* bit of all opcodes of frames without data */
#define FIN_BINARY 0x82
#define MASKED 0x80
#define ANSWER_MAX 4096 /* far above what servers say */
#define STATUS "HTTP/1.1 101"

void websocket_put_request(struct buf *out, const char *host)
{
    char request[512];
    /* The key may be any 16 bytes; the answer's proof that it was understood is not looked at. */
    int len = snprintf(request, sizeof(request),
                       "GET /mqtt HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Protocol: mqtt\r\n"
                       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                       host);

    buf_put(out, request, (size_t)len); /* an address is short */
}

/* One byte of the answer to the request. */
static int take_answer(struct websocket *websocket, uint8_t byte)
{
    static const char end[] = "\r\n\r\n";
    uint16_t at = websocket->answer++;

    if (at < strlen(STATUS) && byte != (uint8_t)STATUS[at])
        return ERR_PROTOCOL; /* it does not upgrade */
    if (at == ANSWER_MAX)
        return ERR_PROTOCOL;
    if (byte == (uint8_t)end[websocket->line_end])
        websocket->line_end++;
    else
        websocket->line_end = byte == '\r';
    websocket->upgraded = websocket->line_end == strlen(end);
    return 0;
}

/* One byte of a frame's header. */
static int take_header(struct websocket *websocket, uint8_t byte)
{
    uint8_t *header = websocket->header;
    unsigned size = 2;

    header[websocket->header_len++] = byte;
    if (websocket->header_len < 2)
        return 0;
    if ((header[1] & MASKED) != 0)
        return ERR_PROTOCOL; /* servers do not mask */
    if (header[1] == 126)
        size = 4;
    else if (header[1] == 127)
        size = 10;
    if (websocket->header_len < size)
        return 0;
    websocket->left = size == 2 ? header[1] : 0;
    for (unsigned i = 2; i < size; i++)
        websocket->left = websocket->left << 8 | header[i];
    websocket->header_len = 0;
    websocket->control = (header[0] & CONTROL) != 0;
    return (header[0] & 0x0F) == OPCODE_CLOSE ? ERR_CLOSED : 0;
}

int websocket_take(struct websocket *websocket, uint8_t *bytes, uint32_t len)
{
    uint32_t used = 0, kept = 0;
    int r = 0;

    while (used < len && r == 0) {
        if (!websocket->upgraded) {
            r = take_answer(websocket, bytes[used++]);
        } else if (websocket->left == 0) {
            r = take_header(websocket, bytes[used++]);
        } else {
            uint32_t part = len - used;

            if (part > websocket->left)
                part = (uint32_t)websocket->left;
            if (!websocket->control) {
                memmove(bytes + kept, bytes + used, part);
                kept += part;
            }
            used += part;
            websocket->left -= part;
        }
    }
    if (r < 0 && !(r == ERR_CLOSED && kept > 0))
        return r;
    return (int)kept; /* an end behind data: the socket's end follows */
}

void websocket_frame(struct buf *out, size_t from)
{
    size_t len = out->len - from, size = 2 + 4;
    uint8_t *at;

    if (len > UINT16_MAX)
        size += 8;
    else if (len > 125)
        size += 2;
    if (buf_reserve(out, size) == NULL)
        return; /* buf remembers */
    at = out->data + from;
    memmove(at + size, at, len);
    memset(at, 0, size); /* and so the masking key */
    at[0] = FIN_BINARY;
    if (len > UINT16_MAX) {
        at[1] = MASKED | 127;
        for (unsigned i = 0; i < 8; i++)
            at[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    } else if (len > 125) {
        at[1] = MASKED | 126;
        at[2] = (uint8_t)(len >> 8);
        at[3] = (uint8_t)len;
    } else {
        at[1] = (uint8_t)(MASKED | len);
    }
    out->len += size;
}
