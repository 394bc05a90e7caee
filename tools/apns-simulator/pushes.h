/* pushes - the requests that came, for whoever asks at the control door.
 *
 * Numbered from 1 without gaps in order of arrival; the oldest go when there are too many of them
 * or too many bytes. A reader keeps a number, never a pointer, so it may be as slow as it likes.
 * Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_PUSHES_H
#define BECKON_APNS_SIMULATOR_PUSHES_H

#include "answer.h"

#include <jansson.h>
#include <stddef.h>

struct pushes;

struct push {
    uint64_t number;
    uint64_t at_ms; /* wall clock, when the request was complete */
    unsigned status;
    char reason[REASON_TEXT_MAX + 1];
    size_t bytes;        /* what it costs */
    const char *headers; /* JSON, as is payload; all three lie behind the struct */
    const char *payload; /* "null" when it was no JSON object */
    const char *device;  /* as in the path; "" when it had none */
};

/* Returns owned, NULL when out of memory. */
struct pushes *pushes_create(size_t max_pushes, size_t max_bytes);
void pushes_destroy(struct pushes *pushes);
/* Called after each pushes_add, to wake readers. */
void pushes_on_add(struct pushes *pushes, void (*fn)(void *arg), void *arg);

/* Borrows all. payload may be NULL. 0 or ERR_NO_MEMORY. */
MUST_CHECK int pushes_add(struct pushes *pushes, uint64_t at_ms, const char *device,
                          const json_t *headers, const json_t *payload, const struct answer *answer,
                          uint64_t *ret_number);
/* Its answer never went out: status 0 from now on. No effect when it is gone already. */
void pushes_unanswered(struct pushes *pushes, uint64_t number);
void pushes_clear(struct pushes *pushes);
/* The first one with that number or a higher one for that device (NULL or "": any). NULL when there
 * is none. Valid until the next call that changes something. */
const struct push *pushes_next(const struct pushes *pushes, uint64_t number, const char *device);
/* The number that the next one will have. */
uint64_t pushes_end(const struct pushes *pushes);

/* Returns owned JSON text, NULL when out of memory. */
char *push_json(const struct push *push);

#endif
