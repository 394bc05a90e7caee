/* publish - see the header.
 *
 * A record may have to wait twice: for its sender (whose number goes into the row), then for its
 * recipient. It waits in that person's queue, and whatever comes later for the same person queues
 * behind it, so the order of one sender into one conversation is kept. */
#include "broker/publish.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/dispatch.h"
#include "broker/inbox.h"
#include "broker/retention.h"
#include "broker/session.h"
#include "common/auto.h"
#include "common/log.h"
#include "common/topic.h"

#include <stdlib.h>

/* MQTT 5.0 section 2.4 */
enum {
    SUCCESS = 0x00,
    IMPLEMENTATION_SPECIFIC = 0x83,
    NOT_AUTHORIZED = 0x87,
    TOPIC_INVALID = 0x90,
    QUOTA_EXCEEDED = 0x97
};

/* What is being committed, by MID and by (recipient, sender, KEY). */
struct publishes {
    struct hash by_mid, by_key;
};

int publishes_create(struct broker *broker)
{
    broker->publishes = calloc(1, sizeof(*broker->publishes));
    return broker->publishes ? 0 : ERR_NO_MEMORY;
}

void publishes_destroy(struct broker *broker)
{
    if (!broker->publishes)
        return;
    hash_fini(&broker->publishes->by_mid);
    hash_fini(&broker->publishes->by_key);
    free(broker->publishes);
    broker->publishes = NULL;
}

static void answer(struct broker *broker, uint64_t peer, uint64_t token, bool is_will,
                   uint8_t reason)
{
    if (is_will)
        will_done(broker, peer, token);
    else
        bus_published(broker, peer, token, reason);
}

/* --- what is being committed --- */

struct key {
    struct bytes from, key;
    const struct user *to;
};

static uint64_t key_hash(const struct key *k)
{
    return hash_more(hash_more(hash_u64(k->to->no), k->from.data, k->from.len), k->key.data,
                     k->key.len);
}

static bool match_key(const struct hash_node *node, const void *key)
{
    const struct message *m = CONTAINER_OF(node, const struct message, by_key);
    const struct key *k = key;

    return m->recipient == k->to && bytes_equal(m->key, k->key) &&
           bytes_equal_string(k->from, m->from);
}

static bool match_mid(const struct hash_node *node, const void *key)
{
    return memcmp(&CONTAINER_OF(node, const struct message, by_mid)->mid, key, MID_SIZE) == 0;
}

static uint64_t mid_hash(const struct mid *mid)
{
    uint64_t random;

    memcpy(&random, mid->octets + 8, sizeof(random)); /* the random half */
    return hash_u64(random);
}

static struct message *being_committed(const struct publishes *publishes,
                                       const struct wire_publish *publish, const struct user *to)
{
    struct key key = {.from = publish->from, .key = publish->key, .to = to};
    struct hash_node *node = NULL;

    if (publishes->by_mid.count > 0)
        node = hash_find(&publishes->by_mid, mid_hash(&publish->mid), match_mid, &publish->mid);
    if (node)
        return CONTAINER_OF(node, struct message, by_mid);
    if (publish->key.len > 0 && publishes->by_key.count > 0)
        node = hash_find(&publishes->by_key, key_hash(&key), match_key, &key);
    return node ? CONTAINER_OF(node, struct message, by_key) : NULL;
}

static int remember(struct publishes *publishes, struct message *message,
                    const struct wire_publish *publish, struct user *to)
{
    struct key key = {.from = publish->from, .key = publish->key, .to = to};
    int r = hash_insert(&publishes->by_mid, &message->by_mid, mid_hash(&message->mid));

    if (r < 0)
        return r;
    message->in_by_mid = true;
    message->recipient = to;
    if (message->key.len == 0)
        return 0;
    r = hash_insert(&publishes->by_key, &message->by_key, key_hash(&key));
    message->in_by_key = r == 0;
    return r;
}

static void forget(struct publishes *publishes, struct message *message)
{
    if (message->in_by_mid)
        hash_remove(&publishes->by_mid, &message->by_mid);
    if (message->in_by_key)
        hash_remove(&publishes->by_key, &message->by_key);
    message->in_by_mid = message->in_by_key = false;
}

/* A record that repeats one that is being committed: dispatched again afterwards. */
static int follow(const struct broker *broker, struct message *message, uint64_t peer,
                  struct bytes raw)
{
    struct parked *follower = malloc(sizeof(*follower) + raw.len);
    struct parked **last = &message->followers;

    if (!follower)
        return ERR_NO_MEMORY;
    STAILQ_NEXT(follower, link) = NULL;
    follower->peer = peer;
    follower->generation = broker->record_generation;
    follower->len = raw.len;
    memcpy(follower->record, raw.data, raw.len);
    while (*last)
        last = &STAILQ_NEXT(*last, link);
    *last = follower;
    return 0;
}

