/* session - what of a connection the broker has to know.
 *
 * Nothing here waits for the link: while it is down records are simply not sent, because all of
 * them are covered by the announcement (session_announce.c) when it comes up again: of a connection
 * that lives by itself, of one that ended meanwhile by what ended.c and will.c keep. */
#include "connector/session.h"

#include <stdlib.h>

#include "connector/conn.h"
#include "connector/ended.h"
#include "connector/expiry.h"
#include "connector/handle.h"
#include "connector/keepalive.h"
#include "connector/limits.h"
#include "connector/request.h"
#include "connector/session_internal.h"

/* Stalled connections read again in one turn: each may bring up to READ_BYTES_PER_TURN. */
#define RESUME_PER_TURN 256

struct wire_open session_wire_open(const struct conn *c)
{
    const struct client *client = c->client;

    return (struct wire_open){
        .conn = conn_handle(c),
        .user = client_user(client),
        .device = client_device(client),
        .level = c->level,
        .clean_start = client->clean_start,
        .service = client->service,
        .state = client->device_state,
        .lease_s = client->lease_s,
        .session_expiry_s = client->session_expiry_s,
        .receive_max = client->receive_max,
        .token_issued_s = client->token_issued_s,
        .will = will_view(client->will),
    };
}

void session_open(struct conn *c)
{
    struct broker *broker = brokers_of(c->connector->brokers, client_user(c->client));
    struct wire_open open = session_wire_open(c);
    struct buf *frame = broker_frame(broker);

    c->owner = broker != NULL ? broker->slot : BROKER_NONE;
    if (frame != NULL)
        wire_put_open(frame, &open);
}

/* Only inbox/# can be resumed; anything else is of a later release. */
static void resume_subscriptions(struct conn *c, struct wire_list list)
{
    struct wire_subscription subscription;

    while (wire_subscription_next(&list, &subscription) == 1) {
        if (bytes_equal_string(subscription.filter, "inbox/#"))
            c->inbox = (struct inbox_subscription){
                .id = subscription.id,
                .active = true,
                .qos = subscription.qos,
                .options = subscription.options,
            };
    }
}

void session_on_opened(struct broker *broker, const struct wire_opened *opened)
{
    struct connector *connector = broker->brokers->connector;
    struct buf *frame = broker_frame(broker);
    struct conn *c = conn_find(connector->conns, opened->conn);

    if (c == NULL || c->state != CONN_OPENING || c->owner != broker->slot) {
        connector->metrics.records_stale++; /* closed, refused or moved meanwhile */
        /* CLOSE may have been lost with a link while the broker still read the user: again. */
        if (c == NULL && frame != NULL)
            wire_put_close(frame, &(struct wire_close){.conn = opened->conn,
                                                       .epoch = opened->epoch,
                                                       .reason = MQTT_UNSPECIFIED_ERROR});
        return;
    }
    if (opened->reason != 0) {
        connect_refuse(c, opened->reason, "refused by the broker");
        return;
    }
    c->client->epoch = opened->epoch;
    c->inflight.acked_seq = opened->acked_seq;
    resume_subscriptions(c, opened->subscriptions);
    conn_set_state(&connector->conns->lists, c, CONN_ACTIVE);
    connect_accept(c, opened->session_present, opened->session_expiry_s);
    if (!conn_is_open(c))
        return; /* no memory for the CONNACK */
    c->last_seen_ms = loop_now_ms(connector->loop);
    keepalive_arm(c);
    if (conn_is_open(c))
        conn_update_reading(c);
}

/* Answers to these would find nobody, and the broker does not answer for a closed connection.
 * Anything else stays until it is answered: its sender may count on it. */
static void forget_requests_of_session(struct conn *c)
{
    struct broker *broker = brokers_at(c->connector->brokers, c->owner);
    struct link_request request;
    uint64_t before;

    for (uint64_t token = c->last_request; token != 0; token = before) {
        before = link_requests_before(broker->requests, token);
        if (link_requests_find(broker->requests, token, &request))
            request_done(broker, token, c);
    }
    c->last_request = 0;
}

bool session_awaits_answers(const struct conn *c)
{
    return c->client->unanswered > 0;
}

static void keep_will(struct conn *c, const struct mid *mid)
{
    struct connector *connector = c->connector;
    struct client *client = c->client;
    uint64_t now_ms = loop_now_ms(connector->loop);
    struct pending_will pending = {
        .conn = conn_handle(c),
        .owner = c->owner,
        .mid = *mid,
        .epoch = client->epoch,
        .due_ms = expiry_at_ms(now_ms, client->will->delay_s),
        .session_ends_ms = expiry_at_ms(now_ms, client->session_expiry_s),
        .user = client_user(client),
        .device = client_device(client),
    };

    if (wills_add(connector->wills, &pending, &client->will) < 0)
        connector->metrics.wills_dropped++;
}

/* Until the broker says that it has committed what was acknowledged here. */
static void keep_ended(struct conn *c)
{
    struct connector *connector = c->connector;
    const struct client *client = c->client;
    struct wire_ended record = {
        .conn = conn_handle(c),
        .epoch = client->epoch,
        .user = client_user(client),
        .device = client_device(client),
    };
    struct session_lists lists;

    session_progress(c, &record.messages, &record.notified, &lists);
    if (ended_add(connector->ended, c->owner, &record, &lists.messages, &lists.notified,
                  expiry_at_ms(loop_now_ms(connector->loop), client->session_expiry_s)) < 0)
        connector->metrics.ended_dropped++;
}

