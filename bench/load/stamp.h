/* stamp - what each payload begins with, so that whoever receives it can check it. */
#ifndef BECKON_BENCH_LOAD_STAMP_H
#define BECKON_BENCH_LOAD_STAMP_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define STAMP_BYTES 24

struct stamp {
    uint32_t stream; /* of which sequence it is; what that is, the scenario says */
    uint32_t run;    /* what an earlier run left in an inbox is not ours */
    uint64_t seq;
    uint64_t due_ns;
};

/* Overwrites the first STAMP_BYTES of payload. */
void stamp_put(uint8_t *payload, const struct stamp *stamp);
/* False when it is not of that run. */
bool stamp_take(struct bytes payload, uint32_t run, struct stamp *ret);

#endif
