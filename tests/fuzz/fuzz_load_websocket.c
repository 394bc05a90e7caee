/* Any bytes from a server to the load generator's WebSocket decoder: what is sound gives the same
 * data however it is cut. */
#include <stdlib.h>
#include <string.h>

#include "bench/load/websocket.h"
#include "tests/fuzz/fuzz.h"

/* Feeds data in pieces of `chunk` bytes. Returns the error, or 0. */
static int feed(const uint8_t *data, size_t size, size_t chunk, struct buf *out)
{
    struct websocket websocket = {0};
    int r = 0;

    for (size_t at = 0; at < size && r >= 0; at += chunk) {
        uint32_t part = (uint32_t)(size - at < chunk ? size - at : chunk);
        uint8_t *copy = malloc(part);

        if (copy == NULL)
            abort();
        memcpy(copy, data + at, part);
        r = websocket_take(&websocket, copy, part);
        if (r > (int)part)
            abort();
        if (r > 0)
            buf_put(out, copy, (size_t)r);
        free(copy);
    }
    return r < 0 ? r : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, pieces = {0};
    int r;

    if (size == 0 || size > INT32_MAX)
        return 0;
    r = feed(data, size, 1, &pieces);
    /* Whole, data before an error is not handed out, or hides a Close: only what is sound is the
     * same. */
    if (feed(data, size, size, &whole) == 0 && r == 0 &&
        (whole.len != pieces.len ||
         (whole.len > 0 && memcmp(whole.data, pieces.data, whole.len) != 0)))
        abort();
    buf_release(&whole);
    buf_release(&pieces);
    return 0;
}
