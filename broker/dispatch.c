/* dispatch - the one table of what connectors send. */
#include "broker/dispatch.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/inbox.h"
#include "broker/ownership.h"
#include "broker/publish.h"
#include "broker/push.h"
#include "broker/session.h"
#include "broker/subscribe.h"
#include "broker/unread.h"
#include "broker/user.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

typedef void (*handler_fn)(struct broker *broker, struct peer *peer,
                           const struct wire_record *record, struct bytes raw);

#define HANDLER(name)                                                                              \
    static void name(struct broker *broker, struct peer *peer, const struct wire_record *record,   \
                     struct bytes raw)

HANDLER(on_ping)
{
    (void)broker, (void)peer, (void)record, (void)raw; /* having been heard is all */
}

HANDLER(on_refuse)
{
    struct log_subject s = peer_log(peer);

    (void)raw;
    log_limited(loop_now_ms(broker->loop), LOG_WARNING, &s, "the connector refused a frame: %.*s",
                BYTES_FMT(record->refuse.text));
}

HANDLER(on_announce)
{
    session_on_announce(broker, peer, &record->announce, raw);
}

HANDLER(on_ended)
{
    session_on_ended(broker, peer, &record->ended, raw);
}

HANDLER(on_announce_end)
{
    (void)record, (void)raw;
    sessions_drop_stale(broker, peer);
}

HANDLER(on_open)
{
    session_on_open(broker, peer, &record->open, raw);
}

HANDLER(on_subscribe)
{
    subscribe_on_request(broker, peer, &record->subscribe, record->type == WIRE_UNSUBSCRIBE, raw);
}

HANDLER(on_publish)
{
    publish_on_record(broker, peer->id, &record->publish, raw);
}

HANDLER(on_copy)
{
    publish_on_copy(broker, peer->id, &record->publish, raw);
}

HANDLER(on_push_gone)
{
    push_on_gone(broker, peer->id, &record->push_gone, raw);
}

HANDLER(on_signal)
{
    (void)peer, (void)raw;
    publish_on_signal(broker, &record->signal);
}

HANDLER(on_ack)
{
    (void)raw;
    inbox_on_ack(broker, peer, &record->ack);
}

HANDLER(on_notified)
{
    (void)raw;
    inbox_on_notified(broker, peer, &record->ack);
}

HANDLER(on_heard)
{
    (void)raw;
    session_on_heard(broker, peer, &record->session);
}

HANDLER(on_push)
{
    push_on_record(broker, peer->id, &record->push, raw);
}

HANDLER(on_read)
{
    unread_on_read(broker, peer->id, &record->read, raw);
}

HANDLER(on_shown)
{
    unread_on_shown(broker, peer->id, &record->shown, raw);
}

HANDLER(on_skip)
{
    (void)raw;
    inbox_on_skip(broker, peer, &record->skip);
}

HANDLER(on_state)
{
    (void)raw;
    session_on_state(broker, peer, &record->state);
}

HANDLER(on_close)
{
    (void)raw;
    session_on_close(broker, peer, &record->close);
}

HANDLER(on_will)
{
    will_on_record(broker, peer->id, &record->pending_will, raw);
}

/* conn_bound: the record is about a connection, and waits if that connection's OPEN or ANNOUNCE
 * waits. */
static const struct {
    handler_fn handler;
    bool conn_bound;
} handlers[] = {
    [WIRE_PING] = {on_ping, false},
    [WIRE_REFUSE] = {on_refuse, false},
    [WIRE_ANNOUNCE] = {on_announce, false},
    [WIRE_ENDED] = {on_ended, false},
    [WIRE_ANNOUNCE_END] = {on_announce_end, false},
    [WIRE_OPEN] = {on_open, false},
    [WIRE_SUBSCRIBE] = {on_subscribe, true},
    [WIRE_UNSUBSCRIBE] = {on_subscribe, true},
    [WIRE_PUBLISH] = {on_publish, false},
    [WIRE_COPY] = {on_copy, false},
    [WIRE_PUSH_GONE] = {on_push_gone, false},
    [WIRE_SIGNAL] = {on_signal, false},
    [WIRE_ACK] = {on_ack, true},
    [WIRE_SKIP] = {on_skip, true},
    [WIRE_STATE] = {on_state, true},
    [WIRE_CLOSE] = {on_close, true},
    [WIRE_WILL] = {on_will, false},
    [WIRE_NOTIFIED] = {on_notified, true},
    [WIRE_HEARD] = {on_heard, true},
    [WIRE_PUSH] = {on_push, false},
    [WIRE_READ] = {on_read, false},
    [WIRE_SHOWN] = {on_shown, false},
};

