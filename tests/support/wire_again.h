/* wire_again - encodes a record that wire_next decoded. What decodes has one encoding only, so the
 * result must be the bytes it came from; unit tests and the fuzz target both check that. */
#ifndef BECKON_TESTS_SUPPORT_WIRE_AGAIN_H
#define BECKON_TESTS_SUPPORT_WIRE_AGAIN_H

#include <stdlib.h>

#include "common/wire.h"

/* The list as an owned array, *ret_count elements. */
static inline struct wire_subscription *wire_again_subscriptions(struct wire_list list,
                                                                 uint16_t *ret_count)
{
    struct wire_subscription *all = calloc((size_t)list.count + 1, sizeof(*all));
    uint16_t count = 0;

    if (all == NULL)
        abort();
    *ret_count = list.count;
    while (wire_subscription_next(&list, &all[count]) == 1)
        count++;
    if (count != *ret_count || list.encoded.len != 0)
        abort();
    return all;
}

static inline uint64_t *wire_again_seqs(struct wire_list list, uint16_t *ret_count)
{
    uint64_t *all = calloc((size_t)list.count + 1, sizeof(*all));
    uint16_t count = 0;

    if (all == NULL)
        abort();
    *ret_count = list.count;
    while (wire_seq_next(&list, &all[count]) == 1)
        count++;
    if (count != *ret_count || list.encoded.len != 0)
        abort();
    return all;
}

static inline struct wire_seqs wire_again_progress(const struct wire_progress *progress)
{
    struct wire_seqs seqs;

    seqs.more = wire_again_seqs(progress->more, &seqs.more_count);
    seqs.sent = wire_again_seqs(progress->sent, &seqs.sent_count);
    return seqs;
}

static inline void wire_again_free(struct wire_seqs *seqs)
{
    free((void *)seqs->more);
    free((void *)seqs->sent);
}

static inline void wire_again_shown(struct buf *frame, const struct wire_shown *shown)
{
    struct wire_list list = shown->mids;
    struct mid *mids = calloc((size_t)list.count + 1, sizeof(*mids));
    uint16_t count = 0;

    if (mids == NULL)
        abort();
    while (wire_mid_next(&list, &mids[count]) == 1)
        count++;
    if (list.encoded.len != 0)
        abort();
    wire_put_shown(frame, shown, mids, count);
    free(mids);
}

static inline void wire_again_members(struct buf *frame, const struct wire_record *record)
{
    bool welcome = record->type == WIRE_WELCOME;
    const struct wire_members *members = welcome ? &record->welcome.members : &record->members;
    struct wire_list list = members->list;
    struct wire_member *all = calloc((size_t)list.count + 1, sizeof(*all));
    uint16_t count = 0;

    if (all == NULL)
        abort();
    while (wire_member_next(&list, &all[count]) == 1)
        count++;
    if (list.encoded.len != 0)
        abort();
    if (welcome)
        wire_put_welcome(frame, &record->welcome, all, count);
    else
        wire_put_members(frame, members->generation, all, count);
    free(all);
}

/* The records that have lists. False: it is another one. */
static inline bool wire_again_with_lists(struct buf *frame, const struct wire_record *record)
{
    struct wire_subscription *subscriptions = NULL;
    struct wire_seqs messages, notified;
    uint64_t *seqs = NULL;
    uint16_t subscription_count = 0, seq_count = 0;
    bool done = true;

    switch (record->type) {
    case WIRE_ANNOUNCE:
        subscriptions =
            wire_again_subscriptions(record->announce.subscriptions, &subscription_count);
        messages = wire_again_progress(&record->announce.messages);
        notified = wire_again_progress(&record->announce.notified);
        wire_put_announce(frame, &record->announce, subscriptions, subscription_count, &messages,
                          &notified);
        wire_again_free(&messages);
        wire_again_free(&notified);
        break;
    case WIRE_ENDED:
        messages = wire_again_progress(&record->ended.messages);
        notified = wire_again_progress(&record->ended.notified);
        wire_put_ended(frame, &record->ended, &messages, &notified);
        wire_again_free(&messages);
        wire_again_free(&notified);
        break;
    case WIRE_OPENED:
        subscriptions = wire_again_subscriptions(record->opened.subscriptions, &subscription_count);
        wire_put_opened(frame, &record->opened, subscriptions, subscription_count);
        break;
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE:
        subscriptions =
            wire_again_subscriptions(record->subscribe.subscriptions, &subscription_count);
        wire_put_subscribe(frame, record->type, &record->subscribe, subscriptions,
                           subscription_count);
        break;
    case WIRE_ACK:
    case WIRE_NOTIFIED:
        seqs = wire_again_seqs(record->ack.more, &seq_count);
        wire_put_ack(frame, record->type, &record->ack, seqs, seq_count);
        break;
    case WIRE_SHOWN:
        wire_again_shown(frame, &record->shown);
        break;
    case WIRE_WELCOME:
    case WIRE_MEMBERS:
        wire_again_members(frame, record);
        break;
    default:
        done = false;
    }
    free(subscriptions);
    free(seqs);
    return done;
}

/* What only brokers send, and what both send. False: it is another one. */
static inline bool wire_again_from_broker(struct buf *frame, const struct wire_record *record)
{
    switch (record->type) {
    case WIRE_PING:
    case WIRE_ANNOUNCE_END:
        wire_put_empty(frame, record->type);
        return true;
    case WIRE_REFUSE:
        wire_put_refuse(frame, &record->refuse);
        return true;
    case WIRE_SUBACK:
        wire_put_suback(frame, &record->suback);
        return true;
    case WIRE_PUBLISHED:
        wire_put_published(frame, &record->published);
        return true;
    case WIRE_DELIVER:
        wire_put_deliver(frame, &record->deliver);
        return true;
    case WIRE_LIVE:
        wire_put_live(frame, &record->live);
        return true;
    case WIRE_KICK:
        wire_put_kick(frame, &record->kick);
        return true;
    case WIRE_WILL_DONE:
    case WIRE_CLOSED:
        wire_put_conn(frame, record->type, &record->done);
        return true;
    case WIRE_DOUBT:
        wire_put_session(frame, record->type, &record->session);
        return true;
    default:
        return false;
    }
}

/* Appends record to frame. */
static inline void wire_again(struct buf *frame, const struct wire_record *record)
{
    if (wire_again_with_lists(frame, record) || wire_again_from_broker(frame, record))
        return;
    switch (record->type) {
    case WIRE_HELLO:
        wire_put_hello(frame, &record->hello);
        break;
    case WIRE_OPEN:
        wire_put_open(frame, &record->open);
        break;
    case WIRE_PUBLISH:
    case WIRE_COPY:
        wire_put_publish(frame, record->type, &record->publish);
        break;
    case WIRE_SIGNAL:
        wire_put_signal(frame, &record->signal);
        break;
    case WIRE_SKIP:
        wire_put_skip(frame, &record->skip);
        break;
    case WIRE_STATE:
        wire_put_state(frame, &record->state);
        break;
    case WIRE_HEARD:
        wire_put_session(frame, record->type, &record->session);
        break;
    case WIRE_PUSH:
        wire_put_push(frame, &record->push);
        break;
    case WIRE_READ:
        wire_put_read(frame, &record->read);
        break;
    case WIRE_PUSH_GONE:
        wire_put_push_gone(frame, &record->push_gone);
        break;
    case WIRE_CLOSE:
        wire_put_close(frame, &record->close);
        break;
    case WIRE_WILL:
        wire_put_will(frame, &record->pending_will);
        break;
    default:
        abort(); /* a record that decodes and that nothing encodes */
    }
}

#endif
