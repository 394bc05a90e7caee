/* retention - when a message ends, by PostgreSQL's clock. */
#ifndef BECKON_BROKER_RETENTION_H
#define BECKON_BROKER_RETENTION_H

#include "broker/broker.h"
#include "broker/message.h"

#define RETENTION_DAY_MS (24u * 60 * 60 * 1000)

/* Now, as the database sees it: what brokers and SQL decide by time must not differ by their
 * clocks. */
static inline uint64_t retention_now_ms(const struct broker *broker)
{
    return loop_wall_ms(broker->loop) + (uint64_t)broker->clock_ahead_ms;
}

static inline uint64_t retention_ms(const struct broker *broker)
{
    return (uint64_t)broker->options.retention_days * RETENTION_DAY_MS;
}

/* The sender's time to live, at most the retention time, which is also the default. */
static inline uint64_t retention_end_ms(const struct broker *broker, const struct message *message)
{
    uint64_t end_ms = message->sent_at_ms + retention_ms(broker);

    if (message->misdated || (message->expires_at_ms != 0 && message->expires_at_ms < end_ms))
        return message->expires_at_ms;
    return end_ms;
}

/* It is not delivered and not alerted any more. */
static inline bool retention_over(const struct broker *broker, const struct message *message)
{
    return retention_end_ms(broker, message) <= retention_now_ms(broker);
}

#endif
