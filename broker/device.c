/* device - see the header. */
#include "broker/device.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/inbox.h"
#include "broker/session.h"
#include "broker/store.h"
#include "broker/will.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

#define INBOX_FILTER "inbox/#"
#define NO_LOCAL 0x04 /* MQTT 5.0 section 3.8.3.1 */

static bool match_handle(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, const struct device, node)->handle == *(const uint32_t *)key;
}

struct device *device_by_handle(struct broker *broker, uint32_t handle)
{
    struct hash_node *node = hash_find(&broker->devices, hash_u64(handle), match_handle, &handle);

    return node ? CONTAINER_OF(node, struct device, node) : NULL;
}

struct device *device_create(struct broker *broker, struct user *user, struct bytes id)
{
    struct device *device = calloc(1, sizeof(*device) + id.len + 1);

    if (!device)
        return NULL;
    memcpy(device->id, id.data, id.len);
    device->id_len = (uint8_t)id.len;
    device->user = user;
    device->feed = (struct feed){.device = device, .next_seq = 1};
    /* given in turn: four billion devices pass before one comes again; 0 names none */
    do
        device->handle = ++broker->last_device_handle;
    while (device->handle == 0 || device_by_handle(broker, device->handle));
    if (hash_insert(&broker->devices, &device->node, hash_u64(device->handle)) < 0) {
        free(device);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&user->devices, device, link);
    return device;
}

void device_destroy(struct broker *broker, struct device *device)
{
    hash_remove(&broker->devices, &device->node);
    TAILQ_REMOVE(&device->user->devices, device, link);
    store_forget_device(broker, device);
    device_clear_subscriptions(device);
    alert_destroy(broker, device);
    feed_fini(&device->feed);
    flights_clear(&device->flights);
    will_destroy(device->will);
    free(device->push);
    seq_set_clear(&device->done);
    free(device);
}

struct device *device_find(struct user *user, struct bytes id)
{
    struct device *device;

    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (bytes_equal(bytes_of(device->id, device->id_len), id))
            return device;
    }
    return NULL;
}

void device_release(struct broker *broker, struct device *device)
{
    if (device->no == 0 && !device->session && !device->session_stored && !device->will &&
        device->writes == 0)
        device_destroy(broker, device);
}

void device_idle(struct broker *broker, struct device *device)
{
    alert_run(broker, device);
    device_release(broker, device);
}

struct handles {
    uint32_t *list;
    size_t count;
};

static void collect_handle(struct hash_node *node, void *arg)
{
    const struct device *device = CONTAINER_OF(node, const struct device, node);
    struct handles *handles = arg;

    if (device->alert)
        handles->list[handles->count++] = device->handle;
}

/* By handles: planning for one device may forget others. */
void devices_alert_all(struct broker *broker)
{
    struct handles handles = {.list = calloc(broker->devices.count + 1, sizeof(uint32_t))};

    if (!handles.list) {
        log_error(NULL, "out of memory, alerts wait for the next event of their device");
        return;
    }
    hash_each(&broker->devices, collect_handle, &handles);
    for (size_t i = 0; i < handles.count; i++) {
        struct device *device = device_by_handle(broker, handles.list[i]);

        if (device)
            alert_run(broker, device);
    }
    free(handles.list);
}

unsigned user_stored_devices(const struct user *user)
{
    const struct device *device;
    unsigned count = 0;

    TAILQ_FOREACH(device, &user->devices, link)
    count += device->no != 0;
    return count;
}

struct subscription *device_subscription(const struct device *device, struct bytes filter)
{
    for (uint16_t i = 0; i < device->subscription_count; i++) {
        if (bytes_equal_string(filter, device->subscriptions[i].filter))
            return &device->subscriptions[i];
    }
    return NULL;
}

static void note_inbox(struct device *device, struct bytes filter, bool subscribed, uint8_t qos,
                       uint8_t options)
{
    if (!bytes_equal_string(filter, INBOX_FILTER))
        return;
    device->inbox = subscribed && qos > 0;
    device->tap = subscribed && qos == 0;
    device->no_local = subscribed && (options & NO_LOCAL) != 0;
}

int device_subscribe(struct device *device, struct bytes filter, uint8_t qos, uint8_t options,
                     uint32_t id)
{
    struct subscription *s = device_subscription(device, filter);

    if (!s) {
        struct subscription *grown =
            realloc(device->subscriptions, (device->subscription_count + 1u) * sizeof(*grown));
        char *text = strndup((const char *)filter.data, filter.len);

        if (grown)
            device->subscriptions = grown;
        if (!grown || !text) {
            free(text);
            return ERR_NO_MEMORY;
        }
        s = &device->subscriptions[device->subscription_count++];
        s->filter = text;
    }
    s->qos = qos;
    s->options = options;
    s->id = id;
    note_inbox(device, filter, true, qos, options);
    return 0;
}

bool device_unsubscribe(struct device *device, struct bytes filter)
{
    struct subscription *s = device_subscription(device, filter);

    if (!s)
        return false;
    note_inbox(device, filter, false, 0, 0);
    free(s->filter);
    *s = device->subscriptions[--device->subscription_count];
    return true;
}

void device_clear_subscriptions(struct device *device)
{
    for (uint16_t i = 0; i < device->subscription_count; i++)
        free(device->subscriptions[i].filter);
    free(device->subscriptions);
    device->subscriptions = NULL;
    device->subscription_count = 0;
    device->inbox = device->tap = device->no_local = false;
}

bool device_session_present(const struct device *device, uint64_t wall_ms)
{
    return device->session_stored &&
           (device->session_expires_at_ms == 0 || device->session_expires_at_ms > wall_ms);
}
