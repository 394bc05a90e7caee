/* ws_frame - WebSocket frames (RFC 6455 section 5) as a server reads and writes them; no I/O, no
 * clock, no allocation.
 *
 * What a client sends is decoded where it lies: the decoder is fed chunks of any size, unmasks them
 * in place and hands out pieces that point into the chunk. Only a header that is cut off by the end
 * of a chunk is kept, so a connection's state is WS_DECODER_BUDGET bytes whatever the frames hold.
 *
 * Any thread; a decoder belongs to one connection. */
#ifndef BECKON_CONNECTOR_WS_FRAME_H
#define BECKON_CONNECTOR_WS_FRAME_H

#include "common/buf.h"
#include "common/err.h"

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA
};

/* RFC 6455 section 7.4.1: those that we send. */
enum ws_code {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED_DATA = 1003,
    WS_NO_CODE = 1005, /* never sent: a Close frame without a code */
    WS_INVALID_DATA = 1007,
    WS_TOO_BIG = 1009
};

#define WS_CONTROL_MAX 125      /* RFC 6455 section 5.5 */
#define WS_CLIENT_HEADER_MAX 14 /* two bytes, a length of eight, a key of four */
#define WS_SERVER_HEADER_MAX 10 /* the same without a key */
/* A frame is a run of a byte stream here and costs no memory, so this is no more than the counter's
 * limit: the largest MQTT packet with its header. Clients put one packet into a frame, few put
 * several. */
#define WS_FRAME_MAX_BYTES 268435460u

/* A rule that the peer broke. Constants; `text` is a phrase for logs and Close frames. */
struct ws_fault {
    uint16_t code; /* enum ws_code */
    const char *clause;
    const char *text;
};

/* Every WebSocket connection has one. Zeroed is the state before the first frame. */
struct ws_decoder {
    uint32_t left;                        /* payload bytes of this frame that are still to come */
    uint8_t key[4];                       /* turned so that key[0] is for the next byte */
    uint8_t header[WS_CLIENT_HEADER_MAX]; /* of the frame that begins, as far as it is here */
    uint8_t header_len;
    bool in_payload; /* the header is complete */
    bool in_message; /* a data frame without FIN was there */
};
#define WS_DECODER_BUDGET 28
_Static_assert(sizeof(struct ws_decoder) <= WS_DECODER_BUDGET, "ws_decoder is over its budget");

enum ws_piece_kind {
    WS_PIECE_NONE, /* only a part of a header */
    WS_PIECE_DATA, /* bytes of the stream */
    WS_PIECE_CONTROL
};

struct ws_piece {
    enum ws_piece_kind kind;
    uint8_t opcode; /* CONTROL: WS_CLOSE, WS_PING, WS_PONG */
    bool last;      /* the frame ends with this piece */
    uint8_t *data;  /* unmasked, inside what was fed; may be empty */
    uint32_t len;
};

/* Takes one piece from the front of data and unmasks it there. Returns the bytes used, at least 1
 * (so len must not be 0); ERR_PROTOCOL with *ret_fault: the connection has to be closed, the
 * decoder is of no more use. Where the chunks end makes no difference to what is decoded. */
MUST_CHECK int ws_decode(struct ws_decoder *decoder, uint8_t *data, uint32_t len,
                         struct ws_piece *ret_piece, const struct ws_fault **ret_fault);

/* What a Close frame says: its code, WS_NO_CODE when it has none. ERR_PROTOCOL with *ret_fault when
 * it is malformed (RFC 6455 sections 5.5.1 and 7.4). */
MUST_CHECK int ws_parse_close(struct bytes payload, uint16_t *ret_code,
                              const struct ws_fault **ret_fault);

/* Writes the header of an unfragmented frame to out (WS_SERVER_HEADER_MAX bytes). Returns its size.
 */
uint32_t ws_write_header(uint8_t *out, enum ws_opcode opcode, uint64_t len);
/* Appends a whole control frame; payload of at most WS_CONTROL_MAX. */
void ws_put_control(struct buf *buf, enum ws_opcode opcode, struct bytes payload);
/* Appends a Close frame; WS_NO_CODE: an empty one. text is cut to what fits. */
void ws_put_close(struct buf *buf, uint16_t code, const char *text);

#endif
