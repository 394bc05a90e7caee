/* unread - see the header. */
#include "broker/unread.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/device.h"
#include "broker/retention.h"
#include "broker/store.h"
#include "broker/trace.h"
#include "common/auto.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* MQTT 5.0 section 2.4 */
enum {
    SUCCESS = 0x00,
    UNSPECIFIED_ERROR = 0x80,
    NOT_AUTHORIZED = 0x87,
    TOPIC_INVALID = 0x90,
    QUOTA_EXCEEDED = 0x97
};

/* A person who is sent many messages that live for seconds is not counted with each of them. */
#define RECOUNT_S 60u

struct key {
    uint64_t no;
    bool is_group;
};

static bool match(const struct hash_node *node, const void *key)
{
    const struct conversation *c = CONTAINER_OF(node, const struct conversation, node);
    const struct key *k = key;

    return c->no == k->no && c->is_group == k->is_group;
}

static struct conversation *find(const struct user *user, bool is_group, uint64_t no)
{
    struct key key = {.no = no, .is_group = is_group};
    struct hash_node *node = hash_find(&user->conversations, hash_u64(no), match, &key);

    return node ? CONTAINER_OF(node, struct conversation, node) : NULL;
}

static struct conversation *get(struct user *user, bool is_group, uint64_t no)
{
    struct conversation *c = find(user, is_group, no);

    if (c)
        return c;
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    *c = (struct conversation){.user = user, .no = no, .is_group = is_group};
    if (hash_insert(&user->conversations, &c->node, hash_u64(no)) == 0)
        return c;
    free(c);
    return NULL;
}

static bool is_received(const struct message *message)
{
    return message->kind == WIRE_BODY_USER || message->kind == WIRE_BODY_GROUP;
}

void unread_count(struct broker *broker, struct user *user, const struct message *message)
{
    struct conversation *c;

    if (!is_received(message))
        return;
    c = get(user, message->kind == WIRE_BODY_GROUP, message->conversation_no);
    if (!c)
        return; /* out of memory: counted_seq stays behind, the next load counts it */
    c->unread++;
    c->since++;
    user->unread++;
    unread_ends(user, retention_end_ms(broker, message));
    store_unread_moved(broker, c);
}

bool unread_loaded(struct user *user, bool is_group, uint64_t no, uint64_t read_seq,
                   uint64_t unread)
{
    struct conversation *c = get(user, is_group, no);

    if (!c)
        return false;
    if (read_seq > c->read_seq)
        c->read_seq = read_seq;
    c->unread += unread;
    user->unread += unread;
    return true;
}

bool unread_was_read(const struct user *user, const struct message *message)
{
    const struct conversation *c =
        is_received(message)
            ? find(user, message->kind == WIRE_BODY_GROUP, message->conversation_no)
            : NULL;

    return c && message->seq <= c->read_seq;
}

static void free_node(struct hash_node *node, void *arg)
{
    struct conversation *c = CONTAINER_OF(node, struct conversation, node);

    (void)arg;
    hash_remove(&c->user->conversations, node);
    free(c);
}

void unread_forget_user(struct broker *broker, struct user *user)
{
    store_forget_unread(broker, user);
    hash_each(&user->conversations, free_node, NULL);
    hash_fini(&user->conversations);
    user->unread = 0;
}

static void write_node(struct hash_node *node, void *arg)
{
    store_unread_moved(arg, CONTAINER_OF(node, struct conversation, node));
}

void unread_write_again(struct broker *broker, struct user *user)
{
    hash_each(&user->conversations, write_node, broker);
}

/* --- what has ended --- */

bool unread_fresh(struct broker *broker, struct user *user)
{
    if (user->counts_end_s == 0 || user->counts_end_s > retention_now_ms(broker) / 1000 ||
        !store_ready(broker->store))
        return true; /* without a database a badge that is too high is better than no alert */
    if (!user->recounting) {
        user->recounting = true;
        store_recount(broker, user);
    }
    return false;
}

