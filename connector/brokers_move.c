/* brokers_move - the members changed: what belongs to people whose owner is another one now goes
 * there, in the order in which a new link is told (session_announce.c).
 *
 * Sessions first, all of them: a request of a connection goes to that connection's owner. Nothing
 * is said to the former owner, who has forgotten them. An owner without a link is told nothing
 * either: everything is announced to it when it has one, from where it is put here. Requests that
 * moved are above the credit of their new owner if it has to be: no client is read until there is
 * room. Cost: each session and each unanswered request is looked at once. */
#include "connector/brokers.h"

#include "common/log.h"

#include "connector/conn.h"
#include "connector/ended.h"
#include "connector/request.h"
#include "connector/session.h"

/* Its owner is another one now. */
static bool take_owner(const struct brokers *brokers, struct conn *c)
{
    uint8_t slot = brokers_of(brokers, client_user(c->client))->slot;

    if (c->owner == slot)
        return false;
    c->owner = slot;
    c->last_request = 0; /* found again when they move */
    return true;
}

static void move_sessions(struct brokers *brokers)
{
    struct connector *connector = brokers->connector;
    struct conn *c;

    for (unsigned state = CONN_ACTIVE; state <= CONN_LEAVING; state++) {
        TAILQ_FOREACH(c, &connector->conns->lists.in[state], state_link)
        {
            if (!take_owner(brokers, c))
                continue;
            connector->metrics.sessions_moved++;
            session_announce(c);
        }
    }
}

static void move_opens(struct brokers *brokers)
{
    struct conn *c;

    TAILQ_FOREACH(c, &brokers->connector->conns->lists.in[CONN_OPENING], state_link)
    {
        if (take_owner(brokers, c))
            session_open(c);
    }
}

/* NULL: nobody waits for it any more. */
static struct broker *owner_of_request(const struct brokers *brokers,
                                       const struct link_request *request)
{
    struct wire_reader reader = {.rest = request->record};
    const struct conn *c;
    struct wire_record record;

    if (wire_next(&reader, &record) != 1)
        return NULL; /* we encoded it: can't be */
    switch (record.type) {
    case WIRE_PUBLISH:
        return brokers_of(brokers, record.publish.to);
    case WIRE_COPY:
        return brokers_of(brokers, record.publish.from);
    case WIRE_PUSH:
        return brokers_of(brokers, record.push.user);
    case WIRE_READ:
        return brokers_of(brokers, record.read.user);
    case WIRE_SHOWN:
        return brokers_of(brokers, record.shown.user);
    default: /* of the session: SUBSCRIBE, UNSUBSCRIBE, STATE */
        c = conn_find(brokers->connector->conns, request->conn);
        return c != NULL ? brokers_at(brokers, c->owner) : NULL;
    }
}

static void move_requests(struct broker *from)
{
    struct link_request request;
    struct broker *to;

    for (uint64_t token = 0; link_requests_after(from->requests, token, &token, &request);) {
        to = owner_of_request(from->brokers, &request);
        if (to != from)
            request_move(from, to, token, &request);
    }
}

void brokers_move_people(struct brokers *brokers)
{
    struct connector *connector = brokers->connector;
    uint64_t now_ms = loop_now_ms(connector->loop);
    uint64_t sessions = connector->metrics.sessions_moved;
    uint64_t requests = connector->metrics.requests_moved;

    move_sessions(brokers);
    ended_move(connector->ended, brokers, now_ms);
    wills_move(connector->wills, brokers, now_ms);
    move_opens(brokers);
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL)
            move_requests(brokers->slots[i]);
    }
    sessions = connector->metrics.sessions_moved - sessions;
    requests = connector->metrics.requests_moved - requests;
    if (sessions > 0 || requests > 0)
        log_info(NULL, "moved to other brokers: %llu sessions, %llu requests",
                 (unsigned long long)sessions, (unsigned long long)requests);
}