static uint64_t record_conn(const struct wire_record *record)
{
    switch (record->type) {
    case WIRE_ANNOUNCE:
        return record->announce.open.conn;
    case WIRE_OPEN:
        return record->open.conn;
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE:
        return record->subscribe.conn;
    case WIRE_ACK:
    case WIRE_NOTIFIED:
        return record->ack.conn;
    case WIRE_HEARD:
        return record->session.conn;
    case WIRE_SKIP:
        return record->skip.conn;
    case WIRE_STATE:
        return record->state.conn;
    case WIRE_CLOSE:
        return record->close.conn;
    default:
        return 0;
    }
}

/* Whose owner the record is for; empty: anybody's, or its connection says it. */
static struct bytes record_person(const struct wire_record *record)
{
    switch (record->type) {
    case WIRE_ANNOUNCE:
        return record->announce.open.user;
    case WIRE_ENDED:
        return record->ended.user;
    case WIRE_OPEN:
        return record->open.user;
    case WIRE_PUBLISH:
        return record->publish.kind == WIRE_TO_USER ? record->publish.to : bytes_of(NULL, 0);
    case WIRE_COPY:
        return record->publish.from;
    case WIRE_SIGNAL:
        return record->signal.kind == WIRE_TO_USER ? record->signal.to : bytes_of(NULL, 0);
    case WIRE_WILL:
        return record->pending_will.user;
    case WIRE_PUSH:
        return record->push.user;
    case WIRE_PUSH_GONE:
        return record->push_gone.user;
    case WIRE_READ:
        return record->read.user;
    case WIRE_SHOWN:
        return record->shown.user;
    default:
        return bytes_of(NULL, 0);
    }
}

/* It was sent when the person was ours, as far as its sender knew. If somebody else has been the
 * owner since, it counts no more, even if the person is ours again: the sender moves it to the
 * owner of the view it reads in MEMBERS, behind what came before it, and has no answer until then.
 * Of a view that is not remembered nobody knows: the sender announces everything again. */
static bool not_ours(struct broker *broker, struct peer *peer, const struct wire_record *record)
{
    struct bytes person = record_person(record);

    if (person.len == 0)
        return false;
    switch (ownership_since(broker, person, broker->record_generation)) {
    case OWNERSHIP_HELD:
        return false;
    case OWNERSHIP_BROKEN:
        broker->metrics.records_moved++;
        return true;
    case OWNERSHIP_UNKNOWN:
        if (peer)
            bus_doom(broker, peer, "it speaks of a view that is long past");
        return true;
    }
    abort();
}

int dispatch(struct broker *broker, struct peer *peer, const struct wire_record *record,
             struct bytes raw)
{
    struct user *user;

    if (record->type >= ARRAY_LEN(handlers) || !handlers[record->type].handler)
        return ERR_PROTOCOL;
    if (record->type == WIRE_PUSH_GONE && peer->kind != WIRE_PEER_BROKER)
        return ERR_PROTOCOL;
    if (not_ours(broker, peer, record))
        return 0;
    if (handlers[record->type].conn_bound) {
        user = session_parked_on(broker, peer, record_conn(record));
        if (user && user_park(broker, user, peer->id, raw) == 0)
            return 0;
    }
    handlers[record->type].handler(broker, peer, record, raw);
    return 0;
}

void dispatch_parked(struct broker *broker, const struct parked *parked)
{
    struct bytes raw = bytes_of(parked->record, (uint32_t)parked->len);
    uint64_t peer_id = parked->peer;
    struct peer *peer = bus_peer(broker, peer_id);
    struct wire_reader reader = {.rest = raw};
    struct wire_record record;

    if (wire_next(&reader, &record) != 1)
        return; /* it was decoded before it was parked */
    if (record.type == WIRE_OPEN || record.type == WIRE_ANNOUNCE || record.type == WIRE_SUBSCRIBE ||
        record.type == WIRE_UNSUBSCRIBE)
        session_unpark(broker, peer_id, record_conn(&record));
    broker->record_generation = parked->generation;
    if (not_ours(broker, peer, &record))
        return;
    if (record.type == WIRE_PUBLISH)
        publish_on_record(broker, peer_id, &record.publish, raw);
    else if (record.type == WIRE_COPY)
        publish_on_copy(broker, peer_id, &record.publish, raw);
    else if (record.type == WIRE_WILL)
        will_on_record(broker, peer_id, &record.pending_will, raw);
    else if (peer)
        handlers[record.type].handler(broker, peer, &record, raw);
}
