/* handle - what happens with each packet of a client and each record of the broker: one file a
 * packet, handle_packet.c and handle_record.c choose among them. Loop thread only. */
#ifndef BECKON_CONNECTOR_HANDLE_H
#define BECKON_CONNECTOR_HANDLE_H

#include "common/topic.h"
#include "common/wire.h"

#include "connector/mqtt_codec.h"

struct broker;
struct conn;

/* One whole packet. False: it can't be handled until the broker answers something; the connection
 * is stalled and the caller keeps the packet. */
MUST_CHECK bool handle_packet(struct conn *c, struct bytes data);
/* What came can't be a packet (err: what mqtt_packet_size said) or can't be the first one. */
void handle_bad_header(struct conn *c, int err);

/* As handle_packet. */
MUST_CHECK bool handle_publish(struct conn *c, const struct mqtt_publish *publish);
MUST_CHECK bool handle_subscribe(struct conn *c, const struct mqtt_subscribe *subscribe);
void handle_connect(struct conn *c, const struct mqtt_connect *connect);
void handle_puback(struct conn *c, const struct mqtt_puback *puback);
void handle_ping(struct conn *c);
void handle_disconnect(struct conn *c, const struct mqtt_disconnect *disconnect);

/* Ends a connection that was not open yet, with CONNACK. */
void connect_refuse(struct conn *c, uint8_t reason, const char *text);
/* CONNACK 0. The state is CONN_ACTIVE already. */
void connect_accept(struct conn *c, bool session_present, uint32_t granted_expiry_s);

/* What a publish is refused with. reason 0: it is not. */
struct refusal {
    uint8_t reason;
    const char *text; /* constant */
};
struct refusal me_token(struct conn *c, struct bytes payload);
/* me/state, me/push, me/read, me/shown are checked here and answered by the broker. */
enum me_result {
    ME_REFUSED,   /* *ret_refusal says why */
    ME_FORWARDED, /* the broker's answer becomes the PUBACK */
    ME_STALLED    /* no room for a request: the caller keeps the packet */
};
MUST_CHECK enum me_result me_forward(struct conn *c, const struct mqtt_publish *publish,
                                     enum topic_kind kind, struct refusal *ret_refusal);
/* What the broker's refusal of such a request means, for the Reason String; NULL: nothing known. */
const char *me_reason_text(enum wire_type type, uint8_t reason);
/* MQTT 5 Payload Format Indicator 1 promises UTF-8 (section 3.3.2.3.2). */
bool payload_format_valid(const struct mqtt_properties *properties, struct bytes payload);

/* A record of a broker. */
void handle_record(struct broker *broker, const struct wire_record *record);
void publish_on_published(struct broker *broker, const struct wire_published *published);
void subscribe_on_suback(struct broker *broker, const struct wire_suback *suback);
void deliver_message(struct broker *broker, const struct wire_deliver *deliver);
void deliver_live(struct broker *broker, const struct wire_live *live);
/* The client acknowledged something: what had to wait for that goes out. */
void deliver_held(struct conn *c);

#endif
