/* link_requests - what the broker was asked and has not answered: SUBSCRIBE, UNSUBSCRIBE, PUBLISH,
 * and requests of devices about themselves.
 *
 * Encoded records in the order of first sending, named by ascending tokens, kept so that they can
 * be sent again, unchanged and in order, over a new link. Bounded by the broker's credit and by
 * bytes; the owner stops reading from clients when it is full. Knows neither link nor connections.
 * Loop thread only. */
#ifndef BECKON_COMMON_LINK_LINK_REQUESTS_H
#define BECKON_COMMON_LINK_LINK_REQUESTS_H

#include "common/bytes.h"
#include "common/err.h"

#include <stddef.h>

struct link_requests;

/* What an answer needs to find its way back. */
struct link_request {
    uint64_t conn;
    uint64_t previous;   /* token of the same connection's request before this one, 0 = none */
    uint32_t reply;      /* SUBSCRIBE, UNSUBSCRIBE: the packet identifier; else the position in the
                            client's pubacks, REPLY_NONE for QoS 0 */
    uint8_t type;        /* enum wire_type of the record */
    struct bytes record; /* encoded, with its length and type */
    struct bytes codes;  /* SUBSCRIBE, UNSUBSCRIBE: one a filter of the packet; CODE_FROM_BROKER
                            where the broker's next code belongs */
};
#define CODE_FROM_BROKER 0xFF /* no reason code has this value */

/* Returns owned, NULL when out of memory. */
struct link_requests *link_requests_create(size_t max_bytes);
void link_requests_destroy(struct link_requests *requests);

/* How many may be unanswered; 0 (at first) makes it full. */
void link_requests_set_credit(struct link_requests *requests, uint32_t credit);
/* True when no request may be added. */
bool link_requests_full(const struct link_requests *requests);
/* True when half of each limit is free again: the moment to read from clients again, so that they
 * do not stop and go with every answer. */
bool link_requests_roomy(const struct link_requests *requests);
uint32_t link_requests_count(const struct link_requests *requests);

/* The token the next link_requests_add gives. */
uint64_t link_requests_next_token(const struct link_requests *requests);
/* Copies request with what it points to. 0, ERR_NO_MEMORY. */
MUST_CHECK int link_requests_add(struct link_requests *requests,
                                 const struct link_request *request);
/* The request of that token, while it is unanswered. True and *ret_request, which points into the
 * store: valid until the next add or release. */
bool link_requests_find(const struct link_requests *requests, uint64_t token,
                        struct link_request *ret_request);
/* The token that was given as `previous` with this one, answered or not; 0 when there was none, or
 * when everything up to token is answered (then nothing before it waits either). */
uint64_t link_requests_before(const struct link_requests *requests, uint64_t token);
/* Forgets it. Unknown tokens are ignored. */
void link_requests_release(struct link_requests *requests, uint64_t token);
/* The oldest unanswered request after token (0: of all). True, its token and *ret_request, as
 * link_requests_find. */
bool link_requests_after(const struct link_requests *requests, uint64_t token, uint64_t *ret_token,
                         struct link_request *ret_request);
/* Calls fn for each, oldest first. record may be changed in place (not in size). */
void link_requests_each(struct link_requests *requests,
                        void (*fn)(uint8_t type, uint8_t *record, size_t len, void *arg),
                        void *arg);

#endif
