/* brokers - who the brokers are, whose each person is, and a link to each.
 *
 * One broker of the configuration says who the members are (WELCOME); from then on there is a link
 * to each of them, with its own unanswered requests, credit and congestion. When the members change
 * (MEMBERS), links come and go, and what belongs to people who moved goes to their new owner
 * (brokers_move.c). docs/wire.md, "Many brokers". Loop thread only. */
#ifndef BECKON_CONNECTOR_BROKERS_H
#define BECKON_CONNECTOR_BROKERS_H

#include "common/link/link.h"
#include "common/link/link_requests.h"
#include "common/members.h"

#include "connector/endpoints.h"

#include <sys/queue.h>

struct connector;

#define BROKER_NONE UINT8_MAX
/* A member that comes gets a slot before one that goes has left its own. */
#define BROKER_SLOTS (2 * MEMBERS_MAX)

struct broker {
    struct brokers *brokers;
    SLIST_ENTRY(broker) leaving;
    struct link *link; /* NULL: it could not be made, and is tried again */
    struct link_requests *requests;
    char name[MEMBER_NAME_MAX + 1];         /* "": of the configuration, it has not said */
    char endpoint[MEMBER_ENDPOINT_MAX + 1]; /* where the members' list has it */
    uint8_t slot;
    bool ready;   /* WELCOME has come and everything was announced */
    bool stalled; /* clients wait for room among its requests */
    bool staying; /* while a new list is applied: it is on it */
    bool gone;    /* only its memory is still here, until the end of the turn */
};

struct brokers_config {
    void *context;                     /* ZeroMQ's, borrowed */
    const char *name;                  /* "connector/0", borrowed */
    const struct endpoints *endpoints; /* borrowed */
    const struct link_keys *keys;      /* copied; NULL: without */
    bool plain;                        /* without keys to other machines too */
    size_t pending_bytes;              /* of the unanswered requests of one broker */
    /* Links came or went: so many of all members have one; 0 of 0 before anybody has answered.
     * why: the last one was lost, or NULL. */
    void (*changed)(void *arg, unsigned linked, unsigned members, const char *why);
    void *arg;
};

struct brokers {
    struct connector *connector;
    struct brokers_config config;
    struct link_keys keys;
    uint8_t instance[WIRE_INSTANCE_SIZE];
    struct members view; /* generation 0: nobody has said */
    uint32_t credit;     /* that a broker gave last: of one that has not said its own yet */
    struct broker *slots[BROKER_SLOTS];
    uint8_t slot_of[MEMBERS_MAX];        /* by place in the view */
    struct broker *seeds[ENDPOINTS_MAX]; /* while nothing is linked */
    bool hurry; /* a session has ended: its client may open the next one elsewhere at once */
    SLIST_HEAD(, broker) leaving;
    struct loop_task sweep; /* frees them */
    struct timer remake;    /* makes what links could not be made */
};

/* Begins to connect. 0; ERR_CONFIG, ERR_SYSTEM, ERR_NO_MEMORY with et; then brokers_destroy all
 * the same. */
MUST_CHECK int brokers_create(struct connector *connector, const struct brokers_config *config,
                              struct err_text *et);
void brokers_destroy(struct brokers *brokers);
/* Other keys, and whether links may be plain, from the next link on. */
void brokers_set_keys(struct brokers *brokers, const struct link_keys *keys, bool plain);
unsigned brokers_linked(const struct brokers *brokers);
/* Who is linked, one line. */
void brokers_log(const struct brokers *brokers);
/* Requests unanswered by any of them. */
uint32_t brokers_unanswered(const struct brokers *brokers);

/* The owner of a person, NULL while nobody has said who the brokers are. */
struct broker *brokers_of(const struct brokers *brokers, struct bytes user);
/* NULL for BROKER_NONE. */
static inline struct broker *brokers_at(const struct brokers *brokers, uint8_t slot)
{
    return slot == BROKER_NONE ? NULL : brokers->slots[slot];
}
/* To append one record to; NULL without a link, or without a broker. As link_frame. */
struct buf *broker_frame(const struct broker *broker);
/* As link_is_sending. */
bool broker_is_sending(const struct broker *broker);
bool broker_congested(const struct broker *broker);
/* True when no request may be made of it now. */
bool broker_full(const struct broker *broker);
/* True when it is the moment to read again from clients that waited for it. */
bool broker_roomy(const struct broker *broker);

/* brokers_move.c: the view was read and its members have slots: moves what belongs to people whose
 * owner is another one now. */
void brokers_move_people(struct brokers *brokers);

#endif
