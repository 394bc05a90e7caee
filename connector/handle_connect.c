/* handle_connect - CONNECT: who is it, may they, and what do they want kept.
 *
 * Checks go from the packet to the person: sizes, identifier, user name, token, Will, state. As
 * soon as both names are well-formed they are copied to struct client, so that the log line of
 * every later refusal names the device. A CONNECT that passes is sent to the broker as OPEN;
 * CONNACK follows its answer. */
#include "connector/handle.h"

#include <stdlib.h>

#include "connector/auth.h"
#include "connector/conn.h"
#include "connector/device_state.h"
#include "connector/limits.h"
#include "connector/session.h"

#define NO_REFUSAL ((struct refusal){.reason = MQTT_SUCCESS})

static struct refusal refuse(uint8_t reason, const char *text)
{
    return (struct refusal){.reason = reason, .text = text};
}

void connect_refuse(struct conn *c, uint8_t reason, const char *text)
{
    const struct mqtt_fault fault = {reason, "section 3.1.4", text};
    struct buf out = conn_begin(c);

    c->connector->metrics.connects_refused++;
    if (c->max_packet_bytes == 0 || c->max_packet_bytes >= MQTT_CONNACK_MIN_BYTES)
        mqtt_put_connack(
            &out, c->level,
            &(struct mqtt_connack){.reason = reason, .reason_string = conn_reason_string(c, text)});
    conn_end(c, &out);
    conn_close(c, CLOSE_REFUSED, &fault);
}

void connect_accept(struct conn *c, bool session_present, uint32_t granted_expiry_s)
{
    const struct options *options = &c->connector->options;
    struct client *client = c->client;
    const struct mqtt_connack connack = {
        .session_present = session_present,
        .reason = MQTT_SUCCESS,
        .send_session_expiry = granted_expiry_s != client->session_expiry_s,
        .session_expiry_s = granted_expiry_s,
        .receive_max = (uint16_t)options->receive_max,
        .max_packet_size = options->max_packet_bytes,
        .send_server_keep_alive = client->keep_alive_changed,
        .server_keep_alive_s = client->keep_alive_s,
        .capabilities = true,
    };
    struct buf out = conn_begin(c);

    client->session_expiry_s = granted_expiry_s;
    c->connector->metrics.connects++;
    mqtt_put_connack(&out, c->level, &connack);
    conn_end(c, &out);
}

static struct client *client_create(const struct mqtt_connect *connect)
{
    size_t user_len = connect->username.len, device_len = connect->client_id.len;
    struct client *client = calloc(1, sizeof(*client) + user_len + device_len + 2);

    if (client == NULL)
        return NULL;
    client->user_len = (uint8_t)user_len;
    client->device_len = (uint8_t)device_len;
    memcpy(client->names, connect->username.data, user_len);
    memcpy(client->names + user_len + 1, connect->client_id.data, device_len);
    client->device_state = WIRE_FOREGROUND;
    client->clean_start = connect->clean_start;
    return client;
}

/* MQTT-3.1.2-24 forbids a larger packet, and there is no connection without CONNACK. */
static struct refusal check_packet_size(const struct conn *c)
{
    if (c->max_packet_bytes != 0 && c->max_packet_bytes < MQTT_CONNACK_MAX_BYTES)
        return refuse(MQTT_PACKET_TOO_LARGE, "Maximum Packet Size is below what a CONNACK needs");
    return NO_REFUSAL;
}

static struct refusal check_names(const struct mqtt_connect *connect)
{
    if ((connect->properties.present & MQTT_HAS_AUTH_METHOD) != 0)
        return refuse(MQTT_BAD_AUTH_METHOD, "no authentication method is supported");
    if (connect->client_id.len == 0)
        return refuse(MQTT_CLIENT_ID_NOT_VALID, "the client identifier is empty");
    if (!name_is_device(connect->client_id))
        return refuse(MQTT_CLIENT_ID_NOT_VALID, "the client identifier is not a device id");
    if (!connect->has_username || !name_is_user(connect->username))
        return refuse(MQTT_BAD_CREDENTIALS, "the user name is missing or not a user id");
    return NO_REFUSAL;
}

