/* user - the people this broker has in memory, and what it knows of each: surrogate number, inbox
 * head, devices, newest messages. Somebody of whom the database knows nothing, and of whom there is
 * nothing to write yet, is a *stranger*: without number and row.
 *
 * Life cycle: users_get makes a user in USER_LOADING and asks the store; work that needs it is
 * parked on it as the record it came in, and dispatched again when the rows are there. A user
 * without sessions or other pins waits in an idle list, from which the longest idle is forgotten
 * when the list exceeds cache.users. All state can be read again from PostgreSQL. Loop thread. */
#ifndef BECKON_BROKER_USER_H
#define BECKON_BROKER_USER_H

#include "broker/message.h"
#include "common/hash.h"

#include <sys/queue.h>

struct broker;
struct device;

enum user_state {
    USER_LOADING,   /* rows were asked for */
    USER_NUMBERING, /* a stranger until now: a row was asked for */
    USER_JOINING,   /* the same, and the row is made by a write (STORE_SESSION_FIRST) */
    USER_READY
};

/* The newest committed messages, kept while a device of the person is online, so that delivery
 * needs no read. A ring; seqs are contiguous. */
struct tail {
    struct message **ring;
    uint32_t head, count, cap; /* cap is a power of two */
    uint64_t first_seq;        /* of ring[head], when count > 0 */
    size_t bytes;
};

/* A record that waits for the user. */
struct parked {
    STAILQ_ENTRY(parked) link;
    uint64_t peer; /* bus peer id, 0 = none */
    uint64_t since_ms;
    uint64_t generation; /* of the view that its sender had */
    size_t len;
    uint8_t record[];
};
STAILQ_HEAD(parked_list, parked);

struct user {
    struct hash_node node;
    enum user_state state;
    uint32_t pins; /* sessions, puts, parked work, Wills, device writes: not forgotten while > 0 */
    bool idle : 1; /* in the idle list */
    bool foreign : 1;        /* another broker's: only the number is known, there are no devices */
    bool leaving : 1;        /* about to be forgotten: users_mark_leaving */
    bool settling : 1;       /* recover.c: gained a moment ago, nothing is pushed yet */
    bool touched : 1;        /* in the list of users whose devices are to be pumped this turn */
    bool numbered : 1;       /* gets a row if there is none */
    bool recounting : 1;     /* unread.h: a recount was asked for */
    bool counted_since : 1;  /* while it loads: of unread counts some are not written */
    bool counts_refused : 1; /* by the database, for good: unread counts are not written */
    bool found : 1;          /* store_load.c: its rows are being read */
    bool load_failed : 1;    /* out of memory for some row: asked for again */
    uint16_t op_statement;   /* store_plan.c, while it plans; else 0 */
    uint32_t counts_end_s;   /* Unix time: the first that is counted as unread ends; 0 = none is */
    uint64_t no;             /* 0: not known yet, or a stranger */
    uint64_t last_seq;       /* committed */
    uint64_t max_acked;      /* newest that any device ever acknowledged */
    uint64_t batch;          /* the batch `assigned` belongs to */
    uint64_t assigned;       /* last sequence given in that batch */
    TAILQ_ENTRY(user) link;  /* load queue, idle list, or store_recount.c */
    TAILQ_ENTRY(user) settling_link;
    STAILQ_ENTRY(user) touched_link;
    TAILQ_HEAD(device_list, device) devices;
    struct tail tail;
    struct hash conversations; /* with unread messages; unread.h */
    uint64_t unread;           /* all of them */
    /* store_late.c: conversations whose counts are not written, and its list of such people */
    SLIST_HEAD(conversation_list, conversation) uncounted;
    TAILQ_ENTRY(user) uncounted_link;
    struct parked_list parked;
    uint8_t id_len;
    char id[]; /* NUL-terminated */
};
TAILQ_HEAD(user_list, user);
/* docs/performance.md: 1 KiB for a person with one device online, and what the allocator adds. */
_Static_assert(sizeof(struct user) <= 256, "struct user is over its budget");

MUST_CHECK int users_create(struct broker *broker);
void users_destroy(struct broker *broker);
/* How many are in memory; of these, how many are ours. */
size_t users_count(const struct broker *broker);
size_t users_owned(const struct broker *broker);

/* Finds or begins to load; of another broker's people only the number. A stranger gets a row and a
 * number. NULL only when out of memory. */
struct user *users_get(struct broker *broker, struct bytes id);
/* The same for who needs no number: may be a stranger, and stay one. */
struct user *users_look(struct broker *broker, struct bytes id);
/* In memory, ready or not, else NULL; never loads. */
struct user *users_in_memory(struct broker *broker, struct bytes id);
/* In memory and loaded, else NULL; never loads. */
struct user *users_find(struct broker *broker, struct bytes id);
/* In memory and asked for, else NULL. For the answers of the store. */
struct user *users_asked(struct broker *broker, struct bytes id);

/* A stranger (ready, in memory) begins to get a number: user_must_park from now on. */
void user_number(struct broker *broker, struct user *user);

/* The same, and somebody adds the STORE_SESSION_FIRST that makes the row. */
void user_joins(struct broker *broker, struct user *user);

/* Another view is in force: marks who can't stay in memory. everything: nobody can, except other
 * brokers' people, whose numbers never change; unless numbers are not those of the database. */
void users_mark_leaving(struct broker *broker, bool everything, bool numbers);
void users_each(struct broker *broker, void (*fn)(struct user *user, void *arg), void *arg);
/* Forgets them, with devices and sessions and without any effect elsewhere. What was parked on them
 * is appended to parked. */
void users_leave(struct broker *broker, struct parked_list *parked);

/* Keeps the record for when the user is ready and everything parked before it was done.
 * ERR_NO_MEMORY. */
MUST_CHECK int user_park(struct broker *broker, struct user *user, uint64_t peer,
                         struct bytes record);
/* True when a record for this user must be parked. */
static inline bool user_must_park(const struct user *user)
{
    return user->state != USER_READY || !STAILQ_EMPTY(&user->parked);
}

void user_pin(struct broker *broker, struct user *user);
void user_unpin(struct broker *broker, struct user *user);

/* The store's answer: rows are in. Dispatches what was parked. */
void user_loaded(struct broker *broker, struct user *user);

static inline struct bytes user_id(const struct user *user)
{
    return bytes_of(user->id, user->id_len);
}

/* Adds a committed message (takes a reference). */
void tail_append(struct tail *tail, struct message *message);
/* The message with that seq, or NULL. Borrowed. */
struct message *tail_get(const struct tail *tail, uint64_t seq);
/* Forgets everything before seq, then from the front until within the limits. */
void tail_trim(struct tail *tail, uint64_t before_seq, uint32_t max_messages, size_t max_bytes);
void tail_fini(struct tail *tail);

#endif
