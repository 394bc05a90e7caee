/* pubacks - the order of one client's PUBACKs.
 *
 * A client gets its PUBACKs in the order of its PUBLISHes (MQTT-4.6.0-2; in 3.1.1 the same number),
 * whatever the order of the answers: the broker may have to read one recipient from the database
 * and not another, and a refusal is known at once. A ring of what is owed, oldest first, allocated
 * only while something is owed. Loop thread only. */
#ifndef BECKON_CONNECTOR_PUBACKS_H
#define BECKON_CONNECTOR_PUBACKS_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct puback_owed {
    const char *text; /* constant Reason String, or NULL */
    uint16_t packet_id;
    uint8_t reason;
    bool answered;
};

/* One allocation, a pointer in struct conn: NULL when nothing is owed. */
struct pubacks {
    uint32_t first;       /* position of the oldest; positions count up */
    uint16_t head, count; /* count is never 0 */
    uint16_t mask;        /* capacity - 1 */
    struct puback_owed ring[];
};

static inline uint16_t pubacks_count(const struct pubacks *pubacks)
{
    return pubacks != NULL ? pubacks->count : 0;
}
/* A PUBLISH came. 0 and its position; ERR_NO_MEMORY. */
MUST_CHECK int pubacks_expect(struct pubacks **pubacks, uint16_t packet_id, uint32_t *ret_position);
/* The client repeats a PUBLISH that is still owed its PUBACK. */
bool pubacks_owes(const struct pubacks *pubacks, uint16_t packet_id);
/* The answer to the PUBLISH at position is known. text is borrowed for ever (a constant). */
void pubacks_answer(struct pubacks *pubacks, uint32_t position, uint8_t reason, const char *text);
/* Takes the oldest, if its answer is known; frees the ring with the last. */
bool pubacks_next(struct pubacks **pubacks, struct puback_owed *ret_owed);

#endif
