/* pushes - what was received, in order, for GET /pushes and its stream. Bounded. */
#ifndef BECKON_APNS_SIMULATOR_PUSHES_H
#define BECKON_APNS_SIMULATOR_PUSHES_H

#include "common/err.h"
#include "rules.h"

struct simulator;

MUST_CHECK int pushes_create(struct simulator *simulator);
void pushes_destroy(struct simulator *simulator);
/* Records an answered request; status 0: it was not answered. */
void pushes_add(struct simulator *simulator, const struct request *request, const char *device,
                json_t *payload, unsigned status, const char *reason);
void pushes_clear(struct simulator *simulator);
/* Owned text: a JSON array of those for device (NULL = all). NULL when out of memory. */
char *pushes_json(const struct simulator *simulator, const char *device);
/* The push with that number (they count from 1), as owned text. NULL: there is none yet;
 * *number moves over what was dropped. */
char *pushes_next(const struct simulator *simulator, uint64_t *number);
/* Number of the next one. */
uint64_t pushes_end(const struct simulator *simulator);

#endif
