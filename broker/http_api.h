/* http_api - what calls of the HTTP door ask the database: over a connection of their own, so that
 * an operator's slow question never holds up deliveries. */
#ifndef BECKON_BROKER_HTTP_API_H
#define BECKON_BROKER_HTTP_API_H

#include "broker/http.h"
#include "common/mid.h"

#include <libpq-fe.h>

struct http_api;

/* Returns owned, NULL when out of memory. */
struct http_api *http_api_create(struct broker *broker);
/* Calls that wait are answered (503). NULL is allowed. */
void http_api_destroy(struct http_api *api);
struct http_api *http_api_of(struct broker *broker);
/* Reads the trace of a message; done(call, result) follows, result NULL = the database did not
 * answer. False: too many wait. */
MUST_CHECK bool http_api_trace(struct http_api *api, struct http_call *call, const struct mid *mid,
                               void (*done)(struct http_call *call, const PGresult *result));

#endif