/* --- storing --- */

/* A message id more than a day off: a connector's clock, or one that held the message for so long.
 * Its age counts from now then. */
static bool is_misdated(const struct broker *broker, uint64_t sent_at_ms)
{
    uint64_t now_ms = retention_now_ms(broker);

    return sent_at_ms + RETENTION_DAY_MS < now_ms || now_ms + RETENTION_DAY_MS < sent_at_ms;
}

static uint64_t expiry_of(const struct broker *broker, const struct wire_publish *publish,
                          uint64_t sent_at_ms, bool misdated)
{
    uint64_t ttl_ms = (uint64_t)publish->expiry_s * 1000;

    if (!misdated)
        return publish->has_expiry ? sent_at_ms + ttl_ms : 0;
    if (!publish->has_expiry || ttl_ms > retention_ms(broker))
        ttl_ms = retention_ms(broker);
    return retention_now_ms(broker) + ttl_ms;
}

static struct message *make_message(const struct broker *broker, const struct wire_publish *publish,
                                    const struct device *origin)
{
    struct wire_body body = {.kind = origin ? WIRE_BODY_SENT_USER : WIRE_BODY_USER,
                             .mid = publish->mid,
                             .sent_at_ms = mid_time_ms(&publish->mid),
                             .properties = publish->properties,
                             .payload = publish->payload};
    bool misdated = is_misdated(broker, body.sent_at_ms);
    struct message *message;

    body.expires_at_ms = expiry_of(broker, publish, body.sent_at_ms, misdated);
    if (origin)
        body.to = publish->to;
    else
        body.from = publish->from;
    message = message_create(&body, publish->from, origin ? publish->to : publish->from,
                             origin ? bytes_of(NULL, 0) : publish->key);
    if (message && origin)
        message->origin_device = origin->no;
    if (message) {
        message->service = publish->service;
        message->misdated = misdated;
    }
    if (message && message->key.len > 0)
        message->content_hash = message_content_hash(message);
    return message;
}

/* What the person's other devices get of a message sent from `origin`. Failing to make it (out of
 * memory) fails nothing else: the message itself is what was promised. */
static void put_copy(struct broker *broker, struct user *sender, const struct device *origin,
                     struct user *to, const struct wire_publish *publish, int32_t original)
{
    struct put put = {.to = sender,
                      .message = make_message(broker, publish, origin),
                      .from_no = sender->no,
                      .conversation = to->no,
                      .copy_of = original};
    int32_t index;

    if (!put.message)
        return;
    put.message->conversation_no = put.conversation;
    if (store_put(broker, &put, &index) < 0)
        message_unref(put.message);
    else
        user_pin(broker, sender);
}

static int store_message(struct broker *broker, uint64_t peer, const struct wire_publish *publish,
                         struct user *sender, struct user *to)
{
    struct put put = {.to = to,
                      .message = make_message(broker, publish, NULL),
                      .from_no = sender->no,
                      .conversation = sender->no,
                      .copy_of = -1,
                      .resend = publish->resend,
                      .peer = peer,
                      .token = publish->token,
                      .is_will = publish->conn == 0};
    const struct device *origin = device_find(sender, publish->from_device);
    int32_t index;

    if (!put.message)
        return ERR_NO_MEMORY;
    if (put.message->misdated) {
        broker->metrics.misdated++;
        log_limited(loop_now_ms(broker->loop), LOG_WARNING, NULL,
                    "a connector's clock is off, or it held a message for more than a day: "
                    "from=%s difference_s=%lld",
                    put.message->from,
                    (long long)(put.message->sent_at_ms - retention_now_ms(broker)) / 1000);
    }
    put.message->conversation_no = put.conversation;
    if (sender == to && origin && origin->no_local) {
        put.message->origin_device = origin->no;
        put.message->origin_tap = origin->tap ? origin->handle : 0;
    }
    if (remember(broker->publishes, put.message, publish, to) < 0 ||
        store_put(broker, &put, &index) < 0) {
        forget(broker->publishes, put.message);
        message_unref(put.message);
        return ERR_NO_MEMORY;
    }
    user_pin(broker, to);
    if (sender != to && origin && origin->no != 0 && user_stored_devices(sender) >= 2)
        put_copy(broker, sender, origin, to, publish, index);
    return 0;
}

/* The sender's owner stores what their other devices get of a message that the recipient's owner
 * has stored: once, whoever asks again. */
