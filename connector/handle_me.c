/* handle_me - publishes to me/...: what a device says about itself. The token is answered here, at
 * once; what the broker has to know is checked here and answered by the broker, so that whatever
 * happens after the PUBACK finds it known. */
#include "common/utf8.h"

#include "connector/auth.h"
#include "connector/conn.h"
#include "connector/device_state.h"
#include "connector/handle.h"
#include "connector/keepalive.h"
#include "connector/me_request.h"
#include "connector/request.h"
#include "connector/session.h"

struct refusal me_token(struct conn *c, struct bytes payload)
{
    struct client *client = c->client;
    struct token_claims claims;
    enum token_why why;
    uint8_t reason = auth_check(c->connector->auth, payload, client_user(client),
                                client_device(client), loop_wall_clock_ms() / 1000, &claims, &why);

    /* The connection is authenticated; what is refused is this token, whatever is wrong with it. */
    if (reason != MQTT_SUCCESS) {
        auth_count(&c->connector->metrics, why);
        return (struct refusal){MQTT_NOT_AUTHORIZED, token_why_text(why)};
    }
    client->service = claims.service; /* what the old token allowed ends with it */
    client->token_issued_s = claims.issued_s;
    client->token_expires_s = claims.expires_s;
    keepalive_arm(c);
    return (struct refusal){MQTT_SUCCESS, NULL};
}

static int encode_state(const struct conn *c, struct bytes payload, uint64_t token, struct buf *out,
                        const char **ret_why)
{
    struct client *client = c->client;
    int r = device_state_parse(payload, &client->device_state, &client->lease_s);

    if (r < 0) {
        *ret_why = "the state is not foreground, background or background SECONDS";
        return r;
    }
    client->lease_until_ms =
        client->lease_s == 0 ? 0
                             : loop_now_ms(c->connector->loop) + (uint64_t)client->lease_s * 1000;
    wire_put_state(out, &(struct wire_state){.token = token,
                                             .conn = conn_handle(c),
                                             .epoch = client->epoch,
                                             .state = client->device_state,
                                             .lease_s = client->lease_s});
    return 0;
}

/* Parses and encodes at the end of out. */
static int encode(const struct conn *c, uint64_t token, struct bytes payload, enum topic_kind kind,
                  struct buf *out, const char **ret_why)
{
    struct bytes user = client_user(c->client), device = client_device(c->client);
    struct wire_push push = {.token = token, .user = user, .device = device};
    struct wire_read read = {.token = token, .user = user, .device = device};
    struct wire_shown shown = {.token = token, .user = user, .device = device};
    struct me_request request;
    int r;

    if (kind == TOPIC_ME_STATE)
        return encode_state(c, payload, token, out, ret_why);
    if (kind == TOPIC_ME_PUSH) {
        r = me_request_push(payload, &request, &push, ret_why);
        if (r == 0)
            wire_put_push(out, &push);
    } else if (kind == TOPIC_ME_READ) {
        r = me_request_read(payload, &request, &read, ret_why);
        if (r == 0)
            wire_put_read(out, &read);
    } else {
        r = me_request_shown(payload, &request, ret_why);
        if (r == 0)
            wire_put_shown(out, &shown, request.mids, request.mid_count);
    }
    me_request_fini(&request);
    return r;
}

enum me_result me_forward(struct conn *c, const struct mqtt_publish *publish, enum topic_kind kind,
                          struct refusal *ret_refusal)
{
    static const enum wire_type types[] = {[TOPIC_ME_STATE] = WIRE_STATE,
                                           [TOPIC_ME_PUSH] = WIRE_PUSH,
                                           [TOPIC_ME_READ] = WIRE_READ,
                                           [TOPIC_ME_SHOWN] = WIRE_SHOWN};
    struct refusal refusal = {MQTT_PAYLOAD_FORMAT_INVALID, NULL};
    uint32_t position = REPLY_NONE;
    struct broker *broker = brokers_at(c->connector->brokers, c->owner);
    struct buf *out;
    size_t start;

    if (broker_full(broker)) {
        session_stall(c, broker);
        return ME_STALLED;
    }
    out = request_buf(c->connector, broker);
    start = out->len;
    if (encode(c, link_requests_next_token(broker->requests), publish->payload, kind, out,
               &refusal.text) < 0) {
        *ret_refusal = refusal;
        return ME_REFUSED;
    }
    if (publish->qos > 0 && pubacks_expect(&c->pubacks, publish->packet_id, &position) < 0)
        conn_close(c, CLOSE_NO_MEMORY, NULL);
    else
        IGNORE_RESULT(request_add(c, broker, types[kind], position, out, start, bytes_of(NULL, 0)));
    return ME_FORWARDED;
}

const char *me_reason_text(enum wire_type type, uint8_t reason)
{
    if (type == WIRE_PUSH && reason == MQTT_IMPLEMENTATION_SPECIFIC)
        return "provider: no push plugin of that name is configured";
    if (type == WIRE_READ && reason == MQTT_TOPIC_INVALID)
        return "mid: no such message in that conversation";
    return NULL;
}

bool payload_format_valid(const struct mqtt_properties *properties, struct bytes payload)
{
    struct bytes rest = payload;

    if ((properties->present & MQTT_HAS_PAYLOAD_FORMAT) == 0 || properties->payload_format != 1)
        return true;
    /* Unlike MQTT's strings, a payload may hold U+0000 (RFC 3629); utf8_valid judges what is
     * between. No other character has a zero byte in it. */
    while (rest.len > 0) {
        const uint8_t *zero = memchr(rest.data, 0, rest.len);
        uint32_t len = zero != NULL ? (uint32_t)(zero - rest.data) : rest.len;

        if (!utf8_valid(bytes_of(rest.data, len)))
            return false;
        if (zero == NULL)
            break;
        rest = bytes_of(zero + 1, rest.len - len - 1);
    }
    return true;
}
