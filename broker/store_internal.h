/* store_internal - what the store's own files share. Nobody else includes it. */
#ifndef BECKON_BROKER_STORE_INTERNAL_H
#define BECKON_BROKER_STORE_INTERNAL_H

#include "broker/broker.h"
#include "broker/pg.h"
#include "broker/pg_array.h"
#include "broker/store.h"
#include "broker/unread.h"

/* As many as the widest statement has parameters. */
#define STORE_MAX_PARAMS 17

/* What nobody waits for, in the order in which it is written. The first column of each is the
 * person. */
enum late_part {
    LATE_CURSORS,
    LATE_MOVES,
    LATE_UNREAD, /* all rows of a person are there together, and one of LATE_HEADS in their order */
    LATE_HEADS,
    LATE_TRACE,
    LATE_PARTS
};
#define STORE_LATE_COLUMNS 26 /* of all of them */

/* People pinned until the commit, one a row. */
struct late_users {
    struct user **list;
    uint32_t count, cap;
};

/* One transaction: forming, then waiting, then under way, then recycled. */
struct batch {
    TAILQ_ENTRY(batch) link;
    struct broker *broker;
    struct put *puts;
    uint32_t put_count, put_cap;
    size_t bytes;   /* of payloads and properties */
    bool once;      /* some put needs the lookup of SQL_PUT_ONCE */
    bool reconcile; /* tried before: what is there already is looked up */
    bool unknown;   /* ... and no answer ever said that it had failed */
    struct store_op_list ops;
    struct pg_array late[STORE_LATE_COLUMNS]; /* store_late.c: as they were when first sent */
    struct late_users late_cursors, late_heads;
    bool late_taken;
    bool piece;        /* of a batch that was cut: takes nothing more */
    unsigned stubborn; /* failures in a row that will not pass */
    bool failed;       /* some statement failed: first error in `error` */
    char error[256], sqlstate[6];
};
TAILQ_HEAD(batch_list, batch);

struct store {
    struct broker *broker;
    struct pg *writer, *reader;

    /* writer */
    struct batch_list batches;   /* oldest first; the first is under way when `busy` */
    struct batch_list spare;     /* recycled, with their memory */
    struct store_op_list behind; /* of people who join: in a batch once they have a number */
    uint32_t spare_count;
    bool busy;
    uint64_t batch_number;
    struct pg_array columns[STORE_MAX_PARAMS]; /* scratch, kept from batch to batch */
    TAILQ_HEAD(, device) dirty;                /* devices whose cursor moved */
    uint32_t dirty_count;
    struct user_list uncounted; /* people with unread counts that are not written */
    uint32_t uncounted_count;
    struct trace_row *traces;
    uint32_t trace_count, trace_cap;
    struct timer cursor_timer, unread_timer;
    bool cursors_due, unread_due; /* their time is over */
    bool flush;                   /* everything is due */
    struct timer wait_timer;

    /* reader */
    struct user_list load_queue, loading;
    struct user **found; /* of those who load: whose rows are read, by ordinal */
    uint32_t found_count;
    struct feed_queue fetch_queue;
    struct fetch {
        uint32_t handle; /* of the device, 0 = done */
        bool alerts;     /* which of its feeds */
        uint64_t after, upto;
    } * fetches; /* under way, by ordinal */
    uint32_t fetch_count;
    struct lookup_list lookup_queue, lookups; /* waiting; under way */
    struct user_list recount_queue, recounts; /* waiting; under way */
    bool recounted;                           /* these were answered */
    struct recovery {
        uint64_t after, upto;
        bool any_device, due;
        uint64_t newest;
        void (*done)(struct broker *broker, uint64_t newest);
    } recovery;
    struct recheck {
        struct user_list *list;
        uint32_t asked; /* people of the statement under way, from the front of the list */
        bool due, answered;
        void (*done)(struct broker *broker, struct user *user);
    } recheck;
    struct carry {
        bool under_way, done, failed;
        char error[256], sqlstate[6];
    } carry; /* store_carry.c */
    bool reading;
    bool read_failed; /* read_timer tries again */
    struct timer read_timer;
};