static int store_copy(struct broker *broker, uint64_t peer, const struct wire_publish *publish,
                      struct user *sender, struct user *to)
{
    const struct device *origin = device_find(sender, publish->from_device);
    struct put put = {.to = sender,
                      .from_no = sender->no,
                      .conversation = to->no,
                      .copy_of = -1,
                      .resend = true,
                      .is_copy = true,
                      .peer = peer,
                      .token = publish->token};
    int32_t index;

    if (sender == to || !origin || origin->no == 0 || user_stored_devices(sender) < 2) {
        bus_published(broker, peer, publish->token, SUCCESS);
        return 0;
    }
    put.message = make_message(broker, publish, origin);
    if (!put.message)
        return ERR_NO_MEMORY;
    put.message->conversation_no = put.conversation;
    if (remember(broker->publishes, put.message, publish, sender) < 0 ||
        store_put(broker, &put, &index) < 0) {
        forget(broker->publishes, put.message);
        message_unref(put.message);
        return ERR_NO_MEMORY;
    }
    user_pin(broker, sender);
    return 0;
}

static uint8_t check(const struct wire_publish *publish)
{
    if (!name_is_user(publish->from) || !name_is_device(publish->from_device))
        return NOT_AUTHORIZED;
    if (publish->key.len > 0 && !name_is_key(publish->key))
        return TOPIC_INVALID;
    if (publish->kind == WIRE_TO_GROUP)
        /* nobody is a member of a group that does not exist, and this release makes none */
        return name_is_group(publish->to) ? NOT_AUTHORIZED : TOPIC_INVALID;
    return publish->kind == WIRE_TO_USER && name_is_user(publish->to) ? SUCCESS : TOPIC_INVALID;
}

/* 1: sender and recipient are there. 0: the record waits for one of them. ERR_NO_MEMORY. */
static int both_ready(struct broker *broker, uint64_t peer, const struct wire_publish *publish,
                      struct bytes raw, struct user **ret_sender, struct user **ret_to)
{
    struct user *sender = users_get(broker, publish->from), *to;
    int r;

    if (sender && user_must_park(sender))
        return user_park(broker, sender, peer, raw);
    if (!sender || !(to = users_get(broker, publish->to)))
        return ERR_NO_MEMORY;
    if (user_must_park(to)) {
        user_pin(broker, sender);
        r = user_park(broker, to, peer, raw);
        user_unpin(broker, sender);
        return r;
    }
    *ret_sender = sender;
    *ret_to = to;
    return 1;
}

void publish_on_record(struct broker *broker, uint64_t peer, const struct wire_publish *publish,
                       struct bytes raw)
{
    uint8_t reason = check(publish);
    struct user *sender, *to;
    struct message *same;
    int r;

    if (reason != SUCCESS) {
        broker->metrics.refused++;
        answer(broker, peer, publish->token, publish->conn == 0, reason);
        return;
    }
    r = both_ready(broker, peer, publish, raw, &sender, &to);
    if (r > 0) {
        broker->metrics.publishes++;
        broker->metrics.publishes_resent += publish->resend;
        same = being_committed(broker->publishes, publish, to);
        r = same ? follow(broker, same, peer, raw)
                 : store_message(broker, peer, publish, sender, to);
    }
    if (r < 0) {
        broker->metrics.refused++;
        answer(broker, peer, publish->token, publish->conn == 0, QUOTA_EXCEEDED);
    }
}

void publish_on_copy(struct broker *broker, uint64_t peer, const struct wire_publish *publish,
                     struct bytes raw)
{
    uint8_t reason = check(publish);
    struct user *sender, *to;
    struct message *same;
    int r;

    if (reason != SUCCESS) {
        bus_published(broker, peer, publish->token, reason);
        return;
    }
    r = both_ready(broker, peer, publish, raw, &sender, &to);
    if (r > 0) {
        broker->metrics.copies++;
        same = being_committed(broker->publishes, publish, sender);
        r = same ? follow(broker, same, peer, raw) : store_copy(broker, peer, publish, sender, to);
    }
    if (r < 0)
        bus_published(broker, peer, publish->token, QUOTA_EXCEEDED);
}

/* --- after the commit --- */

static void run_followers(struct broker *broker, struct parked *follower)
{
    while (follower) {
        struct parked *next = STAILQ_NEXT(follower, link);

        dispatch_parked(broker, follower);
        free(follower);
        follower = next;
    }
}

void publish_dropped(struct broker *broker, struct put *put, struct parked_list *parked)
{
    struct parked *follower = put->message->followers;

    forget(broker->publishes, put->message);
    put->message->followers = NULL;
    while (follower) {
        struct parked *next = STAILQ_NEXT(follower, link);

        STAILQ_INSERT_TAIL(parked, follower, link);
        follower = next;
    }
    message_unref(put->message);
    user_unpin(broker, put->to);
}

