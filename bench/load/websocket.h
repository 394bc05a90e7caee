/* websocket - RFC 6455 as a client speaks it: MQTT packets in binary frames. No I/O.
 *
 * Frames of ours are masked with the key 0, which changes nothing: so a frame is put around what
 * lies in a buffer by moving it a few bytes, and the server has to unmask it all the same. All
 * fields of struct websocket are zero at first. */
#ifndef BECKON_BENCH_LOAD_WEBSOCKET_H
#define BECKON_BENCH_LOAD_WEBSOCKET_H

#include "common/buf.h"
#include "common/err.h"

struct websocket {
    uint64_t left;      /* bytes of the frame under way that are still to come */
    uint8_t header[10]; /* of the next one, as far as it has come */
    uint8_t header_len;
    bool control;     /* the frame under way is no data */
    bool upgraded;    /* the server's answer is read */
    uint8_t line_end; /* of "\r\n\r\n" at its end, so much was seen */
    uint16_t answer;  /* bytes of the answer so far */
};

/* The request. */
void websocket_put_request(struct buf *out, const char *host);
/* Takes what came and moves the data in it to its front. Returns how many bytes of data; ERR_CLOSED
 * after a Close frame, ERR_PROTOCOL. */
MUST_CHECK int websocket_take(struct websocket *websocket, uint8_t *bytes, uint32_t len);
/* Puts a frame around what buf has from `from` on. */
void websocket_frame(struct buf *out, size_t from);

#endif
