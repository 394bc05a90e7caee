/* session_handlers - OPEN, ANNOUNCE, CLOSE, STATE from connectors. docs/wire.md
 *
 * An OPEN whose user is not in memory is parked; one whose session is persistent is answered after
 * the commit that makes it so. Between OPEN and OPENED the session exists (so that a CLOSE or a
 * newer OPEN finds it) but nothing is delivered. */
#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/inbox.h"
#include "broker/retention.h"
#include "broker/session_internal.h"
#include "broker/store.h"
#include "common/log.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* MQTT 5.0 section 2.4 */
enum { SUCCESS = 0x00, SERVER_UNAVAILABLE = 0x88, SESSION_TAKEN_OVER = 0x8E };

static void refuse_open(struct broker *broker, struct peer *peer, uint64_t conn, uint8_t reason)
{
    wire_put_opened(bus_out(broker, peer), &(struct wire_opened){.conn = conn, .reason = reason},
                    NULL, 0);
}

void session_opened(struct broker *broker, struct session *session, uint8_t reason)
{
    struct device *device = session->device;
    struct wire_opened record = {.conn = session->conn,
                                 .reason = reason,
                                 .session_present = session->session_present,
                                 .epoch = session->epoch,
                                 .session_expiry_s = session->expiry_s,
                                 .acked_seq = device->acked_seq};
    struct wire_subscription *list = NULL;

    session->opened = true;
    session->opened_ms = loop_now_ms(broker->loop);
    if (device->subscription_count > 0) {
        list = calloc(device->subscription_count, sizeof(*list));
        if (!list) {
            refuse_open(broker, session->peer, session->conn, SERVER_UNAVAILABLE);
            session_end(broker, session, &(struct session_ending){.keep_session = true});
            return;
        }
    }
    for (uint16_t i = 0; i < device->subscription_count; i++)
        list[i] =
            (struct wire_subscription){.filter = bytes_of_string(device->subscriptions[i].filter),
                                       .qos = device->subscriptions[i].qos,
                                       .options = device->subscriptions[i].options,
                                       .id = device->subscriptions[i].id};
    wire_put_opened(bus_out(broker, session->peer), &record, list, device->subscription_count);
    free(list);
    inbox_pump(broker, device);
}

/* The session rows are committed. The connection may be another one, or gone. */
static void on_session_stored(struct broker *broker, struct store_op *op)
{
    struct device *device = device_find(op->user, bytes_of_string(op->device_id));

    if (!device)
        return;
    device->writes--;
    if (op->failed && op->type == STORE_SESSION_FIRST)
        device->session_stored = false; /* there is not even the person's row */
    if (device->session && device->session->epoch == op->arg_token && op->failed) {
        refuse_open(broker, device->session->peer, device->session->conn, SERVER_UNAVAILABLE);
        session_end(broker, device->session, &(struct session_ending){.keep_session = true});
    } else if (device->session && device->session->epoch == op->arg_token)
        session_opened(broker, device->session, SUCCESS);
    else if (device->session)
        inbox_pump(broker, device);
    else
        device_idle(broker, device);
}

/* Queues the writes that the new connection needs. 0: none, 1: OPENED follows the commit. A
 * stranger's row is made with the first session that is kept, and by the same commit. */
static int store_session(struct broker *broker, struct session *session, bool clean)
{
    struct device *device = session->device;
    struct user *user = device->user;
    bool clear = clean && device->session_stored;
    bool put = session->expiry_s > 0 || (!clean && device->session_stored);
    struct store_op *clear_op = NULL, *put_op = NULL, *last;

    if (!clear && !put)
        return 0;
    if (clear)
        clear_op = store_op_create(STORE_SESSION_CLEAR, user, device);
    if (put)
        put_op =
            store_op_create(user->no == 0 ? STORE_SESSION_FIRST : STORE_SESSION_PUT, user, device);
    if ((clear && !clear_op) || (put && !put_op)) {
        free(clear_op);
        free(put_op);
        return ERR_NO_MEMORY;
    }
    device->session_stored = put;
    device->session_expiry_s = session->expiry_s;
    device->session_expires_at_ms = 0;
    if (put)
        put_op->expiry_s = session->expiry_s;
    if (put && user->no == 0)
        user_joins(broker, user);
    last = put ? put_op : clear_op;
    last->done = on_session_stored;
    last->arg_token = session->epoch;
    device->writes++;
    if (clear)
        store_op_add(broker, clear_op);
    if (put)
        store_op_add(broker, put_op);
    return 1;
}

