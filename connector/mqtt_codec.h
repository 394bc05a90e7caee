/* mqtt_codec - MQTT 3.1.1 and 5.0 packets <-> structs. Bytes in, bytes out: no socket, no clock,
 * no allocation but the output buffer's growth.
 *
 * Decodes what a client sends to a server and encodes what a server sends to a client. What breaks
 * the specification comes back as a struct mqtt_fault: the reason code to end the connection with,
 * the clause, and a phrase for the log. Decoded structs borrow from the input. Policy (which
 * topics, which limits, what a session may do) is the handlers' business; the codec refuses only
 * what the specification's format rules and the server's fixed capabilities refuse. */
#ifndef BECKON_CONNECTOR_MQTT_CODEC_H
#define BECKON_CONNECTOR_MQTT_CODEC_H

#include "common/buf.h"
#include "common/bytes.h"
#include "common/err.h"

enum mqtt_type { /* MQTT 5.0 section 2.1.2 */
                 MQTT_CONNECT = 1,
                 MQTT_CONNACK,
                 MQTT_PUBLISH,
                 MQTT_PUBACK,
                 MQTT_PUBREC,
                 MQTT_PUBREL,
                 MQTT_PUBCOMP,
                 MQTT_SUBSCRIBE,
                 MQTT_SUBACK,
                 MQTT_UNSUBSCRIBE,
                 MQTT_UNSUBACK,
                 MQTT_PINGREQ,
                 MQTT_PINGRESP,
                 MQTT_DISCONNECT,
                 MQTT_AUTH
};

enum mqtt_level { MQTT_311 = 4, MQTT_5 = 5 };

enum mqtt_reason { /* MQTT 5.0 section 2.4 */
                   MQTT_SUCCESS = 0x00,
                   MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
                   MQTT_NO_SUBSCRIPTION_EXISTED = 0x11,
                   MQTT_DISCONNECT_WITH_WILL = 0x04,
                   MQTT_UNSPECIFIED_ERROR = 0x80,
                   MQTT_MALFORMED_PACKET = 0x81,
                   MQTT_PROTOCOL_ERROR = 0x82,
                   MQTT_IMPLEMENTATION_SPECIFIC = 0x83,
                   MQTT_UNSUPPORTED_VERSION = 0x84,
                   MQTT_CLIENT_ID_NOT_VALID = 0x85,
                   MQTT_BAD_CREDENTIALS = 0x86,
                   MQTT_NOT_AUTHORIZED = 0x87,
                   MQTT_SERVER_UNAVAILABLE = 0x88,
                   MQTT_SERVER_BUSY = 0x89,
                   MQTT_BANNED = 0x8A,
                   MQTT_SERVER_SHUTTING_DOWN = 0x8B,
                   MQTT_BAD_AUTH_METHOD = 0x8C,
                   MQTT_KEEP_ALIVE_TIMEOUT = 0x8D,
                   MQTT_SESSION_TAKEN_OVER = 0x8E,
                   MQTT_FILTER_INVALID = 0x8F,
                   MQTT_TOPIC_INVALID = 0x90,
                   MQTT_PACKET_ID_IN_USE = 0x91,
                   MQTT_PACKET_ID_NOT_FOUND = 0x92,
                   MQTT_RECEIVE_MAX_EXCEEDED = 0x93,
                   MQTT_TOPIC_ALIAS_INVALID = 0x94,
                   MQTT_PACKET_TOO_LARGE = 0x95,
                   MQTT_RATE_TOO_HIGH = 0x96,
                   MQTT_QUOTA_EXCEEDED = 0x97,
                   MQTT_ADMINISTRATIVE_ACTION = 0x98,
                   MQTT_PAYLOAD_FORMAT_INVALID = 0x99,
                   MQTT_RETAIN_NOT_SUPPORTED = 0x9A,
                   MQTT_QOS_NOT_SUPPORTED = 0x9B,
                   MQTT_USE_ANOTHER_SERVER = 0x9C,
                   MQTT_SERVER_MOVED = 0x9D,
                   MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E,
                   MQTT_CONNECTION_RATE_EXCEEDED = 0x9F,
                   MQTT_MAXIMUM_CONNECT_TIME = 0xA0,
                   MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1,
                   MQTT_WILDCARDS_NOT_SUPPORTED = 0xA2
};

