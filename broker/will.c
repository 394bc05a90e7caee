/* will - see the header. */
#include "broker/will.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/device.h"
#include "broker/others.h"
#include "broker/ownership.h"
#include "broker/publish.h"
#include "broker/session.h"
#include "common/auto.h"
#include "common/log.h"
#include "common/topic.h"

#include <stdlib.h>

static struct bytes keep(uint8_t **cursor, struct bytes source)
{
    struct bytes kept = bytes_of(*cursor, source.len);

    if (source.len > 0)
        memcpy(*cursor, source.data, source.len);
    *cursor += source.len;
    return kept;
}

static void signal_of(const struct will *will, struct wire_signal *ret_signal)
{
    *ret_signal = (struct wire_signal){.kind = will->publish.kind,
                                       .from = will->publish.from,
                                       .from_device = will->publish.from_device,
                                       .to = will->publish.to,
                                       .properties = will->publish.properties,
                                       .payload = will->publish.payload};
}

static void store(struct will *will)
{
    struct broker *broker = will->broker;
    struct buf record = {0};
    int r = 0;

    will->publish.token = will->conn; /* names the Will in WILL_DONE */
    if (will->publish.kind == WIRE_TO_USER && !ownership_has(broker, will->publish.to)) {
        r = others_store_will(broker, &will->publish, will->peer, will->conn);
    } else {
        wire_put_publish(&record, WIRE_PUBLISH, &will->publish);
        if (buf_ok(&record))
            publish_on_record(broker, will->peer, &will->publish,
                              bytes_of(record.data, (uint32_t)record.len));
        else
            r = ERR_NO_MEMORY;
        buf_release(&record);
    }
    if (r < 0)
        log_error(NULL, "could not publish a Will: %s: user=%s device=%s", err_string(r),
                  will->device->user->id, will->device->id);
}

static void publish(struct will *will)
{
    struct broker *broker = will->broker;
    struct wire_signal signal;

    will->device->will = NULL;
    if (will->qos == 0) {
        signal_of(will, &signal);
        if (ownership_has(broker, signal.to))
            publish_on_signal(broker, &signal);
        else
            others_signal(broker, &signal);
        will_done(broker, will->peer, will->conn);
    } else {
        store(will);
    }
    will_destroy(will);
}

static void on_delay_over(struct timer *timer)
{
    struct will *will = CONTAINER_OF(timer, struct will, timer);
    struct broker *broker = will->broker;
    struct device *device = will->device;
    struct user *user = device->user;

    publish(will);
    device_release(broker, device);
    user_unpin(broker, user);
}

struct will *will_create(struct broker *broker, const struct wire_will *source, struct bytes user,
                         struct bytes device)
{
    struct will *will =
        calloc(1, sizeof(*will) + user.len + device.len + source->to.len + source->key.len +
                      source->properties.len + source->payload.len);
    uint8_t *cursor;

    if (!will)
        return NULL;
    cursor = will->data;
    timer_init(&will->timer, on_delay_over);
    will->broker = broker;
    will->delay_s = source->delay_s;
    will->qos = source->qos;
    will->publish =
        (struct wire_publish){.resend = true, /* a Will may be announced to two brokers */
                              .has_expiry = source->has_expiry,
                              .kind = source->kind,
                              .expiry_s = source->expiry_s,
                              .from = keep(&cursor, user),
                              .from_device = keep(&cursor, device),
                              .to = keep(&cursor, source->to),
                              .key = keep(&cursor, source->key),
                              .properties = keep(&cursor, source->properties),
                              .payload = keep(&cursor, source->payload)};
    return will;
}

void will_destroy(struct will *will)
{
    if (!will)
        return;
    loop_timer_cancel(will->broker->loop, &will->timer);
    free(will);
}

void will_start(struct broker *broker, struct device *device, struct will **taken, uint64_t peer,
                uint64_t conn, const struct mid *mid, uint32_t session_expiry_s)
{
    struct will *will = *taken;
    uint32_t delay_s = will->delay_s < session_expiry_s ? will->delay_s : session_expiry_s;

    *taken = NULL;
    if (device->will)
        will_publish_now(broker, device); /* of the connection before: its session is over */
    will->device = device;
    will->peer = peer;
    will->conn = conn;
    will->publish.mid = mid ? *mid : mid_mint(loop_wall_ms(broker->loop));
    device->will = will;
    if (delay_s == 0) {
        publish(will);
        return;
    }
    user_pin(broker, device->user);
    loop_timer_add(broker->loop, &will->timer, (uint64_t)delay_s * 1000);
}

void will_withdraw(struct broker *broker, struct device *device)
{
    struct will *will = device->will;

    if (!will)
        return;
    device->will = NULL;
    will_done(broker, will->peer, will->conn);
    will_destroy(will);
    user_unpin(broker, device->user);
}

void will_publish_now(struct broker *broker, struct device *device)
{
    struct user *user = device->user;

    if (!device->will)
        return;
    publish(device->will);
    user_unpin(broker, user);
}

void will_on_record(struct broker *broker, uint64_t peer_id, const struct wire_pending_will *record,
                    struct bytes raw)
{
    struct user *user;
    struct device *device;
    struct will *will;

    if (!name_is_user(record->user) || !name_is_device(record->device) || !record->will.present) {
        will_done(broker, peer_id, record->conn);
        return;
    }
    user = users_get(broker, record->user);
    if (user && user_must_park(user) && user_park(broker, user, peer_id, raw) == 0)
        return;
    if (!user || user_must_park(user))
        return; /* out of memory: the connector keeps it for the next link */
    device = device_find(user, record->device);
    if (device && device->session && device->session->epoch > record->epoch) {
        will_done(broker, peer_id, record->conn); /* the client came back in time */
        return;
    }
    if (device && device->will && device->will->peer == peer_id &&
        device->will->conn == record->conn)
        return; /* this broker has it already: only the link was new */
    if (!device)
        device = device_create(broker, user, record->device);
    will = device ? will_create(broker, &record->will, record->user, record->device) : NULL;
    if (!will)
        return;
    user_pin(broker, user);
    will_start(broker, device, &will, peer_id, record->conn, &record->mid,
               record->session_expiry_s);
    device_release(broker, device);
    user_unpin(broker, user);
}

void will_done(struct broker *broker, uint64_t peer_id, uint64_t conn)
{
    struct peer *peer = bus_peer(broker, peer_id);

    if (peer)
        wire_put_conn(bus_out(broker, peer), WIRE_WILL_DONE, &(struct wire_conn){.conn = conn});
}
