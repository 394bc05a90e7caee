/* ws_frame - a header is collected byte by byte, and each byte is checked when it is there: what is
 * refused, and where, does not depend on how the stream was cut. Payload is not looked at, only
 * unmasked, eight bytes a step. */
#include "connector/ws_frame.h"

#include <assert.h>

#include "common/utf8.h"

#define FIN 0x80
#define RESERVED 0x70
#define OPCODE 0x0F
#define CONTROL 0x08 /* the bit of an opcode that says so */
#define MASKED 0x80
#define LENGTH 0x7F
#define LENGTH_16 126 /* two bytes of length follow */
#define LENGTH_64 127 /* eight follow */
#define KEY_BYTES 4

#define RFC "RFC 6455 section "

static const struct ws_fault reserved_bits = {WS_PROTOCOL_ERROR, RFC "5.2",
                                              "a reserved bit is set, no extension was agreed on"};
static const struct ws_fault unknown_opcode = {WS_PROTOCOL_ERROR, RFC "5.2", "reserved opcode"};
static const struct ws_fault not_masked = {WS_PROTOCOL_ERROR, RFC "5.1",
                                           "a client's frame is not masked"};
static const struct ws_fault fragmented_control = {WS_PROTOCOL_ERROR, RFC "5.5",
                                                   "a control frame is fragmented"};
static const struct ws_fault long_control = {WS_PROTOCOL_ERROR, RFC "5.5",
                                             "a control frame holds more than 125 bytes"};
static const struct ws_fault stray_continuation = {WS_PROTOCOL_ERROR, RFC "5.4",
                                                   "a continuation frame continues nothing"};
static const struct ws_fault unfinished_message = {
    WS_PROTOCOL_ERROR, RFC "5.4", "a message begins before the one before has ended"};
static const struct ws_fault padded_length = {WS_PROTOCOL_ERROR, RFC "5.2",
                                              "a length takes more bytes than necessary"};
static const struct ws_fault negative_length = {WS_PROTOCOL_ERROR, RFC "5.2",
                                                "the highest bit of a length is set"};
static const struct ws_fault text_frame = {WS_UNSUPPORTED_DATA, "MQTT-6.0.0-1",
                                           "a text frame, MQTT is binary"};
static const struct ws_fault too_big = {WS_TOO_BIG, RFC "7.4.1",
                                        "a frame is larger than any MQTT packet"};
static const struct ws_fault short_close = {WS_PROTOCOL_ERROR, RFC "5.5.1",
                                            "a Close frame holds half a code"};
static const struct ws_fault bad_code = {WS_PROTOCOL_ERROR, RFC "7.4",
                                         "a Close frame's code is not one to be sent"};
static const struct ws_fault bad_reason = {WS_INVALID_DATA, RFC "5.5.1",
                                           "a Close frame's reason is not UTF-8"};

/* --- decoding --- */

static const struct ws_fault *check_first(const struct ws_decoder *decoder, uint8_t byte)
{
    bool final = (byte & FIN) != 0;

    if ((byte & RESERVED) != 0)
        return &reserved_bits;
    switch (byte & OPCODE) {
    case WS_CONTINUATION:
        return decoder->in_message ? NULL : &stray_continuation;
    case WS_TEXT:
        return decoder->in_message ? &unfinished_message : &text_frame;
    case WS_BINARY:
        return decoder->in_message ? &unfinished_message : NULL;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return final ? NULL : &fragmented_control;
    default:
        return &unknown_opcode;
    }
}

static bool is_control(const struct ws_decoder *decoder)
{
    return (decoder->header[0] & CONTROL) != 0;
}

/* Bytes of the length field behind the second byte. */
static uint8_t length_bytes(const struct ws_decoder *decoder)
{
    uint8_t first = decoder->header[1] & LENGTH;

    if (first == LENGTH_64)
        return 8;
    return first == LENGTH_16 ? 2 : 0;
}

static const struct ws_fault *check_second(const struct ws_decoder *decoder)
{
    if ((decoder->header[1] & MASKED) == 0)
        return &not_masked;
    if (is_control(decoder) && length_bytes(decoder) != 0)
        return &long_control;
    return NULL;
}

static const struct ws_fault *read_length(struct ws_decoder *decoder)
{
    uint8_t bytes = length_bytes(decoder);
    uint64_t length = 0;

    for (uint8_t i = 0; i < bytes; i++)
        length = length << 8 | decoder->header[2 + i];
    if (bytes == 0)
        length = decoder->header[1] & LENGTH;
    if (length >> 63 != 0)
        return &negative_length;
    if ((bytes == 2 && length < LENGTH_16) || (bytes == 8 && length <= UINT16_MAX))
        return &padded_length;
    if (length > WS_FRAME_MAX_BYTES)
        return &too_big;
    decoder->left = (uint32_t)length;
    return NULL;
}

