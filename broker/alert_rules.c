/* alert_rules - which messages are alerted, and when a person who is at another device is left in
 * peace for a moment. */
#include "broker/alert_internal.h"

#include "broker/alert_properties.h"
#include "broker/retention.h"
#include "broker/session.h"
#include "broker/unread.h"

const char *alert_suppressed(struct broker *broker, const struct device *device,
                             const struct message *message)
{
    if (message->kind != WIRE_BODY_USER && message->kind != WIRE_BODY_GROUP)
        return "copy";
    if (message->origin_device != 0 && message->origin_device == device->no)
        return "copy"; /* No Local: this device sent it to its own person */
    if (retention_over(broker, message))
        return "expired";
    if (alert_properties_none(message->properties))
        return "alert-none";
    if (unread_was_read(device->user, message))
        return "read";
    return NULL;
}

static bool at_another_device(const struct device *device)
{
    const struct device *other;

    TAILQ_FOREACH(other, &device->user->devices, link)
    {
        if (other != device && route_state(other) == ROUTE_FOREGROUND && !other->session->doubtful)
            return true;
    }
    return false;
}

uint64_t alert_held_until(struct broker *broker, const struct device *device,
                          const struct message *message)
{
    uint64_t wall_ms = loop_wall_ms(broker->loop);
    uint64_t until_ms = message->sent_at_ms + broker->options.hold_ms;

    if (broker->options.hold_ms == 0 || until_ms <= wall_ms || !at_another_device(device))
        return 0;
    /* a sender's clock that runs ahead holds nothing back for longer than that */
    if (until_ms - wall_ms > broker->options.hold_ms)
        until_ms = wall_ms + broker->options.hold_ms;
    return loop_now_ms(broker->loop) + (until_ms - wall_ms);
}
