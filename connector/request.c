/* request - the way a client's SUBSCRIBE, UNSUBSCRIBE or QoS 1 PUBLISH takes to the broker.
 *
 * A request is encoded once, into the frame of the turn, and copied from there to the store of
 * unanswered requests; without a link only the copy is made. */
#include "common/link/link.h"
#include "common/link/link_requests.h"
#include "connector/conn.h"
#include "connector/handle.h"

struct buf *request_buf(struct connector *connector)
{
    struct buf *out = link_frame(connector->bus);

    if (out != NULL)
        return out;
    buf_clear(&connector->record);
    return &connector->record;
}

bool request_add(struct conn *c, enum wire_type type, uint32_t reply, const struct buf *out,
                 size_t start, struct bytes codes)
{
    struct link_requests *requests = c->connector->requests;
    uint64_t token = link_requests_next_token(requests);
    struct link_request request = {
        .conn = conn_handle(c),
        .previous = c->last_request,
        .reply = reply,
        .type = (uint8_t)type,
        .codes = codes,
    };

    if (buf_ok(out))
        request.record = bytes_of(out->data + start, (uint32_t)(out->len - start));
    if (!buf_ok(out) || link_requests_add(requests, &request) < 0) {
        conn_close(c, CLOSE_NO_MEMORY, NULL);
        return false;
    }
    c->last_request = token;
    return true;
}