/* Why a packet was refused. */
struct mqtt_fault {
    uint8_t reason;     /* enum mqtt_reason */
    const char *clause; /* "MQTT-3.1.2-3", or a section "2.2.2.2"; never NULL when reason is set */
    const char *text;   /* constant phrase for the log and the Reason String */
};

/* The length of the packet that starts at data.
 * Returns 1 and *ret_size (the whole packet, header included) once the fixed header is complete, 0
 * while it is not, ERR_MALFORMED (Remaining Length over four bytes, MQTT-1.5.5-1), or ERR_TOO_LARGE
 * when the packet is above max_size. */
MUST_CHECK int mqtt_packet_size(struct bytes data, uint32_t max_size, uint32_t *ret_size);

/* Properties of one packet that Beckon acts on; the flags say which were present. */
enum mqtt_property_flag {
    MQTT_HAS_SESSION_EXPIRY = 1 << 0,
    MQTT_HAS_RECEIVE_MAX = 1 << 1,
    MQTT_HAS_MAX_PACKET = 1 << 2,
    MQTT_HAS_TOPIC_ALIAS = 1 << 3,
    MQTT_HAS_MESSAGE_EXPIRY = 1 << 4,
    MQTT_HAS_SUBSCRIPTION_ID = 1 << 5,
    MQTT_HAS_AUTH_METHOD = 1 << 6,
    MQTT_HAS_PAYLOAD_FORMAT = 1 << 7,
    MQTT_HAS_WILL_DELAY = 1 << 8,
    MQTT_HAS_REASON_STRING = 1 << 9
};
struct mqtt_properties {
    uint32_t present; /* enum mqtt_property_flag */
    uint32_t session_expiry_s;
    uint32_t message_expiry_s;
    uint32_t max_packet_size;
    uint32_t subscription_id;
    uint32_t will_delay_s;
    uint16_t receive_max;
    uint16_t topic_alias;
    uint8_t payload_format;
    uint8_t request_problem_information;  /* default 1 */
    uint8_t request_response_information; /* default 0 */
    struct bytes auth_method;
    struct bytes reason_string;
    struct bytes all; /* the raw properties, without their length: for mqtt_user_property_next */
};

/* Walks user properties. 1 and the pair, 0 at the end. *rest starts as properties.all. */
MUST_CHECK int mqtt_user_property_next(struct bytes *rest, struct bytes *ret_name,
                                       struct bytes *ret_value);
/* Appends to out, unchanged and in order, the properties of a PUBLISH or a Will that travel to the
 * receiver: Payload Format Indicator, Content Type, Response Topic, Correlation Data and all user
 * properties (MQTT 5.0 sections 3.3.2.3, MQTT-3.3.2-17 for the order). */
void mqtt_forward_properties(struct bytes all, struct buf *out);

struct mqtt_connect {
    uint8_t level; /* enum mqtt_level; others come back as a fault 0x84 */
    bool clean_start;
    bool has_will, will_retain, has_username, has_password;
    uint8_t will_qos;
    uint16_t keep_alive_s;
    struct bytes client_id, username, password;
    struct bytes will_topic, will_payload;
    struct mqtt_properties properties, will_properties;
};

struct mqtt_publish {
    bool dup, retain;
    uint8_t qos;        /* 0 to 2; 2 is for the caller to refuse (0x9B) */
    uint16_t packet_id; /* QoS 1, 2 */
    struct bytes topic, payload;
    struct mqtt_properties properties;
};

struct mqtt_puback { /* PUBACK, PUBREC, PUBREL, PUBCOMP */
    uint16_t packet_id;
    uint8_t reason;
    struct mqtt_properties properties;
};

struct mqtt_filter {
    struct bytes filter;
    uint8_t qos;     /* requested */
    uint8_t options; /* No Local, Retain As Published, Retain Handling bits as sent; 0 in 3.1.1 */
};
struct mqtt_subscribe { /* SUBSCRIBE and UNSUBSCRIBE */
    uint16_t packet_id;
    uint16_t count;       /* at least 1 */
    struct bytes filters; /* validated; for mqtt_filter_next */
    bool unsubscribe;
    struct mqtt_properties properties;
};
/* Takes the first filter off `rest` (starts as subscribe.filters). 1, or 0 at the end. */
MUST_CHECK int mqtt_filter_next(const struct mqtt_subscribe *subscribe, struct bytes *rest,
                                struct mqtt_filter *ret_filter);

