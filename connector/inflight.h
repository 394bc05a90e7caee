/* inflight - what was PUBLISHed to one client with QoS 1 and not acknowledged yet: one of messages,
 * one of notifications, which have their own order and their own identifiers.
 *
 * A sorted ring of sequences, allocated only while something is in flight. A PUBACK
 * normally matches the oldest entry, O(1); one out of order is searched for (the window is some
 * hundred entries). Packet identifiers are computed, not stored: 1 + (2 * seq + notification) mod
 * 65534. Loop thread only. */
#ifndef BECKON_CONNECTOR_INFLIGHT_H
#define BECKON_CONNECTOR_INFLIGHT_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct inflight {
    uint64_t acked_seq; /* everything sent up to here is acknowledged */
    uint64_t *entries;  /* NULL when nothing is in flight */
    uint16_t head, count;
    uint16_t mask; /* capacity - 1 */
    uint16_t open; /* of count: not acknowledged, not even beyond a gap */
};

/* The capacity never passes this: packet identifiers must stay unique, and a broker's window is
 * at most 16,384. */
#define INFLIGHT_MAX 16384

void inflight_fini(struct inflight *inflight);
uint16_t inflight_packet_id(uint64_t seq, bool notification);
/* Which of the two an identifier belongs to. */
bool inflight_is_notification(uint16_t packet_id);
/* 0; ERR_EXISTS when it is in flight, or acknowledged beyond a gap, on this connection already;
 * ERR_NO_MEMORY; ERR_FULL. */
MUST_CHECK int inflight_add(struct inflight *inflight, uint64_t seq);
/* 0; ERR_NOT_FOUND when no delivery with that identifier waits. */
MUST_CHECK int inflight_ack(struct inflight *inflight, bool notification, uint16_t packet_id);
/* Fills seqs with what is acknowledged beyond a gap (acknowledged) or not acknowledged
 * (!acknowledged), ascending. Returns how many, at most INFLIGHT_MAX: seqs must have room. */
uint16_t inflight_list(const struct inflight *inflight, bool acknowledged, uint64_t *seqs);

#endif
