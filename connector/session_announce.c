/* session_announce - a broker that just said WELCOME knows nothing, or what it knows is old.
 *
 * Everything of its people is put at once: the announcements, the sessions that ended, the Wills,
 * the OPENs that wait, ANNOUNCE_END, then the unanswered requests. Some 150 bytes a session, so
 * 50,000 sessions are 8 MB once in the life of a link; with large Wills and all the requests that
 * may wait it can be hundreds, in as many frames as it takes. What is put afterwards comes after
 * all of it. */
#include "connector/conn.h"
#include "connector/ended.h"
#include "connector/session.h"
#include "connector/session_internal.h"

/* As the broker said, and nothing was heard since; or background time granted by the client's
 * system ran out, and nothing was heard since. */
static bool is_doubtful(const struct conn *c, uint64_t now_ms)
{
    const struct client *client = c->client;

    return client->doubtful ||
           (client->device_state == WIRE_BACKGROUND && client->lease_until_ms != 0 &&
            now_ms >= client->lease_until_ms && c->last_seen_ms < client->lease_until_ms);
}

static uint32_t lease_left_s(const struct client *client, uint64_t now_ms)
{
    if (client->device_state != WIRE_BACKGROUND || client->lease_until_ms == 0)
        return 0;
    /* At least 1: 0 would mean that the client never said. */
    if (client->lease_until_ms <= now_ms + 1000)
        return 1;
    return (uint32_t)((client->lease_until_ms - now_ms) / 1000);
}

void session_announce(struct conn *c)
{
    struct buf *frame = conn_frame(c);
    uint64_t now_ms = loop_now_ms(c->connector->loop);
    struct session_lists lists;
    struct wire_announce record = {
        .open = session_wire_open(c),
        .epoch = c->client->epoch,
        .doubtful = is_doubtful(c, now_ms),
    };
    const struct wire_subscription inbox = {
        .filter = bytes_of_string("inbox/#"),
        .qos = c->inbox.qos,
        .options = c->inbox.options,
        .id = c->inbox.id,
    };

    held_drop(&c->client->held); /* never sent: the broker sends it again */
    if (frame == NULL)
        return; /* as soon as there is a link */
    record.open.lease_s = lease_left_s(c->client, now_ms);
    session_progress(c, &record.messages, &record.notified, &lists);
    wire_put_announce(frame, &record, &inbox, c->inbox.active ? 1 : 0, &lists.messages,
                      &lists.notified);
    c->client->doubtful = record.doubtful;
}

static void send_again(uint8_t type, uint8_t *record, size_t len, void *arg)
{
    struct broker *broker = arg;

    (void)type;
    wire_mark_resend(record, len);
    wire_put_raw(link_frame(broker->link), bytes_of(record, (uint32_t)len));
}

void session_announce_all(struct broker *broker, const struct wire_welcome *welcome)
{
    struct connector *connector = broker->brokers->connector;
    struct conn_lists *lists = &connector->conns->lists;
    uint64_t now_ms = loop_now_ms(connector->loop);
    struct conn *c;

    link_requests_set_credit(broker->requests, welcome->credit);
    for (unsigned state = CONN_ACTIVE; state <= CONN_LEAVING; state++) {
        TAILQ_FOREACH(c, &lists->in[state], state_link)
        {
            if (c->owner == broker->slot)
                session_announce(c);
        }
    }
    /* each 64 MB at most (main.c), which one frame may have */
    ended_announce(connector->ended, broker->slot, now_ms, link_frame(broker->link));
    wills_announce(connector->wills, broker->slot, now_ms, link_frame(broker->link));
    TAILQ_FOREACH(c, &lists->in[CONN_OPENING], state_link)
    {
        if (c->owner == broker->slot)
            session_open(c);
    }
    wire_put_empty(link_frame(broker->link), WIRE_ANNOUNCE_END);
    link_requests_each(broker->requests, send_again, broker);
}
