/* fake_transport - a transport that gives and takes what the test allows. It holds its caller to
 * the table's rule: what was refused is offered again first. One at a time. */
#ifndef BECKON_TESTS_UNIT_CONNECTOR_FAKE_TRANSPORT_H
#define BECKON_TESTS_UNIT_CONNECTOR_FAKE_TRANSPORT_H

#include "common/buf.h"

#include "connector/transport.h"

#define FAKE_FD 7 /* of no meaning */

struct fake_transport {
    struct buf input;                  /* what the peer sends */
    size_t read_at;                    /* of input: read so far */
    size_t read_limit;                 /* bytes that one read gives at most */
    bool ended;                        /* the peer sends no more than input */
    struct buf output;                 /* what was written */
    size_t allowed;                    /* bytes it still takes */
    struct buf refused;                /* what a write was told ERR_AGAIN for */
    unsigned writes, finishes, closes; /* calls */
};

extern struct fake_transport fake;

void fake_transport_init(struct transport *t);
void fake_transport_fini(void);

#endif