struct mqtt_disconnect { /* DISCONNECT and AUTH */
    uint8_t reason;
    struct mqtt_properties properties;
};

struct mqtt_packet {
    enum mqtt_type type;
    union {
        struct mqtt_connect connect;
        struct mqtt_publish publish;
        struct mqtt_puback puback;
        struct mqtt_subscribe subscribe;
        struct mqtt_disconnect disconnect;
    };
};

/* Decodes one whole packet (size from mqtt_packet_size). level: the connection's, ignored for
 * CONNECT. 0; ERR_MALFORMED or ERR_PROTOCOL with *ret_fault. A CONNECT of another protocol level
 * gives ERR_VERSION with fault 0x84 and ret_packet->connect.level set, so that the caller can
 * choose the form of CONNACK; of a wrong protocol name, ERR_MALFORMED... with level 0: no CONNACK
 * is owed. Types only a server sends (CONNACK, SUBACK, ...) are ERR_PROTOCOL. */
MUST_CHECK int mqtt_decode(struct bytes packet, uint8_t level, struct mqtt_packet *ret_packet,
                           struct mqtt_fault *ret_fault);

/* The largest CONNACK of an acceptance, and the smallest of a refusal. A client with a Maximum
 * Packet Size below the former can't be served: all that is sent without being held against the
 * limit packet by packet (PUBACK, PINGRESP, DISCONNECT without Reason String) is smaller. */
enum { MQTT_CONNACK_MAX_BYTES = 30, MQTT_CONNACK_MIN_BYTES = 5 };

/* Encoders append one packet to out. level decides the form; v5 reason codes are translated
 * to 3.1.1 by mqtt_connack_code_311 for CONNACK, to 0x80 in SUBACK. */
struct mqtt_connack {
    bool session_present;
    uint8_t reason; /* MQTT 5 code in both versions */
    /* MQTT 5 only; a field is sent when its condition holds. */
    bool send_session_expiry;
    uint32_t session_expiry_s;
    uint16_t receive_max;     /* sent when not 0 */
    uint32_t max_packet_size; /* sent when not 0 */
    bool send_server_keep_alive;
    uint16_t server_keep_alive_s;
    bool capabilities; /* Maximum QoS 1, Retain Available 0, Shared Subscription Available 0, Topic
                          Alias Maximum 0 */
    const char *reason_string; /* NULL = none */
};
void mqtt_put_connack(struct buf *out, uint8_t level, const struct mqtt_connack *connack);
/* 3.1.1 return code for an MQTT 5 reason (MQTT 3.1.1 table 3.1). */
uint8_t mqtt_connack_code_311(uint8_t reason);

struct mqtt_publish_out {
    bool dup;
    uint8_t qos;
    uint16_t packet_id;
    struct bytes topic, payload;
    /* MQTT 5 only: */
    struct bytes properties; /* already encoded, forwarded as they are */
    bool has_expiry;
    uint32_t expiry_s;
    uint32_t subscription_id; /* 0 = none */
};
void mqtt_put_publish(struct buf *out, uint8_t level, const struct mqtt_publish_out *publish);
/* The size mqtt_put_publish would produce, to hold against the client's Maximum Packet Size. */
uint32_t mqtt_publish_size(uint8_t level, const struct mqtt_publish_out *publish);

/* reason_string (may be NULL) is sent only in MQTT 5 with a reason of 0x80 or above. */
void mqtt_put_puback(struct buf *out, uint8_t level, uint16_t packet_id, uint8_t reason,
                     const char *reason_string);
void mqtt_put_suback(struct buf *out, uint8_t level, uint16_t packet_id, struct bytes codes);
void mqtt_put_unsuback(struct buf *out, uint8_t level, uint16_t packet_id, struct bytes codes);
/* The size of an MQTT 5 SUBACK or UNSUBACK with so many codes. */
uint32_t mqtt_suback_size(uint16_t count);
void mqtt_put_pingresp(struct buf *out);
/* MQTT 5 only; nothing in 3.1.1. */
void mqtt_put_disconnect(struct buf *out, uint8_t level, uint8_t reason, const char *reason_string);

/* "Session taken over" etc.; for logs. Never NULL. */
const char *mqtt_reason_text(uint8_t reason);

#endif
