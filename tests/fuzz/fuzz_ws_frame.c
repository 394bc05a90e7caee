/* Fuzz target: a client's frames. The first byte chooses how the rest is cut into chunks (0: not at
 * all); what the decoder makes of them, and what it refuses, must be the same as without a cut.
 * Close frames are parsed, and what they say is written and must be read back. */
#include <stdlib.h>

#include "common/buf.h"
#include "connector/ws_frame.h"
#include "tests/fuzz/fuzz.h"

struct result {
    struct buf stream;   /* payload of the data frames */
    struct buf controls; /* opcode, length, payload of each control frame */
    struct buf control;  /* payload of the control frame under way */
    const struct ws_fault *fault;
    struct ws_decoder decoder;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_close(struct bytes payload)
{
    const struct ws_fault *fault = NULL;
    uint16_t code = 0, again = 0;
    struct buf out = {0};

    if (ws_parse_close(payload, &code, &fault) < 0) {
        check(fault != NULL &&
              (fault->code == WS_PROTOCOL_ERROR || fault->code == WS_INVALID_DATA));
        return;
    }
    ws_put_close(&out, code, "why");
    check(buf_ok(&out) && out.len >= 2 && out.data[1] == out.len - 2);
    check(ws_parse_close(bytes_of(out.data + 2, (uint32_t)out.len - 2), &again, &fault) == 0);
    check(again == code);
    buf_release(&out);
}

static void take(struct result *result, const struct ws_piece *piece)
{
    if (piece->kind == WS_PIECE_DATA)
        buf_put(&result->stream, piece->data, piece->len);
    if (piece->kind != WS_PIECE_CONTROL)
        return;
    buf_put(&result->control, piece->data, piece->len);
    check(result->control.len <= WS_CONTROL_MAX);
    if (!piece->last)
        return;
    if (piece->opcode == WS_CLOSE)
        try_close(bytes_of(result->control.data, (uint32_t)result->control.len));
    buf_put_u8(&result->controls, piece->opcode);
    buf_put_u8(&result->controls, (uint8_t)result->control.len);
    buf_put(&result->controls, result->control.data, result->control.len);
    buf_clear(&result->control);
}

/* A chunk of its own, so that the sanitizer sees a byte too many. */
static bool decode_chunk(struct result *result, const uint8_t *data, uint32_t len)
{
    uint8_t *chunk = malloc(len);
    uint32_t at = 0;
    bool good = true;

    check(chunk != NULL);
    memcpy(chunk, data, len);
    while (at < len && good) {
        struct ws_piece piece = {0};
        int used = ws_decode(&result->decoder, chunk + at, len - at, &piece, &result->fault);

        good = used > 0;
        if (!good) {
            check(used == ERR_PROTOCOL && result->fault != NULL);
            break;
        }
        check((uint32_t)used <= len - at);
        check(piece.data >= chunk + at && piece.data + piece.len == chunk + at + used);
        take(result, &piece);
        at += (uint32_t)used;
    }
    free(chunk);
    return good;
}

static void decode(struct result *result, const uint8_t *data, uint32_t len, uint32_t chunk)
{
    for (uint32_t at = 0; at < len; at += chunk) {
        if (chunk == 0 || chunk > len - at)
            chunk = len - at;
        if (!decode_chunk(result, data + at, chunk))
            return;
    }
}

static bool same(const struct buf *a, const struct buf *b)
{
    return bytes_equal(bytes_of(a->data, (uint32_t)a->len), bytes_of(b->data, (uint32_t)b->len));
}

static bool same_state(const struct ws_decoder *a, const struct ws_decoder *b)
{
    return a->left == b->left && memcmp(a->key, b->key, sizeof(a->key)) == 0 &&
           bytes_equal(bytes_of(a->header, a->header_len), bytes_of(b->header, b->header_len)) &&
           a->in_payload == b->in_payload && a->in_message == b->in_message;
}

static void release(struct result *result)
{
    buf_release(&result->stream);
    buf_release(&result->controls);
    buf_release(&result->control);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result whole = {0}, cut = {0};

    if (size < 2 || size > INT32_MAX)
        return 0;
    decode(&whole, data + 1, (uint32_t)size - 1, 0);
    decode(&cut, data + 1, (uint32_t)size - 1, data[0]);
    check(whole.fault == cut.fault);
    check(same(&whole.stream, &cut.stream) && same(&whole.controls, &cut.controls));
    check(same(&whole.control, &cut.control));
    if (whole.fault == NULL)
        check(same_state(&whole.decoder, &cut.decoder));
    release(&whole);
    release(&cut);
    return 0;
}
