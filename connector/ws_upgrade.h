/* ws_upgrade - the HTTP request that opens a WebSocket connection (RFC 6455 section 4), without
 * I/O.
 *
 * Fed with chunks of any size until it is decided; each byte is looked at once, and a line is dealt
 * with as soon as it is complete, so what is not HTTP at all is refused with its first bytes. One
 * lives as long as a handshake: WS_LINE_MAX bytes and a little, whatever the client sends.
 * Loop thread only. */
#ifndef BECKON_CONNECTOR_WS_UPGRADE_H
#define BECKON_CONNECTOR_WS_UPGRADE_H

#include "common/buf.h"
#include "common/err.h"

#include "connector/ws_policy.h"

/* The request line, and a header line that we have to understand: room for a path with a long
 * query. Other headers may be longer. */
#define WS_LINE_MAX 2048
/* The whole request. Browsers send the site's cookies along, which may be several KiB. */
#define WS_REQUEST_MAX 16384
/* Browsers send fewer than 20 headers, proxies add a handful. */
#define WS_HEADERS_MAX 100

#define WS_KEY_LEN 24 /* 16 bytes in base64 */

struct ws_refusal;

struct ws_upgrade {
    const struct ws_policy *policy;
    const struct ws_refusal *refusal; /* NULL: not refused */
    const char *protocol;             /* the one agreed on; NULL while none is */
    uint16_t seen;                    /* enum seen */
    uint16_t bytes;                   /* of the request so far */
    uint16_t line_len;
    uint8_t header_count;
    bool in_headers; /* the request line is complete */
    bool after_cr;   /* the next byte has to be LF */
    bool cut;        /* the line is longer than what is kept of it */
    bool decided;
    char key[WS_KEY_LEN];
    char line[WS_LINE_MAX];
};

/* Borrows policy. */
void ws_upgrade_init(struct ws_upgrade *upgrade, const struct ws_policy *policy);
/* Returns 1 when it is decided, 0 while more is needed. *ret_used: bytes of data that belong to the
 * request; what follows them in a good one are frames. */
MUST_CHECK int ws_upgrade_feed(struct ws_upgrade *upgrade, struct bytes data, uint32_t *ret_used);
/* Once decided: true when the connection is not upgraded. */
bool ws_upgrade_refused(const struct ws_upgrade *upgrade);
/* Once refused: what was expected. */
void ws_upgrade_explain(const struct ws_upgrade *upgrade, char *buf, size_t size);
/* Once decided: appends the HTTP response. */
void ws_upgrade_answer(const struct ws_upgrade *upgrade, struct buf *out);

#endif
