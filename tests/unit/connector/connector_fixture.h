/* connector_fixture - a whole connector but its listener, in the test's process and thread: clients
 * come over socket pairs, and the test plays the broker on a ROUTER. Everything waits for events by
 * turning the loop, with a deadline. */
#ifndef BECKON_TESTS_CONNECTOR_FIXTURE_H
#define BECKON_TESTS_CONNECTOR_FIXTURE_H

#include "common/wire.h"

#include "connector/connector.h"
#include "connector/mqtt_codec.h"

extern struct connector connector;
extern size_t largest_frame; /* that the router received */

/* Checked fixture. The link is not up yet. */
void connector_set_up(void);
void connector_tear_down(void);

/* The broker. */

/* The next record that is not PING; it must be of that type. Borrows until the next call. */
const struct wire_record *expect_record(enum wire_type type);
/* Takes HELLO, answers WELCOME. */
void welcome(uint32_t credit);
/* The same, and does not wait for it to be read. */
void answer_hello(uint32_t credit);
/* The generation of the frame that the last record was in. */
uint64_t frame_generation(void);
/* No record comes. */
void expect_nothing(void);

/* Several brokers: each is a ROUTER, and all of this is about the one that is played now; at first
 * that is broker/0, the only member, in generation 1. broker/0 is in the configuration. */
#define PLAYED_BROKERS 3
void play(unsigned broker);
/* What WELCOME, MEMBERS and the frames of all say from now on. bits: 1 << broker. */
void set_members(uint64_t new_generation, unsigned bits);
void tell_members(void);
/* That broker is where another one was: the lists say so from now on, and it says its name there.
 */
void put_elsewhere(unsigned broker, unsigned at);

/* A frame to fill and to send to the connector that said HELLO. */
struct buf *frame_begin(void);
void frame_send(void);
void send_opened(uint64_t conn, uint64_t epoch);
void send_published(uint64_t token, uint8_t reason);
void send_deliver(uint64_t conn, uint64_t seq, const char *payload);

/* Refuses the connector, which then makes the link anew and says everything again. */
void break_link(void);
/* The next record is an ACK of that. */
void expect_ack(uint64_t acked_seq, uint16_t more);

/* Clients. */

/* Returns the client's end of a new connection. */
int client_connect(void);
/* Appends packets to out. */
void put_connect(struct buf *out, uint8_t level, const char *device, const char *will_topic);
void put_publish_qos1(struct buf *out, uint8_t level, const char *topic, uint16_t packet_id,
                      bool dup);
void put_publish_text(struct buf *out, uint8_t level, const char *topic, const char *payload,
                      uint16_t packet_id);
void put_inbox_subscribe(struct buf *out, uint8_t level, uint16_t packet_id);
void put_puback(struct buf *out, uint16_t packet_id);
void put_ping(struct buf *out);
void put_disconnect(struct buf *out);
/* Sends and empties out. */
void client_send(int fd, struct buf *out);
/* The next packet, whole; it must be of that type. Borrows until the next call. */
struct bytes expect_packet(int fd, enum mqtt_type type);
/* The next packet is a message of alice with that identifier. */
void expect_delivery(int fd, uint16_t packet_id);
/* The server closed the stream, with nothing before it. */
void expect_end(int fd);
/* CONNECT to CONNACK, as a device of bob. Returns its handle. */
uint64_t client_open(int fd, uint8_t level, const char *device, uint64_t epoch);

/* Turns the loop until *counter is at least value. */
void await_count(const uint64_t *counter, uint64_t value);

#endif
