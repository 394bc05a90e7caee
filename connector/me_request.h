/* me_request - what devices say about themselves in JSON: me/push, me/read, me/shown. Parsing only,
 * no state, no I/O. docs/client-guide.md has the forms. */
#ifndef BECKON_CONNECTOR_ME_REQUEST_H
#define BECKON_CONNECTOR_ME_REQUEST_H

#include "common/wire.h"

#include <jansson.h>

/* Message ids in one me/shown: what a phone may show while it is offline, and a frame's worth. */
#define ME_SHOWN_MAX 256
/* Characters of a push token: Apple says to assume no length; this is ten times today's. */
#define ME_TOKEN_MAX 1024

/* Parsed JSON; the strings of the records point into it. */
struct me_request {
    json_t *json;
    struct mid mids[ME_SHOWN_MAX];
    uint16_t mid_count;
};

/* Each fills the fields of ret_record that come from the payload. 0, or ERR_INVALID with *ret_why:
 * a constant phrase that names the member and what was expected. me_request_fini afterwards, in
 * both cases. */
MUST_CHECK int me_request_push(struct bytes payload, struct me_request *request,
                               struct wire_push *ret_record, const char **ret_why);
MUST_CHECK int me_request_read(struct bytes payload, struct me_request *request,
                               struct wire_read *ret_record, const char **ret_why);
/* The ids are in request->mids. */
MUST_CHECK int me_request_shown(struct bytes payload, struct me_request *request,
                                const char **ret_why);
void me_request_fini(struct me_request *request);

#endif