/* The Will of the connection before: withdrawn when its session goes on, due when it ended. */
static void settle_will(struct broker *broker, struct device *device, bool session_goes_on)
{
    if (!device->will)
        return;
    if (session_goes_on)
        will_withdraw(broker, device);
    else
        will_publish_now(broker, device);
}

static bool names_valid(const struct wire_open *open)
{
    return name_is_user(open->user) && name_is_device(open->device) && open->receive_max > 0 &&
           (open->state == WIRE_FOREGROUND || open->state == WIRE_BACKGROUND);
}

/* The user, ready; or NULL after parking or refusing the record. Who opens a session may be a
 * stranger: one that is not kept writes nothing, and one that is kept makes the row. */
static struct user *ready_user(struct broker *broker, struct peer *peer,
                               const struct wire_open *open, struct bytes raw)
{
    struct user *user = users_look(broker, open->user);

    if (user && !user_must_park(user))
        return user;
    if (!user || session_park(broker, peer, open->conn, user, raw) < 0)
        refuse_open(broker, peer, open->conn, SERVER_UNAVAILABLE);
    return NULL;
}

void session_on_open(struct broker *broker, struct peer *peer, const struct wire_open *open,
                     struct bytes raw)
{
    struct user *user;
    struct device *device;
    struct session *session;
    bool present;
    int r;

    if (!names_valid(open)) {
        refuse_open(broker, peer, open->conn, SERVER_UNAVAILABLE);
        return;
    }
    user = ready_user(broker, peer, open, raw);
    if (!user)
        return;
    session = session_find(broker, peer, open->conn);
    if (session) { /* asked again over a new link, before it was answered */
        device = session->device;
        device->writes++; /* not away: it comes back in a moment */
        session_end(broker, session, &(struct session_ending){.superseded = true});
        device->writes--;
    }
    device = device_find(user, open->device);
    if (!device)
        device = device_create(broker, user, open->device);
    if (!device) {
        refuse_open(broker, peer, open->conn, SERVER_UNAVAILABLE);
        return;
    }
    /* kept while the older session ends */
    device->writes++;
    if (device->session)
        session_take_over(broker, device->session, open->clean_start);
    device->writes--;
    present = !open->clean_start && device_session_present(device, retention_now_ms(broker));
    settle_will(broker, device, present);
    session = session_add(broker, peer, device, open);
    if (!session) {
        refuse_open(broker, peer, open->conn, SERVER_UNAVAILABLE);
        device_release(broker, device);
        return;
    }
    session->epoch = device->newest_epoch = session_next_epoch(broker);
    session->session_present = present;
    if (!present) {
        device_clear_subscriptions(device);
        inbox_restart(broker, device);
    }
    r = store_session(broker, session, !present);
    if (r == 0)
        session_opened(broker, session, SUCCESS);
    else if (r < 0) {
        refuse_open(broker, peer, open->conn, SERVER_UNAVAILABLE);
        session_end(broker, session, &(struct session_ending){.superseded = true});
    }
}

/* --- announced sessions --- */

static int adopt_subscriptions(struct device *device, struct wire_list list)
{
    struct wire_subscription s;

    device_clear_subscriptions(device);
    while (wire_subscription_next(&list, &s) == 1) {
        int r = device_subscribe(device, s.filter, s.qos, s.options, s.id);

        if (r < 0)
            return r;
    }
    return 0;
}

static struct store_op *put_op(const struct device *device, const struct subscription *s)
{
    struct store_op *op =
        store_op_create(s ? STORE_SUBSCRIPTION_PUT : STORE_SESSION_PUT, device->user, device);

