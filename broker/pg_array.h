/* pg_array - PostgreSQL's binary array format for parameters, and big-endian readers for results.
 * A multi-row statement takes one array a column (unnest), so the database sees one statement a
 * batch. PostgreSQL: src/backend/utils/adt/arrayfuncs.c, array_recv. No state. */
#ifndef BECKON_BROKER_PG_ARRAY_H
#define BECKON_BROKER_PG_ARRAY_H

#include "common/buf.h"
#include "common/err.h"
#include "common/mid.h"

#include <libpq-fe.h>

/* Type OIDs, fixed in PostgreSQL's catalog (pg_type.dat). */
enum pg_oid {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TIMESTAMPTZ = 1184,
    PG_UUID = 2950
};

/* One column. The buffer keeps its memory from batch to batch. */
struct pg_array {
    struct buf buf;
    uint32_t count;
};

void pg_array_begin(struct pg_array *array, enum pg_oid element);
void pg_array_null(struct pg_array *array);
void pg_array_bool(struct pg_array *array, bool value);
void pg_array_int2(struct pg_array *array, int16_t value);
void pg_array_int4(struct pg_array *array, int32_t value);
void pg_array_int8(struct pg_array *array, int64_t value);
void pg_array_bytes(struct pg_array *array, struct bytes value); /* text, bytea */
void pg_array_mid(struct pg_array *array, const struct mid *mid);
/* Milliseconds since the Unix epoch. */
void pg_array_time(struct pg_array *array, uint64_t unix_ms);
/* Writes the element count into the header; afterwards buf holds the parameter. */
void pg_array_end(struct pg_array *array);
/* The elements of from, first and later, in place of what is in to. Both may have been ended.
 * ERR_NO_MEMORY: to holds nothing of use. */
MUST_CHECK int pg_array_copy(const struct pg_array *from, uint32_t first, struct pg_array *to);
/* Keeps that many. */
void pg_array_truncate(struct pg_array *array, uint32_t count);
/* An element of PG_INT8. */
int64_t pg_array_at(const struct pg_array *array, uint32_t index);
void pg_array_fini(struct pg_array *array);

/* Result readers: binary format, caller knows the column's type. NULL reads as 0 / empty. */
int64_t pg_get_int8(const PGresult *result, int row, int column);
int32_t pg_get_int4(const PGresult *result, int row, int column);
int16_t pg_get_int2(const PGresult *result, int row, int column);
bool pg_get_bool(const PGresult *result, int row, int column);
struct bytes pg_get_bytes(const PGresult *result, int row, int column);
/* Milliseconds since the Unix epoch, 0 for NULL. */
uint64_t pg_get_time(const PGresult *result, int row, int column);

#endif
