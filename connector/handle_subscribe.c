/* handle_subscribe - SUBSCRIBE and UNSUBSCRIBE: what this process can refuse, it refuses; the rest
 * goes to the broker in one request, and the answer's codes are put where they belong among ours.
 * Rare packets: an allocation for the codes is fine. */
#include "connector/handle.h"

#include <stdlib.h>

#include "common/auto.h"
#include "common/topic.h"

#include "connector/conn.h"
#include "connector/request.h"
#include "connector/session.h"

/* Filters the broker takes in one request. There are fewer topics to subscribe to than that; only
 * a packet that repeats them has more. (UNSUBACK knows no "quota exceeded": MQTT-3.11.3-2.) */
#define FILTERS_MAX 64

static uint8_t check_subscribe(struct bytes filter)
{
    switch (filter_parse(filter).kind) {
    case FILTER_INBOX:
        return CODE_FROM_BROKER;
    case FILTER_SHARED:
        return filter_syntax_valid(filter) ? MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
                                           : MQTT_FILTER_INVALID;
    case FILTER_PRESENCE:
        return MQTT_NOT_AUTHORIZED; /* nobody's presence is shown in this release */
    case FILTER_RECEIPT:
        return MQTT_IMPLEMENTATION_SPECIFIC; /* not available in this release */
    case FILTER_UNKNOWN:
        break;
    }
    return MQTT_FILTER_INVALID;
}

static uint8_t check_unsubscribe(struct bytes filter)
{
    if (filter_parse(filter).kind == FILTER_INBOX)
        return CODE_FROM_BROKER; /* whether it exists, the broker knows after what is on its way */
    return filter_syntax_valid(filter) ? MQTT_NO_SUBSCRIPTION_EXISTED : MQTT_FILTER_INVALID;
}

/* Fills codes (one a filter) and subscriptions (those for the broker). Returns how many these are.
 */
static uint16_t sort_filters(const struct mqtt_subscribe *subscribe, uint8_t *codes,
                             struct wire_subscription *subscriptions)
{
    struct bytes rest = subscribe->filters;
    struct mqtt_filter filter;
    uint16_t count = 0, i = 0;

    while (i < subscribe->count && mqtt_filter_next(subscribe, &rest, &filter) == 1) {
        uint8_t code = subscribe->unsubscribe ? check_unsubscribe(filter.filter)
                                              : check_subscribe(filter.filter);

        if (code == CODE_FROM_BROKER && count == FILTERS_MAX)
            code = subscribe->unsubscribe ? MQTT_IMPLEMENTATION_SPECIFIC : MQTT_QUOTA_EXCEEDED;
        if (code == CODE_FROM_BROKER)
            subscriptions[count++] = (struct wire_subscription){
                .filter = filter.filter,
                .qos = filter.qos > 1 ? 1 : filter.qos,
                .options = filter.options,
                .id = (subscribe->properties.present & MQTT_HAS_SUBSCRIPTION_ID) != 0
                          ? subscribe->properties.subscription_id
                          : 0,
            };
        codes[i++] = code;
    }
    return count;
}

static void answer(struct conn *c, bool unsubscribe, uint16_t packet_id, struct bytes codes)
{
    struct buf out = conn_begin(c);

    if (unsubscribe)
        mqtt_put_unsuback(&out, c->level, packet_id, codes);
    else
        mqtt_put_suback(&out, c->level, packet_id, codes);
    conn_end(c, &out);
}

static void ask_broker(struct conn *c, const struct mqtt_subscribe *subscribe, struct bytes codes,
                       const struct wire_subscription *subscriptions, uint16_t count)
{
    struct broker *broker = brokers_at(c->connector->brokers, c->owner);
    enum wire_type type = subscribe->unsubscribe ? WIRE_UNSUBSCRIBE : WIRE_SUBSCRIBE;
    const struct wire_subscribe record = {
        .token = link_requests_next_token(broker->requests),
        .conn = conn_handle(c),
    };
    struct buf *out = request_buf(c->connector, broker);
    size_t start = out->len;

    wire_put_subscribe(out, type, &record, subscriptions, count);
    IGNORE_RESULT(request_add(c, broker, type, subscribe->packet_id, out, start, codes) ? 0 : 1);
}