    if (!op)
        return NULL;
    op->expiry_s = device->session->expiry_s;
    if (s) {
        snprintf(op->filter, sizeof(op->filter), "%s", s->filter);
        op->qos = s->qos;
        op->options = s->options;
        op->subscription_id = s->id;
    }
    return op;
}

/* What the database must have of a session that goes on, where it has recorded an end: this broker
 * was told of an older connection's end first (ENDED), or gave the connector up. After a mere
 * restart the rows are as they were, and nothing is written. 0; ERR_NO_MEMORY. */
static int store_adopted(struct broker *broker, const struct device *device)
{
    struct store_op_list ops = STAILQ_HEAD_INITIALIZER(ops);
    struct store_op *op;
    int r;

    if (device->session->expiry_s == 0 ||
        (device->session_stored && device->session_expires_at_ms == 0))
        return 0;
    op = put_op(device, NULL);
    for (uint16_t i = 0; op; i++) {
        STAILQ_INSERT_TAIL(&ops, op, link);
        if (i == device->subscription_count)
            break;
        op = put_op(device, &device->subscriptions[i]);
    }
    r = op ? 0 : ERR_NO_MEMORY;
    while ((op = STAILQ_FIRST(&ops))) {
        STAILQ_REMOVE_HEAD(&ops, link);
        if (r == 0)
            store_op_add(broker, op);
        else
            free(op);
    }
    return r;
}

/* A connector holds a connection that this broker does not know, or not any more. */
static void adopt(struct broker *broker, struct peer *peer, struct device *device,
                  const struct wire_announce *announce)
{
    struct session *session = session_add(broker, peer, device, &announce->open);

    if (!session || adopt_subscriptions(device, announce->subscriptions) < 0 ||
        store_adopted(broker, device) < 0) {
        if (session)
            session_end(broker, session, &(struct session_ending){.superseded = true});
        bus_kick(broker, peer, announce->open.conn, SERVER_UNAVAILABLE);
        return;
    }
    session->epoch = device->newest_epoch = announce->epoch;
    session->opened = true;
    session->opened_ms = loop_now_ms(broker->loop);
    session->doubtful = announce->doubtful;
    session->session_present = true;
    /* without expiry too, when an older session's row was taken over */
    device->session_stored = device->session_stored || session->expiry_s > 0;
    device->session_expiry_s = session->expiry_s;
    device->session_expires_at_ms = 0;
    will_withdraw(broker, device); /* the client is here after all */
    inbox_adopt(broker, device, &announce->messages, &announce->notified);
    inbox_pump(broker, device);
}

void session_on_announce(struct broker *broker, struct peer *peer,
                         const struct wire_announce *announce, struct bytes raw)
{
    const struct wire_open *open = &announce->open;
    struct user *user;
    struct device *device;
    struct session *same;

    if (!names_valid(open)) {
        bus_kick(broker, peer, open->conn, SERVER_UNAVAILABLE);
        return;
    }
    /* parked: not a session that was lost with the link */
    same = session_find(broker, peer, open->conn);
    if (same)
        same->stale = false;
    user = users_get(broker, open->user);
    if (!user || user_must_park(user)) {
        if (!user || session_park(broker, peer, open->conn, user, raw) < 0)
            bus_kick(broker, peer, open->conn, SERVER_UNAVAILABLE);
        return;
    }
    device = device_find(user, open->device);
    if (!device)
        device = device_create(broker, user, open->device);
    if (!device) {
        bus_kick(broker, peer, open->conn, SERVER_UNAVAILABLE);
        return;
    }
    if (device->session && device->session != same && device->session->epoch > announce->epoch) {
        bus_kick(broker, peer, open->conn, SESSION_TAKEN_OVER);
        return;
    }
    device->writes++; /* kept while the older session ends */
    if (device->session && device->session == same)
        session_end(broker, same, &(struct session_ending){.superseded = true});
    else if (device->session)
        session_take_over(broker, device->session, false);
    device->writes--;
    adopt(broker, peer, device, announce);
}