void batches_init(struct store *store);
void batches_fini(struct store *store);
/* There is a batch to send, and none is under way. */
bool batches_wait(const struct store *store);
/* Sends it. */
void batches_run(struct store *store);
/* The writer is gone: what was under way waits to be tried again. */
void batches_lost(struct store *store);

/* The result of a statement that returns nothing of interest: remembers the first failure. arg is
 * the batch. */
void batch_on_statement(void *arg, const PGresult *result);

/* It failed: cuts it, if it is refused for what it holds. */
void batch_refused(struct store *store, struct batch *batch);

MUST_CHECK int ops_send(struct store *store, struct batch *batch);
/* Takes op to the batch that is forming. */
void batches_take_op(struct store *store, struct store_op *op);
/* After the commit: each op's `done`, then it is freed. */
void ops_finish(struct broker *broker, struct batch *batch);

void wait_init(struct store *store);
void wait_fini(struct store *store);

void late_init(struct store *store);
void late_fini(struct store *store);
bool late_pending(const struct store *store);
/* Some of it is due now. */
bool late_is_due(const struct store *store);
MUST_CHECK int late_send(struct store *store, struct batch *batch);
void late_committed(struct broker *broker, struct batch *batch);
/* As if it had been: what is in it will not be written. */
void late_forget(struct broker *broker, struct batch *batch);
/* The columns of a part, and how many rows there are. */
struct pg_array *late_columns(struct batch *batch, enum late_part part);
unsigned late_column_count(enum late_part part);
uint32_t late_rows(const struct batch *batch, enum late_part part);
/* This person's counts are not written any more, until they are read again. */
void late_refuse_counts(struct store *store, struct user *user);

/* store_late_cut.c: of a batch that is being cut. */
bool late_any(const struct batch *batch);
/* There is more than what is given up at a time. */
bool late_divides(const struct batch *batch);
/* Everything goes to a piece that has nothing of it. */
void late_move(struct batch *from, struct batch *to);
/* The later part of it does, at most half of what is of one kind. ERR_NO_MEMORY: nothing does. */
MUST_CHECK int late_cut(struct batch *from, struct batch *to);
/* The only row, or the only person's counts. */
void late_give_up(struct store *store, struct batch *batch);

/* Asks who those are who wait (there are some). */
MUST_CHECK int loads_send(struct store *store);
/* Somebody was found who may have rows. */
bool loads_found(const struct store *store);
MUST_CHECK int loads_send_found(struct store *store);
/* Nothing is read of them any more. */
void loads_end_found(struct store *store);
/* Whoever is not among the found is ready, or asked for again. */
void loads_finish(struct store *store, bool ok);

/* False: no rows; logged, and the read is tried again. */
bool read_ok(struct store *store, const PGresult *result, const char *what);

/* Sends what waits (there is some). */
MUST_CHECK int lookups_send(struct store *store);
/* What got no answer is asked for again. */
void lookups_again(struct store *store);
void lookups_fini(struct store *store);

/* Unread counts made again: sends what waits (there is some); acts on what came. */
MUST_CHECK int recounts_send(struct store *store);
void recounts_finish(struct store *store);
void recounts_leave(struct store *store);

/* Cursors that are read once more: sends; acts on what came. */
MUST_CHECK int recheck_send(struct store *store);
void recheck_finish(struct store *store);

void reads_init(struct store *store);
/* The reader is connected. */
void reads_ready(struct store *store);
bool reads_wait(const struct store *store);
void reads_run(struct store *store);
void reads_fini(struct store *store);

/* Adds columns[0..count) as parameters and executes; ERR_DATABASE when an encoder ran out of memory
 * or the connection is gone. */
MUST_CHECK int store_query(struct pg *pg, int statement, struct pg_array *columns, int count,
                           pg_result_fn fn, void *arg);

#endif
