/* What reason codes are called, and what is left of them for a 3.1.1 client. */
#include "connector/mqtt_codec.h"

#include "common/auto.h"

#include <stddef.h>

/* CONNACK return codes (MQTT 3.1.1 table 3.1). */
enum code_311 {
    CODE_ACCEPTED = 0,
    CODE_LEVEL = 1,
    CODE_IDENTIFIER = 2,
    CODE_UNAVAILABLE = 3,
    CODE_CREDENTIALS = 4,
    CODE_NOT_AUTHORIZED = 5
};

uint8_t mqtt_connack_code_311(uint8_t reason)
{
    switch (reason) {
    case MQTT_SUCCESS:
        return CODE_ACCEPTED;
    case MQTT_UNSUPPORTED_VERSION:
        return CODE_LEVEL;
    case MQTT_CLIENT_ID_NOT_VALID:
        return CODE_IDENTIFIER;
    case MQTT_BAD_CREDENTIALS:
        return CODE_CREDENTIALS;
    case MQTT_UNSPECIFIED_ERROR: /* from here on: the server's trouble, a later try may do */
    case MQTT_IMPLEMENTATION_SPECIFIC:
    case MQTT_SERVER_UNAVAILABLE:
    case MQTT_SERVER_BUSY:
    case MQTT_SERVER_SHUTTING_DOWN:
    case MQTT_RATE_TOO_HIGH:
    case MQTT_QUOTA_EXCEEDED:
    case MQTT_USE_ANOTHER_SERVER:
    case MQTT_SERVER_MOVED:
    case MQTT_CONNECTION_RATE_EXCEEDED:
        return CODE_UNAVAILABLE;
    default: /* this CONNECT will not be accepted, however often it is sent */
        return CODE_NOT_AUTHORIZED;
    }
}

/* Names of MQTT 5.0 table 2-6; gaps are NULL. */
static const char *const reason_texts[] = {
    [MQTT_SUCCESS] = "success",
    [0x01] = "granted QoS 1",
    [0x02] = "granted QoS 2",
    [MQTT_DISCONNECT_WITH_WILL] = "disconnect with Will Message",
    [MQTT_NO_MATCHING_SUBSCRIBERS] = "no matching subscribers",
    [MQTT_NO_SUBSCRIPTION_EXISTED] = "no subscription existed",
    [0x18] = "continue authentication",
    [0x19] = "re-authenticate",
    [MQTT_UNSPECIFIED_ERROR] = "unspecified error",
    [MQTT_MALFORMED_PACKET] = "malformed packet",
    [MQTT_PROTOCOL_ERROR] = "protocol error",
    [MQTT_IMPLEMENTATION_SPECIFIC] = "implementation specific error",
    [MQTT_UNSUPPORTED_VERSION] = "unsupported protocol version",
    [MQTT_CLIENT_ID_NOT_VALID] = "client identifier not valid",
    [MQTT_BAD_CREDENTIALS] = "bad user name or password",
    [MQTT_NOT_AUTHORIZED] = "not authorized",
    [MQTT_SERVER_UNAVAILABLE] = "server unavailable",
    [MQTT_SERVER_BUSY] = "server busy",
    [MQTT_BANNED] = "banned",
    [MQTT_SERVER_SHUTTING_DOWN] = "server shutting down",
    [MQTT_BAD_AUTH_METHOD] = "bad authentication method",
    [MQTT_KEEP_ALIVE_TIMEOUT] = "keep alive timeout",
    [MQTT_SESSION_TAKEN_OVER] = "session taken over",
    [MQTT_FILTER_INVALID] = "topic filter invalid",
    [MQTT_TOPIC_INVALID] = "topic name invalid",
    [MQTT_PACKET_ID_IN_USE] = "packet identifier in use",
    [MQTT_PACKET_ID_NOT_FOUND] = "packet identifier not found",
    [MQTT_RECEIVE_MAX_EXCEEDED] = "Receive Maximum exceeded",
    [MQTT_TOPIC_ALIAS_INVALID] = "Topic Alias invalid",
    [MQTT_PACKET_TOO_LARGE] = "packet too large",
    [MQTT_RATE_TOO_HIGH] = "message rate too high",
    [MQTT_QUOTA_EXCEEDED] = "quota exceeded",
    [MQTT_ADMINISTRATIVE_ACTION] = "administrative action",
    [MQTT_PAYLOAD_FORMAT_INVALID] = "payload format invalid",
    [MQTT_RETAIN_NOT_SUPPORTED] = "retain not supported",
    [MQTT_QOS_NOT_SUPPORTED] = "QoS not supported",
    [MQTT_USE_ANOTHER_SERVER] = "use another server",
    [MQTT_SERVER_MOVED] = "server moved",
    [MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED] = "shared subscriptions not supported",
    [MQTT_CONNECTION_RATE_EXCEEDED] = "connection rate exceeded",
    [MQTT_MAXIMUM_CONNECT_TIME] = "maximum connect time",
    [MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED] = "subscription identifiers not supported",
    [MQTT_WILDCARDS_NOT_SUPPORTED] = "wildcard subscriptions not supported",
};

const char *mqtt_reason_text(uint8_t reason)
{
    if (reason >= ARRAY_LEN(reason_texts) || reason_texts[reason] == NULL)
        return "unknown reason";
    return reason_texts[reason];
}