/* --- the end --- */

/* A Session Expiry Interval as this broker grants it. */
static uint32_t bounded(const struct broker *broker, uint32_t expiry_s)
{
    uint32_t most = broker->options.session_max_expiry_s;

    return expiry_s < most ? expiry_s : most;
}

/* What the client had when its connection ended, while no broker could be told or before the broker
 * that was told had committed it. No newer connection: that one gets again what is missing here. */
static void catch_up(struct broker *broker, struct device *device, const struct wire_ended *ended)
{
    device->writes++; /* not away yet: nothing is pushed before its acknowledgements are in */
    if (device->session)
        session_end(broker, device->session, &(struct session_ending){.superseded = true});
    inbox_adopt(broker, device, &ended->messages, &ended->notified);
    inbox_connection_lost(broker, device);
    device->writes--;
}

/* True: nothing that came later says otherwise about the MQTT session. After a restart the broker
 * knows no epochs, but the database says whether an end was recorded. */
static bool decides_expiry(const struct device *device, const struct wire_ended *ended)
{
    return device->newest_epoch != 0 ? device->newest_epoch <= ended->epoch
                                     : device->session_expires_at_ms == 0;
}

void session_on_ended(struct broker *broker, struct peer *peer, const struct wire_ended *ended,
                      struct bytes raw)
{
    struct session *same;
    struct device *device;
    struct user *user;

    if (!name_is_user(ended->user) || !name_is_device(ended->device)) {
        session_closed(broker, peer->id, ended->conn);
        return;
    }
    user = users_get(broker, ended->user);
    if (user && user_must_park(user) && user_park(broker, user, peer->id, raw) == 0)
        return;
    if (!user || user_must_park(user))
        return; /* out of memory: the connector keeps it for the next link */
    same = session_find(broker, peer, ended->conn);
    device = device_find(user, ended->device);
    if (!device || (device->session && device->session != same)) {
        /* nothing is known of it, or a newer connection is there */
        session_closed(broker, peer->id, ended->conn);
        return;
    }
    user_pin(broker, user);
    catch_up(broker, device, ended);
    if (decides_expiry(device, ended)) {
        device->newest_epoch = ended->epoch;
        session_leave(broker, device, bounded(broker, ended->session_expiry_s), peer->id,
                      ended->conn);
    } else {
        session_closed_when_stored(broker, device, peer->id, ended->conn);
    }
    device_idle(broker, device);
    user_unpin(broker, user);
}

void session_on_close(struct broker *broker, struct peer *peer, const struct wire_close *close)
{
    struct session *session = session_find(broker, peer, close->conn);

    if (!session) {
        /* superseded already; its Will was decided then, and its device's cursors are the newer
         * connection's business */
        if (close->send_will)
            will_done(broker, peer->id, close->conn);
        session_closed(broker, peer->id, close->conn);
        return;
    }
    if (close->send_will && !session->will)
        will_done(broker, peer->id, close->conn);
    session_end(broker, session,
                &(struct session_ending){.send_will = close->send_will,
                                         .asked = true,
                                         .expiry_s = bounded(broker, close->session_expiry_s),
                                         .will_mid = &close->will_mid});
}

/* --- in between --- */

void session_on_state(struct broker *broker, struct peer *peer, const struct wire_state *state)
{
    struct session *session = session_find(broker, peer, state->conn);

    if (session && session->epoch == state->epoch && !state->resend) {
        session_set_state(broker, session, state->state, state->lease_s);
        inbox_pump(broker, session->device);
    }
    /* what comes after this answer finds the state */
    wire_put_published(bus_out(broker, peer), &(struct wire_published){.token = state->token});
}

void session_on_heard(struct broker *broker, struct peer *peer, const struct wire_session *heard)
{
    struct session *session = session_find(broker, peer, heard->conn);

    if (session && session->epoch == heard->epoch && session->device->session == session)
        alert_heard(broker, session->device);
}
