/* feed - where one device is in its person's sequence, and what was read ahead for it. A device
 * has one for the messages on its socket, and one for its alerts.
 *
 * The next message comes from the person's tail in memory, or is read back from the database. Loop
 * thread. */
#ifndef BECKON_BROKER_FEED_H
#define BECKON_BROKER_FEED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct broker;
struct device;
struct message;

struct feed {
    STAILQ_ENTRY(feed) fetch_link;
    struct device *device;
    uint64_t next_seq;      /* next to take */
    struct message **ready; /* read back from the database, ascending, from ready_head */
    uint32_t ready_head, ready_count;
    bool fetching;
    bool fetch_stale; /* the fetch under way is for an earlier position */
    bool alerts;      /* which of the device's two it is */
};
STAILQ_HEAD(feed_queue, feed);

void feed_fini(struct feed *feed);
/* Goes on from seq. */
void feed_seek(struct feed *feed, uint64_t seq);
/* The next message, or NULL when there is none, or it must be read (asked for here; feed_fetched
 * follows). Moves next_seq over a hole that retention has left. Borrowed until next_seq moves. */
struct message *feed_next(struct broker *broker, struct feed *feed);
/* Takes what feed_next returned. */
void feed_take(struct feed *feed);
/* Drops what was read back and not taken; a read under way does not count any more. */
void feed_forget(struct feed *feed);
/* The store's answer: messages after the position, ascending (ready and its references are taken).
 * none_up_to: nothing is left in the database up to there (expired with its partition). */
void feed_fetched(struct feed *feed, struct message **ready, uint32_t count, uint64_t none_up_to);

#endif
