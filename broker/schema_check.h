/* schema_check - what a broker does with the database before its loop starts: the version gate, the
 * new generation of ownership, the partitions of this week. Blocking, at start only. */
#ifndef BECKON_BROKER_SCHEMA_CHECK_H
#define BECKON_BROKER_SCHEMA_CHECK_H

#include "common/err.h"

#include <stdint.h>

/* Waits for the database as long as it is away (a line in the log every few seconds), then checks
 * and claims. 0 and *ret_generation; ERR_VERSION (schema older or newer than this program) or
 * ERR_DATABASE, with et saying what was expected. */
MUST_CHECK int schema_claim(const char *dsn, uint64_t *ret_generation, struct err_text *et);

#endif