void session_end(struct conn *c, uint8_t mqtt_reason, bool will_due, bool tell_broker)
{
    struct buf *frame;
    struct wire_close close;

    if (!conn_is_open(c) && c->state != CONN_OPENING)
        return;
    limits_device_gone(c);
    forget_requests_of_session(c);
    if (!tell_broker)
        return;
    if ((c->turn_flags & TURN_ACK) != 0)
        session_send_ack(c); /* not told yet: CLOSE must not overtake it */
    close = (struct wire_close){
        .conn = conn_handle(c),
        .epoch = c->client->epoch,
        .reason = mqtt_reason,
        .send_will = will_due && conn_is_open(c) && c->client->will != NULL,
        .session_expiry_s = c->client->session_expiry_s,
    };
    if (close.send_will) {
        close.will_mid = mid_mint(loop_wall_ms(c->connector->loop));
        keep_will(c, &close.will_mid);
    }
    if (conn_is_open(c))
        keep_ended(c);
    frame = conn_frame(c);
    if (frame == NULL)
        return;
    wire_put_close(frame, &close);
    c->connector->brokers->hurry = true;
}

static struct wire_progress progress_of(const struct inflight *inflight, uint64_t *room,
                                        struct wire_seqs *ret_seqs)
{
    uint64_t *sent;

    *ret_seqs = (struct wire_seqs){.more = room, .more_count = inflight_list(inflight, true, room)};
    sent = room + ret_seqs->more_count; /* together they are what is in flight */
    ret_seqs->sent = sent;
    ret_seqs->sent_count = inflight_list(inflight, false, sent);
    return (struct wire_progress){.acked_seq = inflight->acked_seq};
}

void session_progress(const struct conn *c, struct wire_progress *ret_messages,
                      struct wire_progress *ret_notified, struct session_lists *ret_lists)
{
    uint64_t *room = c->connector->seqs;

    *ret_messages = progress_of(&c->inflight, room, &ret_lists->messages);
    *ret_notified = progress_of(&c->client->notified, room + INFLIGHT_MAX, &ret_lists->notified);
}

static void send_ack(struct conn *c, enum wire_type type, const struct inflight *inflight)
{
    struct buf *frame = conn_frame(c);
    uint64_t *more = c->connector->seqs;
    struct wire_ack ack = {
        .conn = conn_handle(c),
        .epoch = c->client->epoch,
        .acked_seq = inflight->acked_seq,
    };

    if (frame != NULL)
        wire_put_ack(frame, type, &ack, more, inflight_list(inflight, true, more));
}

void session_send_ack(struct conn *c)
{
    send_ack(c, WIRE_ACK, &c->inflight);
    if (c->client->notified.acked_seq > 0 || c->client->notified.count > 0)
        send_ack(c, WIRE_NOTIFIED, &c->client->notified);
}

void session_on_doubt(struct broker *broker, const struct wire_session *doubt)
{
    struct conn *c = conn_of(broker, doubt->conn);

    if (c != NULL && conn_is_open(c) && c->client->epoch == doubt->epoch)
        c->client->doubtful = true;
    else
        broker->brokers->connector->metrics.records_stale++;
}

void session_heard(struct conn *c)
{
    struct buf *frame = conn_frame(c);

    if (frame == NULL || !conn_is_open(c))
        return; /* the announcement will say it */
    c->client->doubtful = false;
    wire_put_session(frame, WIRE_HEARD,
                     &(struct wire_session){.conn = conn_handle(c), .epoch = c->client->epoch});
}

void session_stall(struct conn *c, struct broker *broker)
{
    c->connector->metrics.stalls++;
    c->stalled_for = broker->slot;
    broker->stalled = true;
    conn_set_state(&c->connector->conns->lists, c, CONN_STALLED);
}

/* A broker that is gone stalls nobody. */
static bool may_resume(const struct brokers *brokers, const struct conn *c)
{
    const struct broker *broker = brokers_at(brokers, c->stalled_for);

    return broker == NULL || broker_roomy(broker);
}

static bool somebody_may_resume(const struct brokers *brokers)
{
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        const struct broker *broker = brokers->slots[i];

        if (broker != NULL && broker->stalled && broker_roomy(broker))
            return true;
    }
    return false;
}

/* The list was looked through: who is still on it waits for a broker that has no room. */
static void nobody_stalled(struct brokers *brokers)
{
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL && broker_roomy(brokers->slots[i]))
            brokers->slots[i]->stalled = false;
    }
}

void session_resume_stalled(struct connector *connector)
{
    struct conn_list *stalled = &connector->conns->lists.in[CONN_STALLED];
    unsigned resumed = 0;
    struct conn *c, *next;

    if (TAILQ_EMPTY(stalled) || !somebody_may_resume(connector->brokers))
        return;
    for (c = TAILQ_FIRST(stalled); c != NULL && resumed < RESUME_PER_TURN; c = next) {
        next = TAILQ_NEXT(c, state_link);
        if (!may_resume(connector->brokers, c))
            continue;
        resumed++;
        conn_set_state(&connector->conns->lists, c, CONN_ACTIVE);
        c->last_seen_ms = loop_now_ms(connector->loop); /* the silence was ours */
        conn_update_reading(c);
    }
    if (c == NULL)
        nobody_stalled(connector->brokers);
}
