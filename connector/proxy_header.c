#include "connector/proxy_header.h"

#include <string.h>
#include <sys/socket.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_BYTES 12
#define V1_SIGNATURE "PROXY "
#define V1_SIGNATURE_BYTES 6
#define VERSION_2 2
#define IPV4_BYTES 12  /* two addresses, two ports */
#define IPV6_BYTES 36  /* the same */
#define UNIX_BYTES 216 /* two paths */

enum command { COMMAND_LOCAL, COMMAND_PROXY };
enum family { FAMILY_NONE, FAMILY_IPV4, FAMILY_IPV6, FAMILY_UNIX, FAMILY_END };
enum protocol { PROTOCOL_NONE, PROTOCOL_STREAM, PROTOCOL_DATAGRAM, PROTOCOL_END };

static const uint8_t address_bytes[FAMILY_END] = {0, IPV4_BYTES, IPV6_BYTES, UNIX_BYTES};

static uint16_t be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static bool begins(struct bytes data, const char *text, uint32_t len)
{
    return memcmp(data.data, text, data.len < len ? data.len : len) == 0;
}

/* As soon as a byte is wrong. NULL: nothing is wrong so far. */
static const char *look(struct bytes data)
{
    const uint8_t *at = data.data;

    if (data.len == 0)
        return NULL;
    if (!begins(data, SIGNATURE, SIGNATURE_BYTES))
        return data.len >= V1_SIGNATURE_BYTES && begins(data, V1_SIGNATURE, V1_SIGNATURE_BYTES)
                   ? "it has version 1, expected 2"
                   : "there is none";
    if (data.len > 12 && at[12] >> 4 != VERSION_2)
        return "its version is unknown, expected 2";
    if (data.len > 12 && (at[12] & 0x0F) > COMMAND_PROXY)
        return "its command is unknown";
    if (data.len > 13 && (at[13] >> 4 >= FAMILY_END || (at[13] & 0x0F) >= PROTOCOL_END))
        return "its address family is unknown";
    if (data.len < PROXY_PREFIX_BYTES)
        return NULL;
    if (be16(at + 14) + PROXY_PREFIX_BYTES > PROXY_HEADER_MAX)
        return "it is too long";
    /* LOCAL is without addresses, whatever the family says. */
    if ((at[12] & 0x0F) == COMMAND_PROXY && be16(at + 14) < address_bytes[at[13] >> 4])
        return "it is too short for its addresses";
    return NULL;
}

/* The family whose source address is to be used. What is valid and of no use for us (datagrams,
 * paths) counts as no address, as the specification says. */
static enum family usable(const uint8_t *at)
{
    enum family family = at[13] >> 4;

    if ((at[12] & 0x0F) != COMMAND_PROXY || (at[13] & 0x0F) != PROTOCOL_STREAM)
        return FAMILY_NONE;
    return family == FAMILY_UNIX ? FAMILY_NONE : family;
}

uint32_t proxy_header_needs(struct bytes data)
{
    if (data.len < PROXY_PREFIX_BYTES)
        return PROXY_PREFIX_BYTES;
    return PROXY_PREFIX_BYTES + address_bytes[usable(data.data)];
}

int proxy_header_parse(struct bytes data, struct proxy_header *ret_header, const char **ret_why)
{
    const char *why = look(data);
    struct proxy_header header = {0};
    const uint8_t *at;

    if (why != NULL) {
        *ret_why = why;
        return ERR_PROTOCOL;
    }
    if (data.len < proxy_header_needs(data))
        return 0;
    at = data.data + PROXY_PREFIX_BYTES;
    header.size = PROXY_PREFIX_BYTES + be16(data.data + 14);
    switch (usable(data.data)) {
    case FAMILY_IPV4:
        header.peer.family = AF_INET;
        memcpy(header.peer.octets, at, 4);
        header.peer.port = be16(at + 8);
        break;
    case FAMILY_IPV6:
        header.peer.family = AF_INET6;
        memcpy(header.peer.octets, at, 16);
        header.peer.port = be16(at + 32);
        break;
    default:
        break;
    }
    *ret_header = header;
    return 1;
}