bool handle_subscribe(struct conn *c, const struct mqtt_subscribe *subscribe)
{
    static const struct mqtt_fault too_large = {
        MQTT_PACKET_TOO_LARGE, "MQTT-3.1.2-24",
        "the acknowledgement would be above the client's Maximum Packet Size"};
    struct wire_subscription subscriptions[FILTERS_MAX];
    AUTO_FREE uint8_t *codes = malloc(subscribe->count);
    struct bytes list = bytes_of(codes, subscribe->count);
    struct broker *broker = brokers_at(c->connector->brokers, c->owner);
    uint16_t count;

    if (c->max_packet_bytes != 0 && mqtt_suback_size(subscribe->count) > c->max_packet_bytes) {
        conn_close(c, CLOSE_FAULT, &too_large);
        return true;
    }
    if (codes == NULL) {
        conn_close(c, CLOSE_NO_MEMORY, NULL);
        return true;
    }
    count = sort_filters(subscribe, codes, subscriptions);
    if (count == 0) {
        answer(c, subscribe->unsubscribe, subscribe->packet_id, list);
        return true;
    }
    if (broker_full(broker)) {
        session_stall(c, broker);
        return false;
    }
    ask_broker(c, subscribe, list, subscriptions, count);
    return true;
}

static void apply(struct conn *c, bool unsubscribe, const struct wire_subscription *subscription,
                  uint8_t code)
{
    if (code >= MQTT_UNSPECIFIED_ERROR)
        return;
    if (unsubscribe)
        c->inbox = (struct inbox_subscription){.active = false};
    else
        c->inbox = (struct inbox_subscription){
            .id = subscription->id,
            .active = true,
            .qos = code > 0 ? 1 : 0,
            .options = subscription->options,
        };
}

/* Puts the broker's codes into the gaps of the request's and applies what they grant. A broker that
 * gives too few codes fails the rest. */
static void merge(struct conn *c, const struct link_request *request, struct bytes from_broker,
                  uint8_t *codes)
{
    struct wire_reader reader = {.rest = request->record};
    struct wire_subscription subscription;
    struct wire_record record;
    uint32_t used = 0;

    if (wire_next(&reader, &record) != 1)
        return; /* we encoded it: can't be */
    for (uint32_t i = 0; i < request->codes.len; i++) {
        codes[i] = request->codes.data[i];
        if (codes[i] != CODE_FROM_BROKER)
            continue;
        codes[i] = used < from_broker.len ? from_broker.data[used++] : MQTT_UNSPECIFIED_ERROR;
        if (wire_subscription_next(&record.subscribe.subscriptions, &subscription) == 1)
            apply(c, request->type == WIRE_UNSUBSCRIBE, &subscription, codes[i]);
    }
}

void subscribe_on_suback(struct broker *broker, const struct wire_suback *suback)
{
    struct connector *connector = broker->brokers->connector;
    struct link_request request;
    AUTO_FREE uint8_t *codes = NULL;
    struct conn *c;

    if (!link_requests_find(broker->requests, suback->token, &request) ||
        (request.type != WIRE_SUBSCRIBE && request.type != WIRE_UNSUBSCRIBE)) {
        connector->metrics.records_stale++; /* forgotten when its connection ended */
        return;
    }
    c = conn_find(connector->conns, request.conn);
    if (c != NULL && conn_is_open(c)) {
        codes = malloc(request.codes.len);
        if (codes == NULL) {
            conn_close(c, CLOSE_NO_MEMORY, NULL); /* which forgets the request */
            return;
        }
        merge(c, &request, suback->codes, codes);
        answer(c, request.type == WIRE_UNSUBSCRIBE, (uint16_t)request.reply,
               bytes_of(codes, request.codes.len));
    }
    request_done(broker, suback->token, c);
}
