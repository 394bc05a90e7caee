/* request - the HTTP request that carries one notification: its headers, its signature, and what
 * the answer means. No I/O: webhook.c hands it to libcurl. */
#ifndef BECKON_WEBHOOK_REQUEST_H
#define BECKON_WEBHOOK_REQUEST_H

#include "settings.h"

#include <curl/curl.h>
#include <sys/queue.h>

struct request {
    LIST_ENTRY(request) link;
    uint64_t id; /* of the delivery */
    CURL *easy;
    struct curl_slist *headers;
    char body[]; /* the notification document */
};

/* wall_s: the time that is signed. timeout_ms: of the whole request. Copies what it needs. NULL
 * when out of memory. */
struct request *request_create(const struct settings *settings, const struct dp_delivery *delivery,
                               uint64_t wall_s, uint32_t timeout_ms);
/* easy is in no multi handle any more. */
void request_destroy(struct request *request);

#define REASON_SIZE 32
/* What the end of a request means. reason: where the outcome's text goes. */
void request_outcome(CURL *easy, CURLcode result, struct dp_outcome *ret_outcome,
                     char reason[REASON_SIZE]);

#endif