/* Takes the next byte of the header. */
static const struct ws_fault *take_header_byte(struct ws_decoder *decoder, uint8_t byte)
{
    const struct ws_fault *fault = NULL;
    uint8_t len;

    decoder->header[decoder->header_len] = byte;
    len = ++decoder->header_len;
    if (len == 1)
        return check_first(decoder, byte);
    if (len == 2)
        fault = check_second(decoder);
    if (fault == NULL && len == 2 + length_bytes(decoder))
        fault = read_length(decoder);
    if (fault == NULL && len == 2 + length_bytes(decoder) + KEY_BYTES) {
        memcpy(decoder->key, decoder->header + len - KEY_BYTES, KEY_BYTES);
        decoder->in_payload = true;
        if (!is_control(decoder))
            decoder->in_message = (decoder->header[0] & FIN) == 0;
    }
    return fault;
}

/* RFC 6455 section 5.3. The compiler makes single loads and stores of the copies. */
static void unmask(struct ws_decoder *decoder, uint8_t *data, uint32_t len)
{
    uint8_t *key = decoder->key, turned[KEY_BYTES];
    uint64_t wide, word;
    uint32_t i = 0;

    memcpy(&wide, key, KEY_BYTES);
    memcpy((uint8_t *)&wide + KEY_BYTES, key, KEY_BYTES);
    for (; len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, data + i, sizeof(word));
        word ^= wide;
        memcpy(data + i, &word, sizeof(word));
    }
    for (; i < len; i++)
        data[i] ^= key[i % KEY_BYTES];
    for (i = 0; i < KEY_BYTES; i++)
        turned[i] = key[(len + i) % KEY_BYTES];
    memcpy(key, turned, KEY_BYTES);
}

int ws_decode(struct ws_decoder *decoder, uint8_t *data, uint32_t len, struct ws_piece *ret_piece,
              const struct ws_fault **ret_fault)
{
    uint32_t used = 0, run;

    assert(len > 0 && len <= INT32_MAX);
    while (!decoder->in_payload && used < len) {
        const struct ws_fault *fault = take_header_byte(decoder, data[used++]);

        if (fault != NULL) {
            *ret_fault = fault;
            return ERR_PROTOCOL;
        }
    }
    *ret_piece = (struct ws_piece){.kind = WS_PIECE_NONE, .data = data + used};
    if (!decoder->in_payload)
        return (int)used;
    run = len - used < decoder->left ? len - used : decoder->left;
    unmask(decoder, data + used, run);
    decoder->left -= run;
    ret_piece->kind = is_control(decoder) ? WS_PIECE_CONTROL : WS_PIECE_DATA;
    ret_piece->opcode = decoder->header[0] & OPCODE;
    ret_piece->len = run;
    ret_piece->last = decoder->left == 0;
    if (ret_piece->last) {
        decoder->in_payload = false;
        decoder->header_len = 0;
    }
    return (int)(used + run);
}

/* Those of section 7.4.1 that may be on the wire, what the registry has added since, and those for
 * libraries, frameworks and applications. */
static bool code_may_be_sent(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

int ws_parse_close(struct bytes payload, uint16_t *ret_code, const struct ws_fault **ret_fault)
{
    const struct ws_fault *fault = NULL;
    struct bytes reason = {0};
    uint16_t code = WS_NO_CODE;

    if (payload.len == 1) {
        fault = &short_close;
    } else if (payload.len >= 2) {
        code = (uint16_t)(payload.data[0] << 8 | payload.data[1]);
        reason = bytes_of(payload.data + 2, payload.len - 2);
        if (!code_may_be_sent(code))
            fault = &bad_code;
        /* refuses U+0000 too, which no client has a use for here */
        else if (reason.len != 0 && !utf8_valid(reason))
            fault = &bad_reason;
    }
    if (fault != NULL) {
        *ret_fault = fault;
        return ERR_PROTOCOL;
    }
    *ret_code = code;
    return 0;
}

/* --- encoding --- */

uint32_t ws_write_header(uint8_t *out, enum ws_opcode opcode, uint64_t len)
{
    uint32_t bytes = 0;

    out[0] = (uint8_t)(FIN | opcode);
    if (len < LENGTH_16) {
        out[1] = (uint8_t)len;
        return 2;
    }
    bytes = len <= UINT16_MAX ? 2 : 8;
    out[1] = bytes == 2 ? LENGTH_16 : LENGTH_64;
    for (uint32_t i = 0; i < bytes; i++)
        out[2 + i] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

void ws_put_control(struct buf *buf, enum ws_opcode opcode, struct bytes payload)
{
    uint8_t header[WS_SERVER_HEADER_MAX];

    assert(payload.len <= WS_CONTROL_MAX);
    buf_put(buf, header, ws_write_header(header, opcode, payload.len));
    buf_put(buf, payload.data, payload.len);
}

void ws_put_close(struct buf *buf, uint16_t code, const char *text)
{
    uint8_t payload[WS_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t len = strlen(text);

    if (code == WS_NO_CODE) {
        ws_put_control(buf, WS_CLOSE, bytes_of(NULL, 0));
        return;
    }
    /* Our texts are ASCII: cut anywhere, they stay UTF-8. */
    if (len > sizeof(payload) - 2)
        len = sizeof(payload) - 2;
    memcpy(payload + 2, text, len);
    ws_put_control(buf, WS_CLOSE, bytes_of(payload, (uint32_t)len + 2));
}
