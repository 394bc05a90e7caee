#include "mqtt_vectors.h"

#include "common/auto.h"
#include "common/utf8.h"

#include <check.h>
#include <stdio.h>

static const char *const vector_files[] = {"acknowledgement", "connect", "disconnect",
                                           "fixed_header",    "publish", "subscribe"};

static uint8_t hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = strchr(digits, c);

    ck_assert_msg(c != '\0' && at != NULL, "not a hex digit: '%c'", c);
    return (uint8_t)(at - digits);
}

static void parse_hex(const char *hex, struct mqtt_vector *vector)
{
    uint8_t scratch[1024];
    uint32_t len = 0;

    for (const char *at = hex; *at != '\0';) {
        if (*at == ' ') {
            at++;
            continue;
        }
        ck_assert_uint_lt(len, sizeof(scratch));
        scratch[len++] = (uint8_t)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
        at += 2;
    }
    /* Exactly as much memory as bytes, for the sanitizer. */
    vector->data = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(vector->data);
    memcpy(vector->data, scratch, len);
    vector->len = len;
}

static void load_vector(const char *file, json_t *json, struct mqtt_vector *ret)
{
    const char *name, *hex, *fault = NULL;
    int level;

    *ret = (struct mqtt_vector){0};
    ck_assert_int_eq(json_unpack(json, "{s:s, s:i, s:s, s?s, s?s, s?o}", "name", &name, "level",
                                 &level, "hex", &hex, "fault", &fault, "clause", &ret->clause,
                                 "expect", &ret->expect),
                     0);
    snprintf(ret->name, sizeof(ret->name), "%s: %s", file, name);
    ck_assert_msg((fault == NULL) == (ret->expect != NULL), "%s: fault or expect", ret->name);
    ck_assert_msg(fault == NULL || ret->clause != NULL, "%s: no clause", ret->name);
    if (fault != NULL)
        ret->reason = (uint8_t)strtoul(fault, NULL, 16);
    ret->level = (uint8_t)level;
    parse_hex(hex, ret);
}

void mqtt_vectors_load(struct mqtt_vectors *ret_vectors)
{
    *ret_vectors = (struct mqtt_vectors){.files = json_array()};
    for (size_t i = 0; i < ARRAY_LEN(vector_files); i++) {
        char path[512];
        json_error_t error;
        json_t *list, *item;
        size_t index;

        snprintf(path, sizeof(path), "%s/packets/%s.json", TEST_SOURCE_DIR, vector_files[i]);
        list = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(json_array_size(list) > 0, "%s:%d: %s", path, error.line, error.text);
        ck_assert_int_eq(json_array_append_new(ret_vectors->files, list), 0);

        ret_vectors->items =
            realloc(ret_vectors->items,
                    (ret_vectors->count + json_array_size(list)) * sizeof(struct mqtt_vector));
        ck_assert_ptr_nonnull(ret_vectors->items);
        json_array_foreach(list, index, item)
            load_vector(vector_files[i], item, &ret_vectors->items[ret_vectors->count++]);
    }
}

void mqtt_vectors_free(struct mqtt_vectors *vectors)
{
    for (size_t i = 0; i < vectors->count; i++)
        free(vectors->items[i].data);
    free(vectors->items);
    json_decref(vectors->files);
    *vectors = (struct mqtt_vectors){0};
}

static json_t *hex_to_json(const char *prefix, struct bytes bytes)
{
    char text[1024];
    int len = snprintf(text, sizeof(text), "%s", prefix);

    ck_assert_uint_lt(bytes.len * 2 + (uint32_t)len, sizeof(text));
    for (uint32_t i = 0; i < bytes.len; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "%02x", bytes.data[i]);
    return json_string(text);
}

static json_t *bytes_to_json(struct bytes bytes)
{
    if (!utf8_valid(bytes))
        return hex_to_json("x:", bytes);
    return json_stringn(bytes.len != 0 ? (const char *)bytes.data : "", bytes.len);
}

static void set(json_t *object, const char *key, json_t *value)
{
    ck_assert_int_eq(json_object_set_new(object, key, value), 0);
}

static void set_number(json_t *object, const char *key, bool present, uint32_t number)
{
    if (present)
        set(object, key, json_integer(number));
}

static void set_user_properties(json_t *object, struct bytes all)
{
    struct bytes rest = all, name, value;
    json_t *list = json_array();

    while (mqtt_user_property_next(&rest, &name, &value) == 1)
        json_array_append_new(list, json_pack("[o, o]", bytes_to_json(name), bytes_to_json(value)));
    if (json_array_size(list) != 0)
        set(object, "user", list);
    else
        json_decref(list);
}

