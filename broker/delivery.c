/* delivery - see the header. */
#include "broker/delivery.h"

#include "broker/alert.h"
#include "broker/alert_properties.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/inbox.h"
#include "broker/notification.h"
#include "broker/session.h"
#include "broker/unread.h"
#include "common/auto.h"
#include "common/log.h"

/* MQTT 5.0 section 2.2.2.2: Payload Format Indicator 1, Content Type */
static const uint8_t json_properties[] = {0x01, 1,   0x03, 0,   16,  'a', 'p', 'p', 'l', 'i', 'c',
                                          'a',  't', 'i',  'o', 'n', '/', 'j', 's', 'o', 'n'};

static uint32_t device_state(const struct device *device)
{
    const struct session *session = device->session;

    if (!session)
        return DP_OFFLINE;
    return session->state == WIRE_FOREGROUND ? DP_FOREGROUND : DP_BACKGROUND;
}

static int render(struct broker *broker, const struct delivery_source *source, struct buf *out,
                  bool *ret_whole)
{
    const struct options *o = &broker->options;
    struct notification n = {.message = source->message,
                             .badge = unread_badge(source->device->user),
                             .summarized = source->summarized,
                             .content = o->notification_content,
                             .sender_may_title = o->notification_sender_may_title,
                             .title = o->notification_title,
                             .body = o->notification_body,
                             .sound = o->notification_sound,
                             .category = o->notification_category};

    return notification_render(&n, out, ret_whole);
}

static struct dp_device describe_device(const struct device *device)
{
    const struct push *push = device->push;

    return (struct dp_device){.struct_size = sizeof(struct dp_device),
                              .state = device_state(device),
                              .user = device->user->id,
                              .device = device->id,
                              .push_provider = push ? push->provider : "",
                              .push_token = push ? push->token : "",
                              .push_topic = push ? push->topic : "",
                              .push_environment = push ? push->environment : "",
                              .push_registered_at_ms = push ? push->registered_at_ms : 0};
}

static struct dp_message describe_message(const struct message *message, bool redelivery)
{
    struct dp_message m = {.struct_size = sizeof(m),
                           .flags = (message->expires_at_ms ? DP_MESSAGE_HAS_EXPIRY : 0u) |
                                    (redelivery ? DP_MESSAGE_REDELIVERY : 0u),
                           .from = message->from,
                           .conversation = message->conversation,
                           .sent_at_ms = message->sent_at_ms,
                           .expires_at_ms = message->expires_at_ms,
                           .payload = message->payload.data,
                           .payload_size = message->payload.len,
                           .properties = message->properties.data,
                           .properties_size = message->properties.len,
                           .priority = 10};

    memcpy(m.mid, message->mid.octets, MID_SIZE);
    return m;
}

int delivery_start(struct broker *broker, struct plugin *plugin,
                   const struct delivery_source *source, uint64_t id)
{
    uint32_t flags = plugin_flags(plugin);
    struct dp_device device = describe_device(source->device);
    struct dp_message message = describe_message(source->message, source->redelivery);
    struct dp_delivery delivery = {.struct_size = sizeof(delivery),
                                   .attempt = source->attempt ? source->attempt : 1,
                                   .id = id,
                                   .deadline_ms = source->deadline_ms,
                                   .message = &message,
                                   .device = &device};
    struct buf document = {0};
    bool whole;
    int r = 0;

    if ((flags & DP_USES_NOTIFICATION) && !(flags & DP_USES_SOCKET)) {
        r = render(broker, source, &document, &whole);
        buf_put_u8(&document, '\0');
        if (r < 0 || !buf_ok(&document)) {
            buf_release(&document);
            return ERR_AGAIN;
        }
        delivery.notification = (const char *)document.data;
        delivery.notification_size = document.len - 1;
        message.priority = alert_properties_read(source->message->properties).priority;
    }
    r = plugin_deliver(plugin, &delivery, source);
    buf_release(&document);
    return r;
}

void delivery_outcome(struct broker *broker, struct plugin *plugin, uint64_t id,
                      const struct dp_outcome *outcome)
{
    uint32_t flags = plugin_flags(plugin);

    if (!(flags & DP_USES_SOCKET))
        alert_push_outcome(broker, plugin, id, outcome);
    else if (flags & DP_USES_NOTIFICATION)
        alert_notify_outcome(broker, id, outcome);
    else
        inbox_outcome(broker, id, outcome);
}

void delivery_plugin_ready(struct broker *broker, struct plugin *plugin)
{
    alert_plugin_ready(broker, plugin);
}

/* The document takes the place of the payload; the topic needs the rest. */
static int notification_body(struct broker *broker, const struct delivery_source *source,
                             struct buf *out)
{
    struct buf document = {0};
    struct wire_body body;
    bool whole = false;
    int r = wire_get_body(message_body(source->message), &body);

    if (r == 0)
        r = render(broker, source, &document, &whole);
    if (r == 0) {
        body.payload = bytes_of(document.data, (uint32_t)document.len);
        body.properties = bytes_of(json_properties, sizeof(json_properties));
        wire_put_body(out, &body);
        if (source->flight)
            source->flight->whole = whole;
    }
    buf_release(&document);
    return r == 0 && buf_ok(out) ? 0 : ERR_NO_MEMORY;
}

int32_t delivery_socket_send(struct broker *broker, const struct delivery_source *source,
                             uint32_t kind)
{
    struct session *session = source->device->session;
    struct buf body = {0};
    struct wire_deliver record;

    if (!session || !session->opened || session->unlinked || kind > DP_SOCKET_NOTIFICATION)
        return -1;
    record = (struct wire_deliver){.conn = session->conn,
                                   .seq = source->message->seq,
                                   .dup = source->redelivery,
                                   .notification = kind == DP_SOCKET_NOTIFICATION,
                                   .encoded_body = message_body(source->message)};
    if (record.notification) {
        if (notification_body(broker, source, &body) < 0) {
            buf_release(&body);
            return -1;
        }
        record.encoded_body = bytes_of(body.data, (uint32_t)body.len);
    }
    wire_put_deliver(bus_out(broker, session->peer), &record);
    buf_release(&body);
    return 0;
}

/* --- log.deliveries --- */

static void log_mid(struct broker *broker, const struct device *device, const struct mid *mid,
                    const char *route, const char *what, uint64_t since_ms)
{
    char text[MID_TEXT_SIZE];

    if (!broker->options.log_deliveries)
        return;
    mid_format(mid, text);
    log_info(NULL, "%s mid=%s to=%s device=%s route=%s ms=%llu", what, text, device->user->id,
             device->id, route, (unsigned long long)(loop_now_ms(broker->loop) - since_ms));
}

void delivery_log(struct broker *broker, const struct device *device, const struct flight *flight,
                  const char *route, const char *what)
{
    log_mid(broker, device, &flight->mid, route, what, flight->sent_ms);
}

void delivery_log_push(struct broker *broker, const struct device *device,
                       const struct message *message, const char *route, uint64_t began_ms)
{
    log_mid(broker, device, &message->mid, route, "alerted", began_ms);
}
