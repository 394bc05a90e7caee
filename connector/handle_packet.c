/* handle_packet - decodes a packet and gives it to its handler. The first packet is special: only a
 * CONNECT gets an answer, everything else just ends the connection. */
#include "connector/handle.h"

#include "connector/conn.h"

static void handle_first(struct conn *c, int err, bool is_connect, const struct mqtt_packet *packet,
                         const struct mqtt_fault *fault)
{
    if (err == ERR_VERSION) {
        /* Each side of our versions gets the form it may understand. */
        c->level = packet->connect.level < MQTT_311 ? MQTT_311 : MQTT_5;
        connect_refuse(c, MQTT_UNSUPPORTED_VERSION, "unsupported protocol version");
    } else if (err < 0 && is_connect && packet->connect.level == MQTT_5) {
        c->level = MQTT_5; /* a client that speaks MQTT 5 so far is told (MQTT 5.0 section 4.13) */
        connect_refuse(c, fault->reason, fault->text);
    } else if (err < 0) {
        conn_close(c, CLOSE_BAD_START, fault);
    } else {
        handle_connect(c, &packet->connect);
    }
}

void handle_bad_header(struct conn *c, int err)
{
    static const struct mqtt_fault not_connect = {MQTT_PROTOCOL_ERROR, "MQTT-3.1.0-1",
                                                  "the first packet is not CONNECT"};
    static const struct mqtt_fault too_large = {MQTT_PACKET_TOO_LARGE, "MQTT-3.2.2-15",
                                                "packet above the server's Maximum Packet Size"};
    static const struct mqtt_fault malformed = {MQTT_MALFORMED_PACKET, "MQTT-1.5.5-1",
                                                "malformed Remaining Length"};
    const struct mqtt_fault *fault = err == ERR_TOO_LARGE ? &too_large : &malformed;

    if (c->state == CONN_AWAIT_CONNECT)
        conn_close(c, CLOSE_BAD_START, err < 0 ? fault : &not_connect);
    else
        conn_close(c, CLOSE_FAULT, fault);
}

/* What a client that is about to be disconnected has to ask the next connector: unanswered, as if
 * it had come a moment later. */
static bool begins_something(enum mqtt_type type)
{
    return type == MQTT_PUBLISH || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE;
}

bool handle_packet(struct conn *c, struct bytes data)
{
    static const struct mqtt_fault second_connect = {MQTT_PROTOCOL_ERROR, "MQTT-3.1.0-2",
                                                     "a second CONNECT"};
    static const struct mqtt_fault unexpected = {MQTT_PROTOCOL_ERROR, "section 4.13",
                                                 "a packet this session has no use for"};
    struct mqtt_packet packet;
    struct mqtt_fault fault = {0};
    int r = mqtt_decode(data, c->level, &packet, &fault);

    if (c->state == CONN_AWAIT_CONNECT) {
        handle_first(c, r, data.data[0] >> 4 == MQTT_CONNECT, &packet, &fault);
        return true;
    }
    if (r < 0) {
        conn_close(c, CLOSE_FAULT, &fault);
        return true;
    }
    if (c->state == CONN_LEAVING && begins_something(packet.type)) {
        c->connector->metrics.drain_ignored++;
        return true;
    }
    switch (packet.type) {
    case MQTT_PUBLISH:
        return handle_publish(c, &packet.publish);
    case MQTT_PUBACK:
        handle_puback(c, &packet.puback);
        return true;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        return handle_subscribe(c, &packet.subscribe);
    case MQTT_PINGREQ:
        handle_ping(c);
        return true;
    case MQTT_DISCONNECT:
        handle_disconnect(c, &packet.disconnect);
        return true;
    case MQTT_CONNECT:
        conn_close(c, CLOSE_FAULT, &second_connect);
        return true;
    default: /* QoS 2 is never in use, and no authentication method was agreed on */
        conn_close(c, CLOSE_FAULT, &unexpected);
        return true;
    }
}
