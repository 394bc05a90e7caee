/* request - see the header.
 *
 * A request is encoded once, into the frame of the turn, and copied from there to the store of its
 * broker's unanswered requests; without a link only the copy is made. On its way to another broker
 * it stays the same record but for its token, which names it in that broker's store, and the flag
 * that says that it may be known. */
#include "connector/request.h"

#include "connector/brokers.h"
#include "connector/conn.h"

struct buf *request_buf(struct connector *connector, struct broker *broker)
{
    struct buf *out = broker_frame(broker);

    if (out != NULL)
        return out;
    buf_clear(&connector->record);
    return &connector->record;
}

/* Those that end with the session are found from the connection (forget_requests_of_session). */
static bool is_of_session(uint8_t type)
{
    return type == WIRE_SUBSCRIBE || type == WIRE_UNSUBSCRIBE || type == WIRE_STATE;
}

static int keep(struct conn *c, struct broker *broker, struct link_request *request,
                const struct buf *out, size_t start)
{
    uint64_t token = link_requests_next_token(broker->requests);
    bool of_session = c != NULL && is_of_session(request->type);
    int r;

    if (!buf_ok(out))
        return ERR_NO_MEMORY;
    request->record = bytes_of(out->data + start, (uint32_t)(out->len - start));
    request->previous = of_session ? c->last_request : 0;
    r = link_requests_add(broker->requests, request);
    if (r == 0 && of_session)
        c->last_request = token;
    return r;
}

bool request_add(struct conn *c, struct broker *broker, enum wire_type type, uint32_t reply,
                 const struct buf *out, size_t start, struct bytes codes)
{
    struct link_request request = {
        .conn = conn_handle(c),
        .reply = reply,
        .type = (uint8_t)type,
        .codes = codes,
    };

    if (keep(c, broker, &request, out, start) < 0) {
        conn_close(c, CLOSE_NO_MEMORY, NULL);
        return false;
    }
    c->client->unanswered++;
    return true;
}

void request_done(struct broker *broker, uint64_t token, struct conn *c)
{
    link_requests_release(broker->requests, token);
    if (c != NULL && c->client != NULL)
        c->client->unanswered--;
}

/* The record of request, at the end of where it is to go. */
static struct buf *encode_again(struct connector *connector, struct broker *to,
                                const struct link_request *request, size_t *ret_start)
{
    struct buf *out = request_buf(connector, to);

    *ret_start = out->len;
    wire_put_raw(out, request->record);
    if (buf_ok(out))
        wire_set_token(out->data + *ret_start, request->record.len,
                       link_requests_next_token(to->requests));
    return out;
}

/* Takes the place of what `from` kept. */
static void keep_again(struct broker *from, struct broker *to, uint64_t token,
                       const struct link_request *request, const struct buf *out, size_t start)
{
    struct conn *c = conn_find(from->brokers->connector->conns, request->conn);
    struct link_request kept = *request;

    if (keep(c, to, &kept, out, start) == 0) {
        link_requests_release(from->requests, token);
        return;
    }
    request_done(from, token, c);
    if (c != NULL && c->client != NULL)
        conn_close(c, CLOSE_NO_MEMORY, NULL); /* its answer will not come */
}

void request_move(struct broker *from, struct broker *to, uint64_t token,
                  const struct link_request *request)
{
    struct connector *connector = from->brokers->connector;
    struct buf *out;
    size_t start;

    if (to == NULL) {
        request_done(from, token, conn_find(connector->conns, request->conn));
        return;
    }
    connector->metrics.requests_moved++;
    out = encode_again(connector, to, request, &start);
    if (buf_ok(out))
        wire_mark_resend(out->data + start, request->record.len);
    keep_again(from, to, token, request, out, start);
}

/* Of the sender; their connection knows it, and most are still there. */
static struct broker *sender_owner(const struct brokers *brokers,
                                   const struct link_request *request)
{
    const struct conn *c = conn_find(brokers->connector->conns, request->conn);
    struct wire_reader reader = {.rest = request->record};
    struct wire_record record;

    if (c != NULL && c->owner != BROKER_NONE)
        return brokers_at(brokers, c->owner);
    if (wire_next(&reader, &record) != 1)
        return NULL; /* we encoded it: can't be */
    return brokers_of(brokers, record.publish.from);
}

bool request_copy(struct broker *from, uint64_t token, const struct link_request *request,
                  const struct mid *stored)
{
    struct brokers *brokers = from->brokers;
    struct link_request copy = *request;
    struct broker *to;
    struct buf *out;
    size_t start;

    if (brokers->view.count == 1 || request->type != WIRE_PUBLISH)
        return false;
    to = sender_owner(brokers, request);
    if (to == NULL || to == from)
        return false;
    brokers->connector->metrics.copies++;
    copy.type = WIRE_COPY;
    out = encode_again(brokers->connector, to, request, &start);
    if (buf_ok(out))
        wire_mark_copy(out->data + start, request->record.len, stored);
    keep_again(from, to, token, &copy, out, start);
    return true;
}