static struct refusal check_token(struct conn *c, const struct mqtt_connect *connect)
{
    struct token_claims claims;
    enum token_why why;
    uint8_t reason;

    if (!connect->has_password || connect->password.len == 0) {
        auth_count(&c->connector->metrics, TOKEN_WHY_MISSING);
        return refuse(MQTT_BAD_CREDENTIALS, "the token is missing");
    }
    reason = auth_check(c->connector->auth, connect->password, connect->username,
                        connect->client_id, loop_wall_clock_ms() / 1000, &claims, &why);
    if (reason != MQTT_SUCCESS) {
        auth_count(&c->connector->metrics, why);
        return refuse(reason, token_why_text(why));
    }
    c->client->service = claims.service;
    c->client->token_issued_s = claims.issued_s;
    c->client->token_expires_s = claims.expires_s;
    return NO_REFUSAL;
}

/* Before the token, whose check is what costs. Without a proxy the listener has looked. */
static struct refusal check_address(const struct conn *c)
{
    if (c->peer.proxied && !limits_address_connects(c->connector, &c->peer))
        return refuse(MQTT_CONNECTION_RATE_EXCEEDED, "this address connects too often");
    return NO_REFUSAL;
}

static struct refusal check_rate(struct conn *c)
{
    if (!limits_device_connects(c))
        return refuse(MQTT_CONNECTION_RATE_EXCEEDED,
                      "this device connects too often (limit.device_connects_per_s)");
    return NO_REFUSAL;
}

static struct refusal take_will(struct conn *c, const struct mqtt_connect *connect)
{
    const struct mqtt_properties *properties = &connect->will_properties;
    struct topic topic = topic_parse(connect->will_topic);
    struct buf *forwarded = &c->connector->properties;
    struct wire_will will;

    if (connect->will_qos > 1)
        return refuse(MQTT_QOS_NOT_SUPPORTED, "Will QoS 2 is not supported");
    if (c->level == MQTT_5 && connect->will_retain)
        return refuse(MQTT_RETAIN_NOT_SUPPORTED, "Will Retain is not supported");
    if (topic.kind != TOPIC_TO_USER && topic.kind != TOPIC_TO_GROUP)
        return refuse(MQTT_TOPIC_INVALID, "the Will Topic is not one that sends a message");
    if (!limits_properties_fit(c, properties))
        return refuse(MQTT_PACKET_TOO_LARGE, "the Will has too many or too long properties");
    if (!payload_format_valid(properties, connect->will_payload))
        return refuse(MQTT_PAYLOAD_FORMAT_INVALID, "the Will Payload is not UTF-8");
    buf_clear(forwarded);
    if (c->level == MQTT_5)
        mqtt_forward_properties(properties->all, forwarded);
    if (!limits_will_fits(c, connect->will_payload.len + forwarded->len))
        return refuse(MQTT_PACKET_TOO_LARGE, "the Will is too large (mqtt.max_will_bytes)");
    will = (struct wire_will){
        .present = true,
        .kind = topic.kind == TOPIC_TO_USER ? WIRE_TO_USER : WIRE_TO_GROUP,
        .qos = connect->will_qos,
        .has_expiry = (properties->present & MQTT_HAS_MESSAGE_EXPIRY) != 0,
        .delay_s = (properties->present & MQTT_HAS_WILL_DELAY) != 0 ? properties->will_delay_s : 0,
        .expiry_s = properties->message_expiry_s,
        .to = topic.to,
        .key = topic.key,
        .properties = bytes_of(forwarded->data, (uint32_t)forwarded->len),
        .payload = connect->will_payload,
    };
    c->client->will = buf_ok(forwarded) ? will_create(&will) : NULL;
    if (c->client->will == NULL)
        return refuse(MQTT_SERVER_BUSY, "out of memory");
    return NO_REFUSAL;
}

