/* unread - how many messages of each conversation a person has not read: the badge.
 *
 * Held in memory for people who are in memory, moved by each message and by me/read, written with
 * the cursors. user->counted_seq says up to where the database has counted, so that what a crash
 * has not written is counted again at the next load. What ends stays counted until the badge is
 * wanted: then, once a minute at most, the inbox is asked (docs/adr/0022). Loop thread. */
#ifndef BECKON_BROKER_UNREAD_H
#define BECKON_BROKER_UNREAD_H

#include "broker/user.h"
#include "common/wire.h"

struct device;

struct conversation {
    struct hash_node node;                /* of user->conversations */
    SLIST_ENTRY(conversation) dirty_link; /* of user->uncounted */
    struct user *user;
    uint64_t no; /* of the other person or the group */
    uint64_t read_seq;
    uint64_t unread;
    uint64_t since, before; /* while it is recounted: what came since, what was counted before */
    bool is_group;
    bool dirty;
    bool read; /* while it is recounted: me/read has counted it */
};

/* A message was committed. */
void unread_count(struct broker *broker, struct user *user, const struct message *message);
/* A row of the database. False when out of memory. */
bool unread_loaded(struct user *user, bool is_group, uint64_t no, uint64_t read_seq,
                   uint64_t unread);
/* Something that is counted ends then. */
static inline void unread_ends(struct user *user, uint64_t end_ms)
{
    uint64_t end_s = end_ms / 1000 + 1;

    if (user->counts_end_s == 0 || end_s < user->counts_end_s)
        user->counts_end_s = (uint32_t)(end_s < UINT32_MAX ? end_s : UINT32_MAX);
}
/* The badge counts nothing that is over, or not for longer than a minute; else false, and all
 * devices of the person are alerted again when it does. */
bool unread_fresh(struct broker *broker, struct user *user);
/* For the store: asks; the counts begin at what came since; a conversation's row (end_ms: of the
 * first that ends); all rows are in, or none. */
void unread_recount_begins(struct user *user);
void unread_recount_answered(struct user *user);
void unread_recounted(struct user *user, bool is_group, uint64_t no, uint64_t read_seq,
                      uint64_t unread, uint64_t end_ms);
void unread_recount_done(struct broker *broker, struct user *user, bool answered);

/* Unread messages of the person, all conversations. */
static inline uint64_t unread_badge(const struct user *user)
{
    return user->unread;
}
bool unread_was_read(const struct user *user, const struct message *message);

/* WIRE_READ: answered when it is written. */
void unread_on_read(struct broker *broker, uint64_t peer, const struct wire_read *read,
                    struct bytes raw);
/* WIRE_SHOWN */
void unread_on_shown(struct broker *broker, uint64_t peer, const struct wire_shown *shown,
                     struct bytes raw);

/* What a lookup of MIDs is for. */
struct lookup {
    STAILQ_ENTRY(lookup) link;
    struct user *user; /* pinned */
    uint64_t peer, token;
    uint64_t conversation; /* me/read; 0 for me/shown */
    uint64_t upto;         /* user->last_seq and the count below as of when it was asked */
    uint64_t unread;
    struct mid mid;
    bool is_group;
    bool last; /* of its request: answers it */
    char device_id[65];
};
STAILQ_HEAD(lookup_list, lookup);

/* Notes what the answer will be compared with; for the store, when it asks. */
void unread_note(struct lookup *lookup);
/* The store's answer. seq: of the message, 0 = there is none; later: messages of the conversation
 * behind it. Takes lookup. */
void unread_looked_up(struct broker *broker, struct lookup *lookup, uint64_t seq, uint64_t later);

/* All counts of the person are written again: who took them last did not commit. */
void unread_write_again(struct broker *broker, struct user *user);
void unread_forget_user(struct broker *broker, struct user *user);

#endif