static json_t *properties_to_json(const struct mqtt_properties *p, bool of_connect)
{
    json_t *object = json_object();
    struct buf forward = {0};

    set_number(object, "session_expiry_s", p->present & MQTT_HAS_SESSION_EXPIRY,
               p->session_expiry_s);
    set_number(object, "message_expiry_s", p->present & MQTT_HAS_MESSAGE_EXPIRY,
               p->message_expiry_s);
    set_number(object, "max_packet_size", p->present & MQTT_HAS_MAX_PACKET, p->max_packet_size);
    set_number(object, "subscription_id", p->present & MQTT_HAS_SUBSCRIPTION_ID,
               p->subscription_id);
    set_number(object, "will_delay_s", p->present & MQTT_HAS_WILL_DELAY, p->will_delay_s);
    set_number(object, "receive_max", p->present & MQTT_HAS_RECEIVE_MAX, p->receive_max);
    set_number(object, "topic_alias", p->present & MQTT_HAS_TOPIC_ALIAS, p->topic_alias);
    set_number(object, "payload_format", p->present & MQTT_HAS_PAYLOAD_FORMAT, p->payload_format);
    if (of_connect) { /* no flags: shown when they are not the default */
        set_number(object, "request_problem_information", p->request_problem_information != 1,
                   p->request_problem_information);
        set_number(object, "request_response_information", p->request_response_information != 0,
                   p->request_response_information);
    }
    if ((p->present & MQTT_HAS_AUTH_METHOD) != 0)
        set(object, "auth_method", bytes_to_json(p->auth_method));
    if ((p->present & MQTT_HAS_REASON_STRING) != 0)
        set(object, "reason_string", bytes_to_json(p->reason_string));
    set_user_properties(object, p->all);

    mqtt_forward_properties(p->all, &forward);
    if (forward.len != 0)
        set(object, "forward", hex_to_json("", bytes_of(forward.data, (uint32_t)forward.len)));
    buf_release(&forward);
    return object;
}

static json_t *connect_to_json(const struct mqtt_connect *c)
{
    json_t *object = json_pack("{s:s, s:i, s:b, s:i, s:o, s:o}", "type", "CONNECT", "level",
                               c->level, "clean_start", c->clean_start, "keep_alive_s",
                               c->keep_alive_s, "client_id", bytes_to_json(c->client_id),
                               "properties", properties_to_json(&c->properties, true));

    if (c->has_username)
        set(object, "username", bytes_to_json(c->username));
    if (c->has_password)
        set(object, "password", bytes_to_json(c->password));
    if (c->has_will)
        set(object, "will",
            json_pack("{s:o, s:o, s:i, s:b, s:o}", "topic", bytes_to_json(c->will_topic), "payload",
                      bytes_to_json(c->will_payload), "qos", c->will_qos, "retain", c->will_retain,
                      "properties", properties_to_json(&c->will_properties, false)));
    return object;
}

static json_t *publish_to_json(const struct mqtt_publish *p)
{
    json_t *object = json_pack("{s:s, s:b, s:b, s:i, s:o, s:o, s:o}", "type", "PUBLISH", "dup",
                               p->dup, "retain", p->retain, "qos", p->qos, "topic",
                               bytes_to_json(p->topic), "payload", bytes_to_json(p->payload),
                               "properties", properties_to_json(&p->properties, false));

    set_number(object, "packet_id", p->qos != 0, p->packet_id);
    return object;
}

static json_t *subscribe_to_json(const struct mqtt_subscribe *s)
{
    struct bytes rest = s->filters;
    struct mqtt_filter filter;
    json_t *filters = json_array();

    while (mqtt_filter_next(s, &rest, &filter) == 1) {
        json_t *item = json_pack("{s:o}", "filter", bytes_to_json(filter.filter));
        set_number(item, "qos", !s->unsubscribe, filter.qos);
        set_number(item, "options", !s->unsubscribe, filter.options);
        json_array_append_new(filters, item);
    }
    ck_assert_uint_eq(json_array_size(filters), s->count);
    return json_pack("{s:s, s:i, s:o, s:o}", "type", s->unsubscribe ? "UNSUBSCRIBE" : "SUBSCRIBE",
                     "packet_id", s->packet_id, "filters", filters, "properties",
                     properties_to_json(&s->properties, false));
}

json_t *mqtt_packet_to_json(const struct mqtt_packet *packet)
{
    static const char *const acks[] = {
        [MQTT_PUBACK] = "PUBACK",
        [MQTT_PUBREC] = "PUBREC",
        [MQTT_PUBREL] = "PUBREL",
        [MQTT_PUBCOMP] = "PUBCOMP",
    };

    switch (packet->type) {
    case MQTT_CONNECT:
        return connect_to_json(&packet->connect);
    case MQTT_PUBLISH:
        return publish_to_json(&packet->publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return json_pack("{s:s, s:i, s:i, s:o}", "type", acks[packet->type], "packet_id",
                         packet->puback.packet_id, "reason", packet->puback.reason, "properties",
                         properties_to_json(&packet->puback.properties, false));
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        return subscribe_to_json(&packet->subscribe);
    case MQTT_PINGREQ:
        return json_pack("{s:s}", "type", "PINGREQ");
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        return json_pack("{s:s, s:i, s:o}", "type",
                         packet->type == MQTT_AUTH ? "AUTH" : "DISCONNECT", "reason",
                         packet->disconnect.reason, "properties",
                         properties_to_json(&packet->disconnect.properties, false));
    default:
        ck_abort_msg("type %d was accepted", (int)packet->type);
    }
}
