/* schema_check - what a broker does with the database before its loop starts: the version gate, its
 * clock, the partitions of the next days. Blocking, at start only.
 */
#ifndef BECKON_BROKER_SCHEMA_CHECK_H
#define BECKON_BROKER_SCHEMA_CHECK_H

#include "common/err.h"

struct broker;

/* Waits for the database as long as it is away (a line in the log every few seconds), then checks
 * and sets the broker's clock_ahead_ms. ERR_VERSION (schema older or newer
 * than this program) or ERR_DATABASE, with et saying what was expected. */
MUST_CHECK int schema_prepare(struct broker *broker, struct err_text *et);

#endif
