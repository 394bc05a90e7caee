/* http - the broker's HTTP door: for operators and backends. docs/http-api.md
 *
 * libmicrohttpd inside the loop, through its epoll descriptor. A handler answers at once, or later:
 * then the connection is suspended until http_reply. Loop thread. */
#ifndef BECKON_BROKER_HTTP_H
#define BECKON_BROKER_HTTP_H

#include "common/bytes.h"
#include "common/err.h"
#include "common/token.h"

#include <jansson.h>
#include <libconfig.h>

struct broker;

/* Reads the configuration, if the door is configured; nothing is touched yet. ERR_CONFIG,
 * ERR_NO_MEMORY with et. */
MUST_CHECK int http_create(struct broker *broker, const config_t *config, struct err_text *et);
/* Listens, if the door is configured. ERR_SYSTEM, ERR_NO_MEMORY with et. */
MUST_CHECK int http_start(struct broker *broker, struct err_text *et);
void http_destroy(struct broker *broker);
/* A reload: takes the keys (http_config_read_tokens), which count from the next call on. */
void http_take_tokens(struct broker *broker, struct token_keys *tokens);

/* --- for the handlers --- */

/* One request. Valid until it is replied to. */
struct http_call {
    struct broker *broker;
    struct MHD_Connection *connection;
    const struct http_route *route;
    struct token_claims claims; /* where the route needs a token */
    struct bytes argument;      /* what stands for the * in the route's path */
    struct bytes body;
    bool head; /* HEAD: the answer has no body */
    /* http.c's own */
    char *path, *buffer;
    size_t buffer_len;
    bool routed, too_large, suspended, token_given;
    struct MHD_Response *response;
    unsigned status;
};

enum http_access {
    HTTP_ANYONE,
    HTTP_TOKEN /* a valid token; the handler decides what it is good for */
};

struct http_route {
    const char *method;
    const char *path; /* with at most one level * */
    enum http_access access;
    /* Calls http_reply, http_problem..., now or later. */
    void (*handle)(struct http_call *call);
};

/* Each answers the call, once. Takes text (malloc'ed), NULL = out of memory. */
void http_reply(struct http_call *call, unsigned status, const char *type, char *text);
/* Takes document. */
void http_reply_json(struct http_call *call, unsigned status, json_t *document);
/* application/problem+json (RFC 9457). detail: what is wrong, and what was expected. */
void http_problem(struct http_call *call, unsigned status, const char *detail);

/* The handlers. */
void http_healthz(struct http_call *call);
void http_readyz(struct http_call *call);
void http_metrics(struct http_call *call);
void http_trace(struct http_call *call);

#endif
