/* feed - see the header. */
#include "broker/feed.h"

#include "broker/device.h"
#include "broker/store.h"

#include <stdlib.h>

static void drop_ready(struct feed *feed)
{
    for (uint32_t i = 0; i < feed->ready_count; i++)
        message_unref(feed->ready[feed->ready_head + i]);
    free(feed->ready);
    feed->ready = NULL;
    feed->ready_head = feed->ready_count = 0;
}

void feed_fini(struct feed *feed)
{
    drop_ready(feed);
}

void feed_forget(struct feed *feed)
{
    drop_ready(feed);
    feed->fetch_stale = true;
}

void feed_seek(struct feed *feed, uint64_t seq)
{
    if (feed->next_seq == seq)
        return;
    feed->next_seq = seq;
    while (feed->ready_count > 0 && feed->ready[feed->ready_head]->seq < seq) {
        message_unref(feed->ready[feed->ready_head++]);
        feed->ready_count--;
    }
    if (feed->ready_count == 0 || feed->ready[feed->ready_head]->seq != seq)
        feed_forget(feed);
}

struct message *feed_next(struct broker *broker, struct feed *feed)
{
    struct message *message;

    if (feed->ready_count > 0) {
        message = feed->ready[feed->ready_head];
        if (message->seq >= feed->next_seq) {
            feed->next_seq = message->seq;
            return message;
        }
        drop_ready(feed);
    }
    if (feed->next_seq > feed->device->user->last_seq)
        return NULL;
    message = tail_get(&feed->device->user->tail, feed->next_seq);
    if (!message)
        store_fetch(broker, feed);
    return message;
}

void feed_take(struct feed *feed)
{
    if (feed->ready_count > 0 && feed->ready[feed->ready_head]->seq == feed->next_seq) {
        message_unref(feed->ready[feed->ready_head++]);
        if (--feed->ready_count == 0)
            drop_ready(feed);
    }
    feed->next_seq++;
}

void feed_fetched(struct feed *feed, struct message **ready, uint32_t count, uint64_t none_up_to)
{
    drop_ready(feed);
    if (count > 0) {
        feed->ready = ready;
        feed->ready_count = count;
        return;
    }
    free(ready);
    if (none_up_to >= feed->next_seq)
        feed->next_seq = none_up_to + 1;
}
