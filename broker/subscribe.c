/* subscribe - see the header.
 *
 * A subscription to the inbox with QoS 1 makes the device, if it is new: its row, with the cursor
 * after the newest message that any device of the person has acknowledged. Rows of persistent
 * sessions are written too. SUBACK follows the commit of all of it, and delivery follows SUBACK. */
#include "broker/subscribe.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/inbox.h"
#include "broker/session.h"
#include "broker/store.h"
#include "common/log.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* MQTT 5.0 section 2.4 */
enum { NO_SUBSCRIPTION_EXISTED = 0x11, UNSPECIFIED_ERROR = 0x80, FILTER_INVALID = 0x8F };

/* Filters in one request at most; the connector splits larger ones. What a store_op can carry. */
#define FILTERS_MAX 64

struct request {
    struct session *session;
    const struct wire_subscribe *record;
    struct store_op_list ops;
    struct store_op *last;
    uint8_t codes[FILTERS_MAX];
    uint8_t count;
};

static void answer(struct broker *broker, struct peer *peer, uint64_t conn, uint64_t token,
                   const uint8_t *codes, uint8_t count)
{
    wire_put_suback(
        bus_out(broker, peer),
        &(struct wire_suback){.token = token, .conn = conn, .codes = bytes_of(codes, count)});
}

static void on_stored(struct broker *broker, struct store_op *op)
{
    struct peer *peer = bus_peer(broker, op->arg_peer);
    struct device *device = device_find(op->user, bytes_of_string(op->device_id));
    struct session *session = peer ? session_find(broker, peer, op->arg_conn) : NULL;

    if (device)
        device->writes--;
    if (op->failed)
        memset(op->arg_codes, UNSPECIFIED_ERROR, op->arg_code_count);
    if (session)
        answer(broker, peer, op->arg_conn, op->arg_token, op->arg_codes, op->arg_code_count);
    if (device && device->session)
        inbox_pump(broker, device);
    else if (device)
        device_idle(broker, device);
}

static struct store_op *add_op(struct request *request, enum store_op_type type)
{
    struct device *device = request->session->device;
    struct store_op *op = store_op_create(type, device->user, device);

    if (op) {
        STAILQ_INSERT_TAIL(&request->ops, op, link);
        request->last = op;
    }
    return op;
}

static bool store_subscription(struct request *request, const struct wire_subscription *s,
                               enum store_op_type type)
{
    struct store_op *op;

    if (!request->session->device->session_stored)
        return true;
    op = add_op(request, type);
    if (!op)
        return false;
    snprintf(op->filter, sizeof(op->filter), "%.*s", BYTES_FMT(s->filter));
    op->qos = s->qos;
    op->options = s->options;
    op->subscription_id = s->id;
    return true;
}

/* It is in the database as it is asked for now: what clients do that subscribe at each connect. */
static bool stored_already(const struct device *device, const struct wire_subscription *s,
                           uint8_t qos)
{
    const struct subscription *known = device_subscription(device, s->filter);

    return known && known->qos == qos && known->options == s->options && known->id == s->id &&
           device->session_stored && device->writes == 0 && (qos == 0 || device->no != 0);
}

static uint8_t subscribe_one(struct request *request, const struct wire_subscription *s)
{
    struct device *device = request->session->device;
    uint8_t qos = s->qos > 0 ? 1 : 0;
    struct wire_subscription granted = *s;

    granted.qos = qos;
    if (filter_parse(s->filter).kind != FILTER_INBOX)
        return FILTER_INVALID;
    if (stored_already(device, s, qos))
        return qos;
    if (device->user->no == 0) /* no memory to wait for it */
        return UNSPECIFIED_ERROR;
    if (device_subscribe(device, s->filter, qos, s->options, s->id) < 0 ||
        !store_subscription(request, &granted, STORE_SUBSCRIPTION_PUT))
        return UNSPECIFIED_ERROR;
    if (qos > 0 && device->no == 0) {
        struct store_op *op = add_op(request, STORE_DEVICE_PUT);

        if (!op)
            return UNSPECIFIED_ERROR;
        op->acked_seq = device->user->max_acked;
    }
    return qos;
}

static uint8_t unsubscribe_one(struct request *request, const struct wire_subscription *s)
{
    if (!device_unsubscribe(request->session->device, s->filter))
        return NO_SUBSCRIPTION_EXISTED;
    return store_subscription(request, s, STORE_SUBSCRIPTION_DROP) ? 0 : UNSPECIFIED_ERROR;
}

/* Hands the writes to the store; the last one answers. */
static void commit(struct broker *broker, struct peer *peer, struct request *request)
{
    struct store_op *last = request->last;

    last->done = on_stored;
    last->arg_peer = peer->id;
    last->arg_conn = request->record->conn;
    last->arg_token = request->record->token;
    memcpy(last->arg_codes, request->codes, request->count);
    last->arg_code_count = request->count;
    request->session->device->writes++;
    while (!STAILQ_EMPTY(&request->ops)) {
        struct store_op *op = STAILQ_FIRST(&request->ops);

        STAILQ_REMOVE_HEAD(&request->ops, link);
        store_op_add(broker, op);
    }
}

/* A device's row has its person's number. The record waits for it, and what comes later for the
 * connection behind it. */
static bool waits_for_number(struct broker *broker, struct peer *peer, struct session *session,
                             uint64_t conn, struct bytes raw)
{
    struct user *user = session->device->user;

    if (user->no != 0)
        return false;
    user_number(broker, user);
    return session_park(broker, peer, conn, user, raw) == 0;
}

void subscribe_on_request(struct broker *broker, struct peer *peer,
                          const struct wire_subscribe *record, bool unsubscribe, struct bytes raw)
{
    struct request request = {.record = record};
    struct wire_list list = record->subscriptions;
    struct wire_subscription s;

    STAILQ_INIT(&request.ops);
    request.session = session_find(broker, peer, record->conn);
    if (!request.session || !request.session->opened)
        return; /* closed meanwhile: nobody waits for the answer */
    if (!unsubscribe && waits_for_number(broker, peer, request.session, record->conn, raw))
        return;
    while (request.count < FILTERS_MAX && wire_subscription_next(&list, &s) == 1)
        request.codes[request.count++] =
            unsubscribe ? unsubscribe_one(&request, &s) : subscribe_one(&request, &s);
    if (!STAILQ_EMPTY(&request.ops)) {
        commit(broker, peer, &request);
        return;
    }
    answer(broker, peer, record->conn, record->token, request.codes, request.count);
    inbox_pump(broker, request.session->device);
}
