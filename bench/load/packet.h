/* packet - MQTT 3.1.1 and 5 as a client speaks it: bytes <-> structs, no I/O.
 *
 * On purpose not the connector's codec, so that a mistake there is not made twice. Parses what
 * servers send to clients, and of the properties only those that a load generator heeds; all
 * others are skipped by their lengths. */
#ifndef BECKON_BENCH_LOAD_PACKET_H
#define BECKON_BENCH_LOAD_PACKET_H

#include "common/buf.h"
#include "common/err.h"

enum packet_level { PACKET_LEVEL_311 = 4, PACKET_LEVEL_5 = 5 };

enum packet_type {
    PACKET_CONNECT = 1,
    PACKET_CONNACK = 2,
    PACKET_PUBLISH = 3,
    PACKET_PUBACK = 4,
    PACKET_SUBSCRIBE = 8,
    PACKET_SUBACK = 9,
    PACKET_PINGREQ = 12,
    PACKET_PINGRESP = 13,
    PACKET_DISCONNECT = 14,
};

/* Which fields hold something depends on type; bytes point into what was parsed. */
struct packet {
    enum packet_type type;
    uint32_t size;        /* all of it */
    uint8_t reason;       /* CONNACK, PUBACK, DISCONNECT; of SUBACK the first one */
    bool session;         /* CONNACK: Session Present */
    uint16_t receive_max; /* CONNACK; 65535 when the server does not say */
    uint16_t id;          /* PUBLISH (0 with QoS 0), PUBACK, SUBACK */
    uint8_t qos;          /* PUBLISH */
    bool dup;             /* PUBLISH */
    struct bytes topic, payload;
};

/* The packet at the beginning of data. 1 with *ret; 0 when it is not complete; ERR_MALFORMED. */
MUST_CHECK int packet_parse(struct bytes data, enum packet_level level, struct packet *ret);

struct packet_connect {
    struct bytes client_id;
    struct bytes user, password; /* password only with a user; len 0 = none */
    uint16_t keep_alive_s;
    uint32_t session_expiry_s; /* 0: clean start, and the session ends with the connection */
};

/* Encoders append one packet; buf's `failed` says whether there was memory. */
void packet_put_connect(struct buf *out, enum packet_level level,
                        const struct packet_connect *connect);
void packet_put_subscribe(struct buf *out, enum packet_level level, uint16_t id,
                          struct bytes filter);
/* QoS 1. */
void packet_put_publish(struct buf *out, enum packet_level level, uint16_t id, struct bytes topic,
                        struct bytes payload);
void packet_put_puback(struct buf *out, uint16_t id);
void packet_put_pingreq(struct buf *out);
void packet_put_disconnect(struct buf *out);

#endif
