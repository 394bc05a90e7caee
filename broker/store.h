/* store - PostgreSQL: everything durable, behind calls that never wait.
 *
 * Two connections. The *writer* commits batches: what arrives while one batch is being committed is
 * the next, so batches grow with load and there is one round trip and at most one fsync a batch. At
 * most one batch is under way, so a failed one can't leave a gap behind a committed one. The
 * *reader* loads people and reads backlogs; requests that arrive while one read is under way are
 * the next read, as one statement.
 *
 * A batch whose outcome is unknown (connection lost during COMMIT) is tried again in *reconcile*
 * mode: the database is asked for each message's MID before it is inserted. Loop thread only. */
#ifndef BECKON_BROKER_STORE_H
#define BECKON_BROKER_STORE_H

#include "broker/device.h"
#include "common/err.h"

struct broker;
struct conversation;
struct lookup;
struct store;
struct trace_row;

/* How a put ended. */
enum put_verdict {
    PUT_UNANSWERED,
    PUT_STORED,   /* committed now */
    PUT_REPEATED, /* was committed before (same MID, or same KEY and content) */
    PUT_CONFLICT  /* same KEY, other content: not stored */
};

/* One inbox row to write. Array element: no allocation a message. */
struct put {
    struct user *to;
    struct message *message; /* owned reference; its seq is set at commit */
    uint64_t from_no;
    uint64_t conversation; /* surrogate of the other side */
    int32_t copy_of;       /* index of the original in this batch; -1 for an original */
    bool resend;           /* look the MID up first */
    uint8_t verdict;       /* enum put_verdict, after the commit */
    uint64_t since_ms;     /* it waits; set by store_put */
    /* who is answered; see publish.c */
    uint64_t peer, token;
    bool is_will;
    bool is_copy;      /* of a message that another broker stored: counted there */
    struct mid stored; /* PUT_REPEATED: under which MID */
};

enum store_op_type {
    STORE_SESSION_CLEAR, /* delete session and subscriptions */
    STORE_SESSION_PUT,   /* upsert, connected */
    STORE_SESSION_FIRST, /* the same of a stranger (user_joins), whose row is made with it */
    STORE_SESSION_LEAVE, /* connection ended: expiry runs */
    STORE_SUBSCRIPTION_PUT,
    STORE_SUBSCRIPTION_DROP,
    STORE_DEVICE_PUT, /* make the device's row; its number is set before `done` runs */
    STORE_PUSH_PUT,   /* the device's push registration; whoever had the token loses it */
    STORE_PUSH_DROP,  /* forget it; with `push`, only if it is still that one */
    STORE_NOTHING     /* `done` after the commit of the person's cursors and unread counts */
};

/* A small write that rides in the next batch, in the order given. */
struct store_op {
    STAILQ_ENTRY(store_op) link;
    struct store_op *next_in_run; /* store_plan.h */
    enum store_op_type type;
    struct user *user; /* pinned by the store while the op is pending */
    char device_id[65];
    char filter[80];
    uint8_t qos, options;
    uint32_t subscription_id;
    uint32_t expiry_s;
    /* STORE_DEVICE_PUT: where the cursor starts; after the commit what the row says */
    uint64_t acked_seq, sent_seq, device_no;
    uint64_t user_no;  /* STORE_SESSION_FIRST: what the row says */
    struct push *push; /* owned */
    /* After the commit, or with `failed` when the database refuses it; may be NULL. The device may
     * be gone by then: look it up. */
    void (*done)(struct broker *broker, struct store_op *op);
    void *arg;
    uint64_t arg_peer, arg_conn, arg_token;
    uint8_t arg_codes[64];
    uint8_t arg_code_count;
    bool failed;
};
STAILQ_HEAD(store_op_list, store_op);

MUST_CHECK int store_create(struct broker *broker);
void store_destroy(struct broker *broker);
/* True when connected, schema checked, generation known. */
bool store_ready(const struct store *store);
/* ... and has answered within database.timeout_ms. */
bool store_answers(const struct store *store);

/* How long the oldest message has waited to be written, milliseconds; 0: none waits. */
uint64_t store_waiting_ms(const struct store *store);
/* Neither a batch nor a read is under way. */
bool store_quiet(const struct store *store);
/* People marked as leaving are taken out of every queue; the store is quiet. What waited for their
 * messages is appended to parked. numbers: those of people and devices are good still. */
void store_people_leave(struct broker *broker, bool numbers, struct parked_list *parked);
/* The database is another one than this broker wrote to: store_carried is false. */
void store_history_lost(struct broker *broker);
/* True when the sequences and cursors in memory are in the database; else sees to it, while the
 * store is quiet. */
bool store_carried(struct broker *broker);

/* Nothing waits to be written. */
bool store_idle(const struct store *store);
/* Writes all of what store_late.c holds at the end of this turn, or as soon as the writer is free.
 */
void store_flush(struct store *store);

/* Adds one row to the batch that is forming; put is copied, its message reference is taken on
 * success. *ret_index: its index in that batch, for the copy_of of a put added right after it. */
MUST_CHECK int store_put(struct broker *broker, const struct put *put, int32_t *ret_index);
/* NULL when out of memory. device may be NULL for STORE_NOTHING. */
struct store_op *store_op_create(enum store_op_type type, struct user *user,
                                 const struct device *device);
/* Takes op. While its person joins it waits for the number, unless it is the one that asks for it.
 */
void store_op_add(struct broker *broker, struct store_op *op);

/* The device's cursor moved: written in cursor_ms, with whatever batch goes then. */
void store_cursor_moved(struct broker *broker, struct device *device);
/* An unread count moved: written in unread_ms at most, with all of that person's. */
void store_unread_moved(struct broker *broker, struct conversation *conversation);
void store_forget_unread(struct broker *broker, struct user *user);
/* A row of the trace to fill, written with them; NULL when too many wait. */
struct trace_row *store_trace_row(struct broker *broker);
/* A device goes away: it is taken out of every queue of the store. */
void store_forget_device(struct broker *broker, struct device *device);
void store_forget_feed(struct broker *broker, struct feed *feed);

/* Loads user (in USER_LOADING); user_loaded follows. */
void store_load_user(struct broker *broker, struct user *user);
/* Not any more. */
void store_forget_load(struct broker *broker, struct user *user);
/* Reads messages from feed->next_seq on; inbox_fetched follows. No effect while one is under way.
 */
void store_fetch(struct broker *broker, struct feed *feed);
/* Reads the cursors of these people once more, as much as other brokers have moved them; then
 * done(broker, user) for each, which takes it out of list. The people are pinned. One list. */
void store_read_cursors(struct broker *broker, struct user_list *list,
                        void (*done)(struct broker *broker, struct user *user));
/* Counts the person's unread messages again (a ready user of ours with a number); then
 * unread_recount_done. */
void store_recount(struct broker *broker, struct user *user);
/* Finds a message by its MID; unread_looked_up follows. Takes lookup. */
void store_lookup(struct broker *broker, struct lookup *lookup);
/* Loads the people with a user_no in (after, upto] who have a device with something to alert (with
 * a push registration, or any device), as by users_get; then done(broker, newest user_no there is).
 * One at a time. */
void store_recover(struct broker *broker, uint64_t after, uint64_t upto, bool any_device,
                   void (*done)(struct broker *broker, uint64_t newest));

#endif
