/* rows - batches of rows as the broker writes them into the inbox, as parameters of one INSERT. */
#ifndef BECKON_BENCH_RAW_POSTGRES_ROWS_H
#define BECKON_BENCH_RAW_POSTGRES_ROWS_H

#include "broker/pg_array.h"

#define ROWS_COLUMNS 12

struct rows {
    struct pg_array columns[ROWS_COLUMNS]; /* of the last batch; memory is kept */
    uint64_t *seqs;                        /* the last one of each inbox */
    uint32_t inboxes;
    uint64_t next; /* row, from 0; the inboxes get one each in turn */
    uint8_t *payload;
    uint32_t payload_len;
};

extern const char rows_insert_sql[];

/* ERR_NO_MEMORY; rows_fini either way. */
MUST_CHECK int rows_init(struct rows *rows, uint32_t inboxes, uint32_t payload_len);
void rows_fini(struct rows *rows);
/* Makes the next batch. ERR_NO_MEMORY. */
MUST_CHECK int rows_batch(struct rows *rows, uint32_t count, uint64_t now_ms);

#endif
