#include "bench/raw_postgres/rows.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define KIND_PERSON 1

enum column {
    USER_NO,
    SEQ,
    MID,
    FROM_NO,
    CONVERSATION,
    ORIGIN_DEVICE,
    SENT_AT,
    EXPIRES_AT,
    KIND,
    PROPERTIES,
    PAYLOAD,
    FLAGS,
};

/* The statement of the broker (`put` in broker/store_sql.c). */
const char rows_insert_sql[] =
    "INSERT INTO inbox (user_no, seq, mid, from_no, conversation, origin_device, sent_at,"
    " expires_at, kind, properties, payload, flags)"
    " SELECT * FROM unnest($1::int8[], $2::int8[], $3::uuid[], $4::int8[], $5::int8[], $6::int8[],"
    " $7::timestamptz[], $8::timestamptz[], $9::int2[], $10::bytea[], $11::bytea[], $12::int2[])";

static const enum pg_oid types[ROWS_COLUMNS] = {
    [USER_NO] = PG_INT8,
    [SEQ] = PG_INT8,
    [MID] = PG_UUID,
    [FROM_NO] = PG_INT8,
    [CONVERSATION] = PG_INT8,
    [ORIGIN_DEVICE] = PG_INT8,
    [SENT_AT] = PG_TIMESTAMPTZ,
    [EXPIRES_AT] = PG_TIMESTAMPTZ,
    [KIND] = PG_INT2,
    [PROPERTIES] = PG_BYTEA,
    [PAYLOAD] = PG_BYTEA,
    [FLAGS] = PG_INT2,
};

int rows_init(struct rows *rows, uint32_t inboxes, uint32_t payload_len)
{
    *rows = (struct rows){.inboxes = inboxes, .payload_len = payload_len};
    rows->seqs = calloc(inboxes, sizeof(*rows->seqs));
    rows->payload = malloc(payload_len);
    if (rows->seqs == NULL || rows->payload == NULL)
        return ERR_NO_MEMORY;
    memset(rows->payload, 'x', payload_len);
    return 0;
}

void rows_fini(struct rows *rows)
{
    for (unsigned i = 0; i < ROWS_COLUMNS; i++)
        pg_array_fini(&rows->columns[i]);
    free(rows->seqs);
    free(rows->payload);
}

static void add_row(struct rows *rows, uint64_t now_ms)
{
    struct pg_array *columns = rows->columns;
    uint32_t inbox = (uint32_t)(rows->next % rows->inboxes);
    const uint64_t words[2] = {htobe64(now_ms << 16), htobe64(rows->next)};
    struct mid mid;

    _Static_assert(sizeof(mid) == sizeof(words), "16 bytes each");
    memcpy(&mid, words, sizeof(mid));
    rows->next++;
    pg_array_int8(&columns[USER_NO], inbox + 1);
    pg_array_int8(&columns[SEQ], (int64_t)++rows->seqs[inbox]);
    pg_array_mid(&columns[MID], &mid);
    pg_array_int8(&columns[FROM_NO], rows->inboxes + inbox + 1);
    pg_array_int8(&columns[CONVERSATION], rows->inboxes + inbox + 1);
    pg_array_null(&columns[ORIGIN_DEVICE]);
    pg_array_time(&columns[SENT_AT], now_ms);
    pg_array_null(&columns[EXPIRES_AT]);
    pg_array_int2(&columns[KIND], KIND_PERSON);
    pg_array_bytes(&columns[PROPERTIES], bytes_of(rows->payload, 0));
    pg_array_bytes(&columns[PAYLOAD], bytes_of(rows->payload, rows->payload_len));
    pg_array_int2(&columns[FLAGS], 0);
}

int rows_batch(struct rows *rows, uint32_t count, uint64_t now_ms)
{
    for (unsigned i = 0; i < ROWS_COLUMNS; i++)
        pg_array_begin(&rows->columns[i], types[i]);
    for (uint32_t i = 0; i < count; i++)
        add_row(rows, now_ms);
    for (unsigned i = 0; i < ROWS_COLUMNS; i++) {
        pg_array_end(&rows->columns[i]);
        if (!buf_ok(&rows->columns[i].buf))
            return ERR_NO_MEMORY;
    }
    return 0;
}