static void begin_node(struct hash_node *node, void *arg)
{
    struct conversation *c = CONTAINER_OF(node, struct conversation, node);

    (void)arg;
    c->since = 0;
    c->read = false;
}

void unread_recount_begins(struct user *user)
{
    hash_each(&user->conversations, begin_node, NULL);
}

static void answered_node(struct hash_node *node, void *arg)
{
    struct conversation *c = CONTAINER_OF(node, struct conversation, node);

    (void)arg;
    c->before = c->unread;
    if (!c->read)
        c->unread = c->since;
}

void unread_recount_answered(struct user *user)
{
    hash_each(&user->conversations, answered_node, NULL);
    user->counts_end_s = UINT32_MAX;
}

/* A me/read that is not written yet has counted better. */
void unread_recounted(struct user *user, bool is_group, uint64_t no, uint64_t read_seq,
                      uint64_t unread, uint64_t end_ms)
{
    struct conversation *c = get(user, is_group, no);

    unread_ends(user, end_ms);
    if (!c || c->read)
        return;
    if (c->read_seq > read_seq) {
        c->unread = c->before;
        return;
    }
    c->read_seq = read_seq;
    c->unread += unread;
}

static void sum_node(struct hash_node *node, void *arg)
{
    *(uint64_t *)arg += CONTAINER_OF(node, struct conversation, node)->unread;
}

void unread_recount_done(struct broker *broker, struct user *user, bool answered)
{
    uint32_t later_s = (uint32_t)(retention_now_ms(broker) / 1000) + RECOUNT_S;
    struct device *device;

    user->recounting = false;
    if (answered) {
        user->unread = 0;
        hash_each(&user->conversations, sum_node, &user->unread);
        unread_write_again(broker, user);
    }
    if (user->unread == 0)
        user->counts_end_s = 0;
    else if (user->counts_end_s < later_s || user->counts_end_s == UINT32_MAX)
        user->counts_end_s = later_s;
    TAILQ_FOREACH(device, &user->devices, link)
    alert_run(broker, device);
}

/* --- me/read, me/shown --- */

static struct user *ready_user(struct broker *broker, uint64_t peer, struct bytes id,
                               uint64_t token, struct bytes raw)
{
    struct user *user = name_is_user(id) ? users_get(broker, id) : NULL;

    if (user && !user_must_park(user))
        return user;
    if (!user || user_park(broker, user, peer, raw) < 0)
        bus_published(broker, peer, token, user ? QUOTA_EXCEEDED : NOT_AUTHORIZED);
    return NULL;
}

static struct lookup *look_up(struct broker *broker, uint64_t peer, uint64_t token,
                              struct user *user, struct bytes device, const struct mid *mid)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));

    if (!lookup) {
        bus_published(broker, peer, token, QUOTA_EXCEEDED);
        return NULL;
    }
    lookup->user = user;
    lookup->peer = peer;
    lookup->token = token;
    lookup->mid = *mid;
    lookup->last = true;
    snprintf(lookup->device_id, sizeof(lookup->device_id), "%.*s", BYTES_FMT(device));
    return lookup;
}

void unread_on_read(struct broker *broker, uint64_t peer, const struct wire_read *read,
                    struct bytes raw)
{
    struct user *user = ready_user(broker, peer, read->user, read->token, raw), *other;
    struct lookup *lookup;

    if (!user)
        return;
    if (read->kind != WIRE_TO_USER || !name_is_user(read->conversation)) {
        /* nobody is a member of a group that does not exist, and this release makes none */
        bus_published(broker, peer, read->token, NOT_AUTHORIZED);
        return;
    }
    other = users_get(broker, read->conversation);
    if (!other || user_must_park(other)) {
        if (!other || user_park(broker, other, peer, raw) < 0)
            bus_published(broker, peer, read->token, QUOTA_EXCEEDED);
        return;
    }
    lookup = look_up(broker, peer, read->token, user, read->device, &read->mid);
    if (!lookup)
        return;
    lookup->conversation = other->no;
    store_lookup(broker, lookup);
}