static void count_verdict(struct metrics *metrics, enum put_verdict verdict)
{
    if (verdict == PUT_STORED)
        metrics->accepted++;
    else if (verdict == PUT_REPEATED)
        metrics->repeated++;
    else
        metrics->refused++;
}

static void answer_put(struct broker *broker, const struct put *put)
{
    bool other = put->verdict == PUT_REPEATED && !put->is_will &&
                 memcmp(&put->stored, &put->message->mid, MID_SIZE) != 0;

    if (other)
        bus_published_as(broker, put->peer, put->token, &put->stored);
    else
        answer(broker, put->peer, put->token, put->is_will,
               put->verdict == PUT_CONFLICT ? IMPLEMENTATION_SPECIFIC : SUCCESS);
}

void publishes_committed(struct broker *broker, struct put *puts, uint32_t count)
{
    /* every answer first: they are the sender's, and cheap */
    for (uint32_t i = 0; i < count; i++) {
        struct put *put = &puts[i];

        if (put->copy_of >= 0)
            continue;
        if (!put->is_copy)
            count_verdict(&broker->metrics, put->verdict);
        forget(broker->publishes, put->message);
        answer_put(broker, put);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (puts[i].verdict == PUT_STORED)
            inbox_append(broker, puts[i].to, puts[i].message);
    }
    inbox_pump_touched(broker);
    for (uint32_t i = 0; i < count; i++) {
        struct parked *followers = puts[i].message->followers;

        puts[i].message->followers = NULL;
        run_followers(broker, followers);
        message_unref(puts[i].message);
        user_unpin(broker, puts[i].to);
    }
}

/* --- what is not written --- */

void publishes_refused(struct broker *broker, struct put *puts, uint32_t count, uint8_t reason)
{
    for (uint32_t i = 0; i < count; i++) {
        if (puts[i].copy_of >= 0)
            continue;
        broker->metrics.refused++;
        forget(broker->publishes, puts[i].message);
        answer(broker, puts[i].peer, puts[i].token, puts[i].is_will, reason);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct parked *followers = puts[i].message->followers;

        puts[i].message->followers = NULL;
        run_followers(broker, followers);
        message_unref(puts[i].message);
        user_unpin(broker, puts[i].to);
    }
}

/* A publish that a connector repeats may have been stored the first time. */
static bool may_refuse(const struct parked *parked, struct wire_record *ret_record)
{
    struct wire_reader reader = {.rest = bytes_of(parked->record, (uint32_t)parked->len)};

    return wire_next(&reader, ret_record) == 1 && ret_record->type == WIRE_PUBLISH &&
           ret_record->publish.conn != 0 && !ret_record->publish.resend;
}

unsigned publishes_refuse_parked(struct broker *broker, struct user *user, uint64_t before_ms)
{
    struct parked_list list = STAILQ_HEAD_INITIALIZER(list);
    unsigned count = 0;

    STAILQ_CONCAT(&list, &user->parked);
    while (!STAILQ_EMPTY(&list)) {
        struct parked *parked = STAILQ_FIRST(&list);
        struct wire_record record;

        STAILQ_REMOVE_HEAD(&list, link);
        if (parked->since_ms > before_ms || !may_refuse(parked, &record)) {
            STAILQ_INSERT_TAIL(&user->parked, parked, link);
            continue;
        }
        broker->metrics.refused++;
        answer(broker, parked->peer, record.publish.token, false, QUOTA_EXCEEDED);
        free(parked);
        user_unpin(broker, user);
        count++;
    }
    return count;
}

/* --- QoS 0 --- */

void publish_on_signal(struct broker *broker, const struct wire_signal *signal)
{
    struct user *to;
    struct device *device;

    broker->metrics.signals++;
    if (signal->kind != WIRE_TO_USER || !name_is_user(signal->from) || !name_is_user(signal->to))
        return;
    to = users_find(broker, signal->to);
    if (!to)
        return; /* nobody of that name is connected: a signal is now or never */
    TAILQ_FOREACH(device, &to->devices, link)
    {
        const struct session *session = device->session;

        if (!session || !session->opened || session->state != WIRE_FOREGROUND ||
            !(device->inbox || device->tap))
            continue;
        if (device->no_local && bytes_equal(signal->from, signal->to) &&
            bytes_equal_string(signal->from_device, device->id))
            continue;
        wire_put_live(bus_out(broker, session->peer),
                      &(struct wire_live){.conn = session->conn,
                                          .kind = WIRE_BODY_USER,
                                          .from = signal->from,
                                          .properties = signal->properties,
                                          .payload = signal->payload});
    }
}
