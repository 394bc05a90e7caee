/* wire_cursor - reads the fields of a record, for wire_decode.c only.
 *
 * A cursor hands out only bytes that are there; once it has run out, or a field is outside its
 * range, it stays `bad` and hands out zeros. */
#ifndef BECKON_COMMON_WIRE_CURSOR_H
#define BECKON_COMMON_WIRE_CURSOR_H

#include "common/wire.h"

struct cursor {
    const uint8_t *at;
    uint32_t left;
    bool bad;
};

static inline const uint8_t *take(struct cursor *cursor, uint32_t len)
{
    if (cursor->bad || len > cursor->left) {
        cursor->bad = true;
        return NULL;
    }
    const uint8_t *data = cursor->at;
    if (len != 0) /* at may be NULL, which knows no arithmetic, when nothing is left */
        cursor->at += len;
    cursor->left -= len;
    return data;
}

static inline uint64_t get_le(struct cursor *cursor, unsigned size)
{
    const uint8_t *data = take(cursor, size);
    uint64_t value = 0;

    if (data == NULL)
        return 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)data[i] << (8 * i);
    return value;
}

static inline uint8_t get_u8(struct cursor *cursor)
{
    return (uint8_t)get_le(cursor, 1);
}

static inline uint16_t get_u16(struct cursor *cursor)
{
    return (uint16_t)get_le(cursor, 2);
}

static inline uint32_t get_u32(struct cursor *cursor)
{
    return (uint32_t)get_le(cursor, 4);
}

static inline uint64_t get_u64(struct cursor *cursor)
{
    return get_le(cursor, 8);
}

/* A byte from min to max. */
static inline uint8_t get_in(struct cursor *cursor, uint8_t min, uint8_t max)
{
    uint8_t value = get_u8(cursor);

    if (value < min || value > max)
        cursor->bad = true;
    return value;
}

static inline bool get_bool(struct cursor *cursor)
{
    return get_in(cursor, 0, 1) == 1;
}

static inline uint8_t get_target(struct cursor *cursor)
{
    uint8_t kind = get_u8(cursor);

    if (kind != WIRE_TO_USER && kind != WIRE_TO_GROUP)
        cursor->bad = true;
    return kind;
}

static inline void get_octets(struct cursor *cursor, uint8_t *to, uint32_t len)
{
    const uint8_t *data = take(cursor, len);

    if (data != NULL)
        memcpy(to, data, len);
}

static inline struct bytes get_run(struct cursor *cursor, uint32_t len)
{
    const uint8_t *data = take(cursor, len);

    return data == NULL ? (struct bytes){0} : bytes_of(data, len);
}

static inline struct bytes get_string(struct cursor *cursor)
{
    return get_run(cursor, get_u8(cursor));
}

static inline struct bytes get_bytes(struct cursor *cursor)
{
    return get_run(cursor, get_u32(cursor));
}

#endif
