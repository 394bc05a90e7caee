/* json_fields - a JSON object that somebody sent, read by a table of the keys it may have.
 * Pure. */
#ifndef BECKON_APNS_SIMULATOR_JSON_FIELDS_H
#define BECKON_APNS_SIMULATOR_JSON_FIELDS_H

#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_field_type { FIELD_BOOL, FIELD_UINT, FIELD_TEXT };

struct json_field {
    const char *name;
    enum json_field_type type;
    void *value;       /* bool *, uint64_t * or char[max + 1] */
    bool *set;         /* told whether the key was there; may be NULL */
    uint64_t min, max; /* FIELD_UINT inclusive; FIELD_TEXT: max is the longest text, in bytes */
};

/* What et's text is about. */
struct json_problem {
    char key[64]; /* "" when no key is to blame */
    struct err_text text;
};

/* Parses text and fills the fields that are there; the others are left as they are. ERR_INVALID
 * with ret_problem (then some fields may have been filled), ERR_NO_MEMORY. */
MUST_CHECK int json_fields_read(const char *text, size_t len, const struct json_field *fields,
                                size_t count, struct json_problem *ret_problem);
/* Always ERR_INVALID, for checks that no table can make. */
int json_problem_set(struct json_problem *problem, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
