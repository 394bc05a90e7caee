/* store_wait - how long a publish waits for the database: database.wait_ms, then it is refused.
 *
 * Only what is known not to be stored may be refused: what was never sent, or whose every try was
 * answered with an error. The rest waits until its outcome is known, and so do Wills, which nobody
 * could send again. In order within a batch, so that what a sender sent first is refused first. */
#include "broker/publish.h"
#include "broker/store_internal.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

/* How much longer than asked for a publish may wait: short against any sensible wait_ms. */
#define CHECK_MS 250
/* MQTT 5.0 section 2.4 */
#define QUOTA_EXCEEDED 0x97

/* Takes what is to be refused out of the batch, into refused (as large as the batch). A copy comes
 * right behind its original, and goes where that goes. */
static uint32_t take_old(struct batch *batch, uint64_t before_ms, struct put *refused)
{
    uint32_t kept = 0, taken = 0;
    int32_t original = -1;
    bool old = false;

    for (uint32_t i = 0; i < batch->put_count; i++) {
        struct put *put = &batch->puts[i];

        if (put->copy_of < 0)
            old = put->since_ms <= before_ms && !put->is_will && !put->resend;
        if (old) {
            batch->bytes -= put->message->payload.len + put->message->properties.len;
            refused[taken++] = *put;
            continue;
        }
        if (put->copy_of < 0)
            original = (int32_t)kept;
        else
            put->copy_of = original;
        batch->puts[kept++] = *put;
    }
    batch->put_count = kept;
    return taken;
}

static unsigned refuse_batch(struct store *store, struct batch *batch, uint64_t before_ms)
{
    struct put *refused;
    uint32_t count;

    if (batch->put_count == 0 || batch->puts[0].since_ms > before_ms)
        return 0;
    refused = calloc(batch->put_count, sizeof(*refused));
    if (!refused)
        return 0; /* the next check tries again */
    count = take_old(batch, before_ms, refused);
    publishes_refused(store->broker, refused, count, QUOTA_EXCEEDED);
    free(refused);
    return count;
}

static unsigned refuse_parked(struct store *store, struct user_list *list, uint64_t before_ms)
{
    unsigned count = 0;
    struct user *user;

    TAILQ_FOREACH(user, list, link)
    count += publishes_refuse_parked(store->broker, user, before_ms);
    return count;
}

static void on_wait_timer(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, wait_timer);
    struct broker *broker = store->broker;
    uint64_t now_ms = loop_now_ms(broker->loop), wait_ms = broker->options.database_wait_ms;
    struct batch *batch;
    unsigned count = 0;

    loop_timer_add(broker->loop, timer, CHECK_MS);
    if (wait_ms == 0 || now_ms < wait_ms)
        return;
    TAILQ_FOREACH(batch, &store->batches, link)
    {
        if (!batch->unknown && !(store->busy && batch == TAILQ_FIRST(&store->batches)))
            count += refuse_batch(store, batch, now_ms - wait_ms);
    }
    count += refuse_parked(store, &store->load_queue, now_ms - wait_ms);
    count += refuse_parked(store, &store->loading, now_ms - wait_ms);
    broker->metrics.publishes_timed_out += count;
    if (count > 0)
        log_limited(now_ms, LOG_WARNING, NULL,
                    "refused %u publishes that had waited %llu ms for the database", count,
                    (unsigned long long)wait_ms);
}

void wait_init(struct store *store)
{
    timer_init(&store->wait_timer, on_wait_timer);
    loop_timer_add(store->broker->loop, &store->wait_timer, CHECK_MS);
}

void wait_fini(struct store *store)
{
    loop_timer_cancel(store->broker->loop, &store->wait_timer);
}

uint64_t store_waiting_ms(const struct store *store)
{
    const struct batch *batch;

    TAILQ_FOREACH(batch, &store->batches, link)
    {
        if (batch->put_count > 0)
            return loop_now_ms(store->broker->loop) - batch->puts[0].since_ms;
    }
    return 0;
}
