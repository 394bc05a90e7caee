/* http_client - beckonctl's calls to the broker's HTTP door. */
#ifndef BECKONCTL_HTTP_CLIENT_H
#define BECKONCTL_HTTP_CLIENT_H

#include "common/err.h"

/* GET url with that bearer token. ca: a PEM file of certificates to trust, NULL = the system's. 0
 * and *ret_body (owned, NUL-terminated), *ret_status; ERR_SYSTEM with et when there was no answer.
 */
MUST_CHECK int http_get(const char *url, const char *token, const char *ca, char **ret_body,
                        long *ret_status, struct err_text *et);

#endif
