/* Any bytes as the beginning of a connection with a PROXY header: whole or byte by byte the parser
 * says the same, asks for no more than it looks at, and goes on asking until it knows. */
#include <stdlib.h>
#include <sys/socket.h>

#include "connector/proxy_header.h"
#include "tests/fuzz/fuzz.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool same(const struct proxy_header *a, const struct proxy_header *b)
{
    return a->size == b->size && a->peer.family == b->peer.family && a->peer.port == b->peer.port &&
           memcmp(a->peer.octets, b->peer.octets, sizeof(a->peer.octets)) == 0;
}

static void check_header(const struct proxy_header *header)
{
    check(header->size >= PROXY_PREFIX_BYTES && header->size <= PROXY_HEADER_MAX);
    check(header->peer.family == 0 || header->peer.family == AF_INET ||
          header->peer.family == AF_INET6);
    check(header->peer.family != AF_INET || header->size >= PROXY_PREFIX_BYTES + 12);
    check(header->peer.family != AF_INET6 || header->size >= PROXY_PREFIX_BYTES + 36);
}

/* As the layer does it: exactly what is asked for, from a copy, so that a sanitizer sees every byte
 * too many. */
static int read_as_asked(const uint8_t *data, size_t size, struct proxy_header *ret_header)
{
    const char *why = NULL;
    uint32_t have = 0;

    for (;;) {
        uint8_t *copy = malloc(have + 1);
        uint32_t needs = 0;
        int r;

        check(copy != NULL);
        memcpy(copy, data, have);
        r = proxy_header_parse(bytes_of(copy, have), ret_header, &why);
        if (r == 0) {
            needs = proxy_header_needs(bytes_of(copy, have));
            check(needs > have && needs <= PROXY_LOOK_BYTES);
        }
        free(copy);
        check((r < 0) == (why != NULL));
        check(r != 1 || have <= ret_header->size);
        if (r != 0 || have == size)
            return r;
        have = needs < size ? needs : (uint32_t)size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole = {0}, asked = {0}, part = {0};
    const char *why = NULL;
    int r, r_asked, r_part = 0;

    if (size == 0 || size > UINT32_MAX)
        return 0;
    r = proxy_header_parse(bytes_of(data, (uint32_t)size), &whole, &why);
    check(r == 0 || r == 1 || (r == ERR_PROTOCOL && why != NULL));
    if (r == 1)
        check_header(&whole);
    r_asked = read_as_asked(data, size, &asked);
    check(r_asked == r);
    /* Byte by byte: the first verdict is the last one. */
    for (uint32_t len = 1; len <= size && r_part == 0; len++)
        r_part = proxy_header_parse(bytes_of(data, len), &part, &why);
    check(r_part == r);
    check(r != 1 || (same(&whole, &asked) && same(&whole, &part)));
    return 0;
}
