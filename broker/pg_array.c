/* pg_array - see the header. The array header's fields are: dimensions (1), has-null flag, element
 * type, then for the dimension its size and lower bound; each element is a length and its bytes. */
#include "broker/pg_array.h"

#include <endian.h>

/* PostgreSQL counts microseconds from 2000-01-01 UTC. */
#define PG_EPOCH_UNIX_MS 946684800000LL

enum { OFFSET_HAS_NULL = 4, OFFSET_COUNT = 12, OFFSET_ELEMENTS = 20 };

void pg_array_begin(struct pg_array *array, enum pg_oid element)
{
    buf_clear(&array->buf);
    array->count = 0;
    buf_put_be32(&array->buf, 1);
    buf_put_be32(&array->buf, 0);
    buf_put_be32(&array->buf, element);
    buf_put_be32(&array->buf, 0);
    buf_put_be32(&array->buf, 1);
}

void pg_array_null(struct pg_array *array)
{
    buf_put_be32(&array->buf, UINT32_MAX);
    if (buf_ok(&array->buf))
        array->buf.data[OFFSET_HAS_NULL + 3] = 1;
    array->count++;
}

void pg_array_bool(struct pg_array *array, bool value)
{
    buf_put_be32(&array->buf, 1);
    buf_put_u8(&array->buf, value ? 1 : 0);
    array->count++;
}

void pg_array_int2(struct pg_array *array, int16_t value)
{
    buf_put_be32(&array->buf, 2);
    buf_put_be16(&array->buf, (uint16_t)value);
    array->count++;
}

void pg_array_int4(struct pg_array *array, int32_t value)
{
    buf_put_be32(&array->buf, 4);
    buf_put_be32(&array->buf, (uint32_t)value);
    array->count++;
}

void pg_array_int8(struct pg_array *array, int64_t value)
{
    buf_put_be32(&array->buf, 8);
    buf_put_be64(&array->buf, (uint64_t)value);
    array->count++;
}

void pg_array_bytes(struct pg_array *array, struct bytes value)
{
    buf_put_be32(&array->buf, value.len);
    buf_put(&array->buf, value.data, value.len);
    array->count++;
}

void pg_array_mid(struct pg_array *array, const struct mid *mid)
{
    pg_array_bytes(array, bytes_of(mid->octets, MID_SIZE));
}

void pg_array_time(struct pg_array *array, uint64_t unix_ms)
{
    pg_array_int8(array, ((int64_t)unix_ms - PG_EPOCH_UNIX_MS) * 1000);
}

void pg_array_end(struct pg_array *array)
{
    uint32_t count = htobe32(array->count);

    if (buf_ok(&array->buf))
        memcpy(array->buf.data + OFFSET_COUNT, &count, sizeof(count));
}

/* Where the element begins, or where all of them end. */
static size_t offset_of(const struct pg_array *array, uint32_t index)
{
    size_t at = OFFSET_ELEMENTS;

    for (; index > 0; index--) {
        uint32_t len;

        memcpy(&len, array->buf.data + at, sizeof(len));
        len = be32toh(len);
        at += sizeof(len) + (len == UINT32_MAX ? 0 : len); /* a null has no bytes */
    }
    return at;
}

int pg_array_copy(const struct pg_array *from, uint32_t first, struct pg_array *to)
{
    size_t at = offset_of(from, first);

    buf_clear(&to->buf);
    buf_put(&to->buf, from->buf.data, OFFSET_ELEMENTS);
    buf_put(&to->buf, from->buf.data + at, from->buf.len - at);
    to->count = from->count - first;
    return buf_ok(&to->buf) ? 0 : ERR_NO_MEMORY;
}

void pg_array_truncate(struct pg_array *array, uint32_t count)
{
    array->buf.len = offset_of(array, count);
    array->count = count;
}

int64_t pg_array_at(const struct pg_array *array, uint32_t index)
{
    uint64_t value;

    memcpy(&value, array->buf.data + offset_of(array, index) + sizeof(uint32_t), sizeof(value));
    return (int64_t)be64toh(value);
}

void pg_array_fini(struct pg_array *array)
{
    buf_release(&array->buf);
}

static bool read_fixed(const PGresult *result, int row, int column, void *out, int size)
{
    if (PQgetisnull(result, row, column) || PQgetlength(result, row, column) != size)
        return false;
    memcpy(out, PQgetvalue(result, row, column), (size_t)size);
    return true;
}

int64_t pg_get_int8(const PGresult *result, int row, int column)
{
    uint64_t value;

    return read_fixed(result, row, column, &value, sizeof(value)) ? (int64_t)be64toh(value) : 0;
}

int32_t pg_get_int4(const PGresult *result, int row, int column)
{
    uint32_t value;

    return read_fixed(result, row, column, &value, sizeof(value)) ? (int32_t)be32toh(value) : 0;
}

int16_t pg_get_int2(const PGresult *result, int row, int column)
{
    uint16_t value;

    return read_fixed(result, row, column, &value, sizeof(value)) ? (int16_t)be16toh(value)
                                                                  : (int16_t)0;
}

bool pg_get_bool(const PGresult *result, int row, int column)
{
    char value;

    return read_fixed(result, row, column, &value, 1) && value != 0;
}

struct bytes pg_get_bytes(const PGresult *result, int row, int column)
{
    return bytes_of(PQgetvalue(result, row, column), (uint32_t)PQgetlength(result, row, column));
}

uint64_t pg_get_time(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return 0;
    return (uint64_t)(pg_get_int8(result, row, column) / 1000 + PG_EPOCH_UNIX_MS);
}
