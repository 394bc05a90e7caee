/* request - what one HTTP/2 stream asked for, kept until it was judged.
 *
 * Bounded whatever the client sends: REQUEST_HEADER_BYTES of headers, REQUEST_BODY_KEPT of the
 * body. Owned by its stream; loop thread only. Life cycle: request_init, any number of
 * request_header and request_body, request_fini. */
#ifndef BECKON_APNS_SIMULATOR_REQUEST_H
#define BECKON_APNS_SIMULATOR_REQUEST_H

#include "common/buf.h"
#include "common/err.h"

#include <jansson.h>
#include <stddef.h>

/* Announced in SETTINGS_MAX_HEADER_LIST_SIZE and counted as RFC 9113 says (32 bytes a field beside
 * name and value). What Apple's servers announce. */
#define REQUEST_HEADER_BYTES 8000
/* One byte more than the largest payload of any push type: enough to know that it is too large. */
#define REQUEST_BODY_KEPT 5121

struct request {
    char *method, *path; /* NULL when absent: nghttp2 refuses such a request by itself */
    char *authorization; /* NULL when absent */
    json_t *headers;     /* object: each apns-* header as a string */
    bool duplicates;     /* a header above came twice */
    size_t header_bytes;
    struct buf body;
    size_t body_bytes; /* all that came, also what was not kept */
};

/* 0 or ERR_NO_MEMORY. */
MUST_CHECK int request_init(struct request *request);
void request_fini(struct request *request);
/* Borrows both. Headers that no rule asks for are counted, not kept. 0; ERR_TOO_LARGE when the
 * headers exceed REQUEST_HEADER_BYTES; ERR_NO_MEMORY. */
MUST_CHECK int request_header(struct request *request, struct bytes name, struct bytes value);
/* 0 or ERR_NO_MEMORY. */
MUST_CHECK int request_body(struct request *request, const void *data, size_t len);
/* The value of an apns-* header, NULL when absent. Valid as long as the request. */
const char *request_apns_header(const struct request *request, const char *name);

#endif
