/* rules - what Apple refuses, with Apple's reasons. Pure, except for the token of the provider. */
#ifndef BECKON_APNS_SIMULATOR_RULES_H
#define BECKON_APNS_SIMULATOR_RULES_H

#include "common/bytes.h"

#include <jansson.h>

/* Headers that count, in the order of `request_headers`. */
enum request_header {
    HEADER_AUTHORIZATION,
    HEADER_TOPIC,
    HEADER_PUSH_TYPE,
    HEADER_ID,
    HEADER_EXPIRATION,
    HEADER_PRIORITY,
    HEADER_COLLAPSE_ID,
    HEADER_COUNT
};
extern const char *const request_headers[HEADER_COUNT];

/* Of a body; VoIP may have 5,120. One more than is accepted is kept, to tell. */
#define PAYLOAD_MAX 4096
#define PAYLOAD_VOIP_MAX 5120

struct request {
    char method[16];
    char path[600];
    char *headers[HEADER_COUNT]; /* owned; NULL = absent */
    bool duplicate;              /* some header came twice */
    size_t body_len;             /* as sent; body has what was kept */
    char body[PAYLOAD_VOIP_MAX + 1];
};

struct verdict {
    unsigned status;
    const char *reason; /* NULL with 200 */
    json_t *payload;    /* owned by the caller; NULL when it was not JSON */
};

/* Method and path; ret_token points into request. NULL: fine. */
const char *rules_path(const struct request *request, unsigned *ret_status, const char **ret_token);
/* Everything but the path and the provider's token. */
struct verdict rules_check(const struct request *request, const char *device_token);

#endif
