/* mqtt_vectors - the packets of tests/packets/: bytes, and what the decoder has to make of them.
 *
 * A vector is an object: `name`, `level` (of the connection), `hex` (blanks between fields), and
 * either `expect`, the whole decoded packet, or `fault`, the reason code, with `clause`, the rule
 * of the specification. Valid vectors may name a clause for the reader. */
#ifndef BECKON_TESTS_UNIT_CONNECTOR_MQTT_VECTORS_H
#define BECKON_TESTS_UNIT_CONNECTOR_MQTT_VECTORS_H

#include "connector/mqtt_codec.h"

#include <jansson.h>
#include <stddef.h>

struct mqtt_vector {
    char name[128]; /* file and name */
    uint8_t level;
    uint8_t *data; /* of exactly len bytes */
    uint32_t len;
    json_t *expect;     /* NULL when it must be refused; borrowed from the file */
    uint8_t reason;     /* then why */
    const char *clause; /* then not NULL */
};

/* All vectors of all files. Ends the test when a file can't be read. Never freed before
 * vectors_free. */
struct mqtt_vectors {
    struct mqtt_vector *items;
    size_t count;
    json_t *files; /* keeps what the items borrow */
};
void mqtt_vectors_load(struct mqtt_vectors *ret_vectors);
void mqtt_vectors_free(struct mqtt_vectors *vectors);

/* Every decoded field, in the form `expect` has. Text as text, other bytes as "x:HEX". */
json_t *mqtt_packet_to_json(const struct mqtt_packet *packet);

#endif
