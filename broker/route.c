/* route - see the header. */
#include "broker/route.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/plugin.h"
#include "broker/session.h"

/* A client that has just connected subscribes within a round trip: what comes meanwhile waits for
 * that instead of being pushed to somebody who is there. */
#define SUBSCRIBE_GRACE_MS 2000

static bool is_open(const struct device *device)
{
    const struct session *session = device->session;

    return session && session->opened && !session->unlinked && device->no != 0 &&
           device->writes == 0;
}

static enum route_state state_of(const struct device *device)
{
    return device->session->state == WIRE_FOREGROUND ? ROUTE_FOREGROUND : ROUTE_BACKGROUND;
}

enum route_state route_state(const struct device *device)
{
    return is_open(device) && device->inbox ? state_of(device) : ROUTE_OFFLINE;
}

static const struct step *socket_step(struct broker *broker, const struct device *device,
                                      enum route_state state, bool notification)
{
    const struct steps *steps = &broker->routing.state[state];
    const struct step *step = &steps->step[0];
    uint32_t flags;

    if (state == ROUTE_OFFLINE || steps->count == 0 || !step->plugin)
        return NULL;
    flags = plugin_flags(step->plugin);
    if (!(flags & DP_USES_SOCKET) || ((flags & DP_USES_NOTIFICATION) != 0) != notification)
        return NULL;
    return device->session->doubtful && route_has_alert(broker, device) ? NULL : step;
}

const struct step *route_message_step(struct broker *broker, const struct device *device)
{
    /* What was begun while it was subscribed is completed when it is not any more (MQTT-3.10.4-3),
     * over its next connection too (MQTT-4.4.0-1). */
    bool unfinished = is_open(device) && device->feed.next_seq <= device->sent_seq;

    return socket_step(broker, device, unfinished ? state_of(device) : route_state(device), false);
}

const struct step *route_notify_step(struct broker *broker, const struct device *device)
{
    return socket_step(broker, device, route_state(device), true);
}

bool route_pending(struct broker *broker, const struct device *device, uint64_t *ret_until_ms)
{
    const struct session *session = device->session;

    *ret_until_ms = UINT64_MAX;
    if (device->writes > 0)
        return true;
    if (!session)
        return false;
    if (!session->opened || session->unlinked)
        return true;
    if (device->inbox || device->tap)
        return false;
    *ret_until_ms = session->opened_ms + SUBSCRIBE_GRACE_MS;
    return loop_now_ms(broker->loop) < *ret_until_ms;
}

static struct plugin *resolve(struct broker *broker, const struct device *device,
                              const struct step *step)
{
    if (!step->plugin)
        return device->push ? plugin_find(broker, device->push->provider) : NULL;
    return plugin_flags(step->plugin) & DP_USES_SOCKET ? NULL : step->plugin;
}

bool route_alert_step(struct broker *broker, const struct device *device, enum route_state state,
                      uint32_t index, struct plugin **ret_plugin, uint32_t *ret_ack_ms)
{
    const struct steps *steps = &broker->routing.state[state];

    for (uint32_t i = 0; i < steps->count; i++) {
        struct plugin *plugin = resolve(broker, device, &steps->step[i]);

        if (!plugin || index-- > 0)
            continue;
        *ret_plugin = plugin;
        *ret_ack_ms = steps->step[i].ack_ms;
        return true;
    }
    return false;
}

bool route_has_alert(struct broker *broker, const struct device *device)
{
    struct plugin *plugin;
    uint32_t ack_ms;

    if (device->no == 0)
        return false;
    return route_alert_step(broker, device, ROUTE_OFFLINE, 0, &plugin, &ack_ms);
}

uint64_t route_wants(struct broker *broker, const struct device *device)
{
    uint64_t messages = UINT64_MAX, alerts = UINT64_MAX;

    if (route_message_step(broker, device))
        messages = device->feed.next_seq;
    else if (device->no != 0 &&
             (route_has_alert(broker, device) || route_notify_step(broker, device)))
        alerts = alert_next_seq(device);
    return messages < alerts ? messages : alerts;
}

uint32_t route_ack_ms(const struct broker *broker, bool notification)
{
    const struct steps *steps =
        &broker->routing.state[notification ? ROUTE_BACKGROUND : ROUTE_FOREGROUND];

    return steps->count > 0 ? steps->step[0].ack_ms : 0;
}