/* The user property `state` (MQTT 5); when repeated, the last one counts. */
static struct refusal take_state(struct conn *c, const struct mqtt_connect *connect)
{
    struct bytes rest = connect->properties.all, name, value;
    struct client *client = c->client;

    while (c->level == MQTT_5 && mqtt_user_property_next(&rest, &name, &value) == 1) {
        if (!bytes_equal_string(name, "state"))
            continue;
        if (device_state_parse(value, &client->device_state, &client->lease_s) < 0)
            return refuse(
                MQTT_IMPLEMENTATION_SPECIFIC,
                "user property state is not foreground, background or background SECONDS");
    }
    if (client->lease_s > 0)
        client->lease_until_ms = loop_now_ms(c->connector->loop) + (uint64_t)client->lease_s * 1000;
    return NO_REFUSAL;
}

static void take_limits(struct conn *c, const struct mqtt_connect *connect)
{
    const struct mqtt_properties *properties = &connect->properties;
    uint32_t max_keep_alive_s = c->connector->options.max_keep_alive_s;
    struct client *client = c->client;

    client->keep_alive_s = connect->keep_alive_s;
    client->receive_max = UINT16_MAX; /* both versions, when nothing is said */
    if (c->level == MQTT_311) {
        client->session_expiry_s = connect->clean_start ? 0 : UINT32_MAX;
        client->asked_expiry = !connect->clean_start;
        if (client->keep_alive_s == 0)
            c->transport.ops->probe_idle(&c->transport);
        return;
    }
    if ((properties->present & MQTT_HAS_SESSION_EXPIRY) != 0)
        client->session_expiry_s = properties->session_expiry_s;
    client->asked_expiry = client->session_expiry_s != 0;
    if ((properties->present & MQTT_HAS_RECEIVE_MAX) != 0)
        client->receive_max = properties->receive_max;
    if (client->keep_alive_s == 0 || client->keep_alive_s > max_keep_alive_s) {
        client->keep_alive_s = (uint16_t)max_keep_alive_s;
        client->keep_alive_changed = true;
    }
}

static struct refusal take_connect(struct conn *c, const struct mqtt_connect *connect)
{
    struct refusal refusal = check_packet_size(c);

    if (refusal.reason == MQTT_SUCCESS)
        refusal = check_address(c);
    if (refusal.reason == MQTT_SUCCESS)
        refusal = check_names(connect);
    if (refusal.reason != MQTT_SUCCESS)
        return refusal;
    c->client = client_create(connect);
    if (c->client == NULL)
        return refuse(MQTT_SERVER_BUSY, "out of memory");
    refusal = check_token(c, connect);
    if (refusal.reason == MQTT_SUCCESS)
        refusal = check_rate(c);
    if (refusal.reason == MQTT_SUCCESS && connect->has_will)
        refusal = take_will(c, connect);
    if (refusal.reason == MQTT_SUCCESS)
        refusal = take_state(c, connect);
    if (refusal.reason == MQTT_SUCCESS)
        take_limits(c, connect);
    /* OPEN has the Will in it, and who comes and goes could fill the link with them. */
    if (refusal.reason == MQTT_SUCCESS &&
        broker_congested(brokers_of(c->connector->brokers, connect->username)))
        return refuse(MQTT_SERVER_BUSY, "the broker is behind");
    return refusal;
}

void handle_connect(struct conn *c, const struct mqtt_connect *connect)
{
    struct connector *connector = c->connector;
    struct refusal refusal;

    c->level = connect->level;
    if (c->level == MQTT_5) {
        if ((connect->properties.present & MQTT_HAS_MAX_PACKET) != 0)
            c->max_packet_bytes = connect->properties.max_packet_size;
        c->terse = connect->properties.request_problem_information == 0;
    }
    refusal = take_connect(c, connect);
    if (refusal.reason != MQTT_SUCCESS) {
        connect_refuse(c, refusal.reason, refusal.text);
        return;
    }
    conn_set_state(&connector->conns->lists, c, CONN_OPENING);
    loop_timer_add(connector->loop, &c->timer, connector->options.open_ms);
    session_open(c);
}
