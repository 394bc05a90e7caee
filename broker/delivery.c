/* delivery - see the header. */
#include "broker/delivery.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/inbox.h"
#include "broker/session.h"

static uint32_t device_state(const struct device *device)
{
    const struct session *session = device->session;

    if (!session)
        return DP_OFFLINE;
    return session->state == WIRE_FOREGROUND ? DP_FOREGROUND : DP_BACKGROUND;
}

int delivery_start(struct broker *broker, struct plugin *plugin,
                   const struct delivery_source *source, uint64_t id)
{
    const struct device *device = source->device;
    const struct message *message = source->message;
    struct dp_device dp_device = {.struct_size = sizeof(dp_device),
                                  .state = device_state(device),
                                  .user = device->user->id,
                                  .device = device->id,
                                  .push_provider = "",
                                  .push_token = "",
                                  .push_topic = "",
                                  .push_environment = ""};
    struct dp_message dp_message = {.struct_size = sizeof(dp_message),
                                    .flags = (message->expires_at_ms ? DP_MESSAGE_HAS_EXPIRY : 0u) |
                                             (source->redelivery ? DP_MESSAGE_REDELIVERY : 0u),
                                    .from = message->from,
                                    .conversation = message->conversation,
                                    .sent_at_ms = message->sent_at_ms,
                                    .expires_at_ms = message->expires_at_ms,
                                    .payload = message->payload.data,
                                    .payload_size = message->payload.len,
                                    .properties = message->properties.data,
                                    .properties_size = message->properties.len,
                                    .priority = 10};
    struct dp_delivery delivery = {.struct_size = sizeof(delivery),
                                   .attempt = 1,
                                   .id = id,
                                   .message = &dp_message,
                                   .device = &dp_device};

    (void)broker;
    memcpy(dp_message.mid, message->mid.octets, MID_SIZE);
    return plugin_deliver(plugin, &delivery, source);
}

void delivery_outcome(struct broker *broker, struct plugin *plugin, uint64_t id,
                      const struct dp_outcome *outcome)
{
    (void)plugin;
    inbox_outcome(broker, id, outcome->kind, outcome->reason);
}

void delivery_plugin_ready(struct broker *broker, struct plugin *plugin)
{
    (void)broker;
    (void)plugin; /* a socket that takes nothing now says so by its own end */
}

int32_t delivery_socket_send(struct broker *broker, const struct delivery_source *source,
                             uint32_t kind)
{
    struct session *session = source->device->session;

    if (kind != DP_SOCKET_MESSAGE || !session || !session->opened)
        return -1;
    wire_put_deliver(bus_out(broker, session->peer),
                     &(struct wire_deliver){.conn = session->conn,
                                            .seq = source->message->seq,
                                            .dup = source->redelivery,
                                            .encoded_body = message_body(source->message)});
    return 0;
}