void unread_on_shown(struct broker *broker, uint64_t peer, const struct wire_shown *shown,
                     struct bytes raw)
{
    struct user *user = ready_user(broker, peer, shown->user, shown->token, raw);
    struct wire_list list = shown->mids;
    struct mid mid;

    if (!user)
        return;
    if (list.count == 0)
        bus_published(broker, peer, shown->token, SUCCESS);
    while (wire_mid_next(&list, &mid) == 1) {
        struct lookup *lookup = look_up(broker, peer, shown->token, user, shown->device, &mid);

        if (!lookup)
            return;
        lookup->last = list.count == 0;
        store_lookup(broker, lookup);
    }
}

/* The cursors of reading are written: the client may forget it. */
static void on_read_written(struct broker *broker, struct store_op *op)
{
    bool refused = op->failed || op->user->counts_refused;

    bus_published(broker, op->arg_peer, op->arg_token, refused ? UNSPECIFIED_ERROR : SUCCESS);
}

static void on_shown_written(struct broker *broker, struct store_op *op)
{
    bus_published(broker, op->arg_peer, op->arg_token, op->failed ? UNSPECIFIED_ERROR : SUCCESS);
}

static void answer_when_written(struct broker *broker, const struct lookup *lookup)
{
    struct store_op *op = store_op_create(STORE_NOTHING, lookup->user, NULL);

    if (!op) {
        bus_published(broker, lookup->peer, lookup->token, QUOTA_EXCEEDED);
        return;
    }
    op->done = lookup->conversation != 0 ? on_read_written : on_shown_written;
    op->arg_peer = lookup->peer;
    op->arg_token = lookup->token;
    store_op_add(broker, op);
}

static void was_read(struct broker *broker, struct lookup *lookup, uint64_t seq, uint64_t later)
{
    struct conversation *c = get(lookup->user, lookup->is_group, lookup->conversation);
    struct device *device;
    uint64_t came_since;

    if (!c || seq <= c->read_seq)
        return;
    came_since = c->unread > lookup->unread ? c->unread - lookup->unread : 0;
    lookup->user->unread -= c->unread;
    c->read_seq = seq;
    c->unread = later + came_since;
    c->read = true;
    lookup->user->unread += c->unread;
    if (lookup->user->unread == 0)
        lookup->user->counts_end_s = 0;
    store_unread_moved(broker, c);
    TAILQ_FOREACH(device, &lookup->user->devices, link)
    alert_seen(broker, device, seq);
}

static void was_shown(struct broker *broker, struct lookup *lookup, uint64_t seq)
{
    struct device *device = device_find(lookup->user, bytes_of_string(lookup->device_id));

    if (!device || device->no == 0)
        return;
    trace_add(broker, device, seq, "", "shown", "", 0);
    alert_shown(broker, device, seq);
}

void unread_looked_up(struct broker *broker, struct lookup *lookup, uint64_t seq, uint64_t later)
{
    struct user *user = lookup->user;

    if (user->counts_refused && lookup->conversation != 0) {
        user->counts_refused = false; /* what was refused may be over: a try a request */
        unread_write_again(broker, user);
    }
    if (seq != 0 && lookup->conversation != 0)
        was_read(broker, lookup, seq, later);
    else if (seq != 0)
        was_shown(broker, lookup, seq);
    if (lookup->last)
        answer_when_written(broker, lookup);
    free(lookup);
    user_unpin(broker, user);
}

/* For lookups that are asked now: what the answer will be compared with. */
void unread_note(struct lookup *lookup)
{
    const struct conversation *c = find(lookup->user, lookup->is_group, lookup->conversation);

    lookup->upto = lookup->user->last_seq;
    lookup->unread = c ? c->unread : 0;
}
