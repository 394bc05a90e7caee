/* push - see the header. */
#include "broker/push.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/inbox.h"
#include "broker/others.h"
#include "broker/plugin.h"
#include "broker/store.h"
#include "common/log.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* MQTT 5.0 section 2.4 */
enum {
    SUCCESS = 0x00,
    IMPLEMENTATION_SPECIFIC = 0x83,
    NOT_AUTHORIZED = 0x87,
    QUOTA_EXCEEDED = 0x97
};

static const char *put(char **cursor, struct bytes text)
{
    char *start = *cursor;

    if (text.len > 0)
        memcpy(start, text.data, text.len);
    start[text.len] = '\0';
    *cursor += text.len + 1;
    return start;
}

struct push *push_create(struct bytes provider, struct bytes token, struct bytes topic,
                         struct bytes environment, uint64_t registered_at_ms)
{
    struct push *push = calloc(1, sizeof(*push) + (size_t)provider.len + token.len + topic.len +
                                      environment.len + 4);
    char *cursor;

    if (!push)
        return NULL;
    cursor = push->text;
    push->registered_at_ms = registered_at_ms;
    push->provider = put(&cursor, provider);
    push->token = put(&cursor, token);
    push->topic = put(&cursor, topic);
    push->environment = put(&cursor, environment);
    return push;
}

static bool provider_known(struct broker *broker, struct bytes provider)
{
    char name[64];
    const struct plugin *plugin;

    snprintf(name, sizeof(name), "%.*s", BYTES_FMT(provider));
    plugin = plugin_find(broker, name);
    return plugin && !(plugin_flags(plugin) & DP_USES_SOCKET);
}

/* The registration is committed: from now on it counts. */
static void on_stored(struct broker *broker, struct store_op *op)
{
    struct device *device = device_find(op->user, bytes_of_string(op->device_id));
    bool later =
        op->push && others_push_answer(broker, op->push->token, op->arg_peer, op->arg_token);

    if (device) {
        device->writes--;
        if (!op->failed) {
            free(device->push);
            device->push = op->push;
            op->push = NULL;
        }
        inbox_pump(broker, device);
        device_release(broker, device);
    }
    if (!later)
        bus_published(broker, op->arg_peer, op->arg_token,
                      op->failed ? IMPLEMENTATION_SPECIFIC : SUCCESS);
}

/* NULL when out of memory. *ret_made: the device's row has to be made first. */
static struct store_op *make_op(struct broker *broker, struct device *device,
                                const struct wire_push *record, struct store_op **ret_made)
{
    bool none = bytes_equal_string(record->provider, "none");
    struct store_op *op =
        store_op_create(none ? STORE_PUSH_DROP : STORE_PUSH_PUT, device->user, device);

    *ret_made = NULL;
    if (op && !none)
        op->push = push_create(record->provider, record->push_token, record->topic,
                               record->environment, loop_wall_ms(broker->loop));
    if (op && !none && device->no == 0)
        *ret_made = store_op_create(STORE_DEVICE_PUT, device->user, device);
    if (op && (none || (op->push && (device->no != 0 || *ret_made))))
        return op;
    if (op)
        free(op->push);
    free(op);
    free(*ret_made);
    return NULL;
}

static void register_push(struct broker *broker, uint64_t peer, struct user *user,
                          const struct wire_push *record)
{
    struct device *device = device_find(user, record->device);
    struct store_op *op, *made;

    if (!device)
        device = device_create(broker, user, record->device);
    op = device ? make_op(broker, device, record, &made) : NULL;
    if (!op) {
        bus_published(broker, peer, record->token, QUOTA_EXCEEDED);
        return;
    }
    op->done = on_stored;
    op->arg_peer = peer;
    op->arg_token = record->token;
    device->writes++;
    if (made) {
        made->acked_seq = user->max_acked;
        store_op_add(broker, made);
    }
    store_op_add(broker, op);
}

void push_on_record(struct broker *broker, uint64_t peer, const struct wire_push *record,
                    struct bytes raw)
{
    struct user *user;

    if (!name_is_user(record->user) || !name_is_device(record->device)) {
        bus_published(broker, peer, record->token, NOT_AUTHORIZED);
        return;
    }
    if (!bytes_equal_string(record->provider, "none") &&
        !provider_known(broker, record->provider)) {
        bus_published(broker, peer, record->token, IMPLEMENTATION_SPECIFIC);
        return;
    }
    user = users_get(broker, record->user);
    if (user && !user_must_park(user))
        register_push(broker, peer, user, record);
    else if (!user || user_park(broker, user, peer, raw) < 0)
        bus_published(broker, peer, record->token, QUOTA_EXCEEDED);
}

void push_forget(struct broker *broker, struct device *device)
{
    struct store_op *op = store_op_create(STORE_PUSH_DROP, device->user, device);

    log_info(NULL, "the push token of user=%s device=%s is dead", device->user->id, device->id);
    if (op) {
        /* only that registration: a newer one may be on its way to the database */
        op->push = device->push;
        store_op_add(broker, op);
    } else {
        free(device->push);
    }
    device->push = NULL;
}

static struct device *device_of_no(struct user *user, uint64_t device_no)
{
    struct device *device;

    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (device->no == device_no)
            return device;
    }
    return NULL;
}

void push_taken_over(struct broker *broker, struct bytes user_name, uint64_t device_no)
{
    struct user *user = users_find(broker, user_name);
    struct device *device;

    if (!user)
        return; /* read from the database when it is needed */
    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (device->no != device_no || !device->push)
            continue;
        free(device->push);
        device->push = NULL;
        alert_run(broker, device);
    }
}

void push_on_gone(struct broker *broker, uint64_t peer, const struct wire_push_gone *record,
                  struct bytes raw)
{
    struct user *user = users_in_memory(broker, record->user);
    struct device *device = NULL;

    if (user && user->state != USER_READY) { /* its rows may have been read before */
        if (user_park(broker, user, peer, raw) < 0)
            log_error(NULL, "out of memory, a push registration is not forgotten: user=%s",
                      user->id);
        return;
    }
    if (user)
        device = device_of_no(user, record->device_no);
    if (device && device->push && bytes_equal_string(record->push_token, device->push->token)) {
        free(device->push);
        device->push = NULL;
        alert_run(broker, device);
    }
    bus_published(broker, peer, record->token, SUCCESS);
}
