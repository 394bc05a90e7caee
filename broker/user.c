/* user - see the header. */
#include "broker/user.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/device.h"
#include "broker/dispatch.h"
#include "broker/ownership.h"
#include "broker/recover.h"
#include "broker/session.h"
#include "broker/store.h"
#include "broker/unread.h"
#include "common/auto.h"
#include "common/log.h"
#include "common/topic.h"

#include <assert.h>
#include <stdlib.h>

struct users {
    struct hash by_id;
    struct user_list idle; /* longest idle first */
    uint32_t idle_count;
    size_t foreign_count;
};

int users_create(struct broker *broker)
{
    struct users *users = calloc(1, sizeof(*users));

    if (!users)
        return ERR_NO_MEMORY;
    TAILQ_INIT(&users->idle);
    broker->users = users;
    return 0;
}

static void user_free(struct broker *broker, struct user *user)
{
    struct device *device;

    hash_remove(&broker->users->by_id, &user->node);
    broker->users->foreign_count -= user->foreign;
    while ((device = TAILQ_FIRST(&user->devices)))
        device_destroy(broker, device);
    unread_forget_user(broker, user);
    while (!STAILQ_EMPTY(&user->parked)) {
        struct parked *parked = STAILQ_FIRST(&user->parked);

        STAILQ_REMOVE_HEAD(&user->parked, link);
        free(parked);
    }
    tail_fini(&user->tail);
    free(user);
}

static void free_node(struct hash_node *node, void *arg)
{
    user_free(arg, CONTAINER_OF(node, struct user, node));
}

void users_destroy(struct broker *broker)
{
    if (!broker->users)
        return;
    hash_each(&broker->users->by_id, free_node, broker);
    hash_fini(&broker->users->by_id);
    free(broker->users);
    broker->users = NULL;
}

size_t users_count(const struct broker *broker)
{
    return broker->users->by_id.count;
}

size_t users_owned(const struct broker *broker)
{
    return broker->users->by_id.count - broker->users->foreign_count;
}

static bool match(const struct hash_node *node, const void *key)
{
    return bytes_equal(user_id(CONTAINER_OF(node, const struct user, node)),
                       *(const struct bytes *)key);
}

static struct user *find(const struct users *users, uint64_t hash, struct bytes id)
{
    struct hash_node *node = hash_find(&users->by_id, hash, match, &id);

    return node ? CONTAINER_OF(node, struct user, node) : NULL;
}

static void not_idle(struct users *users, struct user *user)
{
    if (!user->idle)
        return;
    user->idle = false;
    TAILQ_REMOVE(&users->idle, user, link);
    users->idle_count--;
}

/* A loaded user that nothing pins any more waits to be used again, or forgotten. */
static void maybe_idle(struct broker *broker, struct user *user)
{
    struct users *users = broker->users;
    struct user *oldest;

    if (user->pins > 0 || user->idle || user->state != USER_READY)
        return;
    tail_fini(&user->tail);
    user->idle = true;
    TAILQ_INSERT_TAIL(&users->idle, user, link);
    users->idle_count++;
    while (users->idle_count > broker->options.cache_users &&
           (oldest = TAILQ_FIRST(&users->idle)) && oldest != user) {
        not_idle(users, oldest);
        user_free(broker, oldest);
    }
}

struct user *users_look(struct broker *broker, struct bytes id)
{
    struct users *users = broker->users;
    uint64_t hash = hash_bytes(id.data, id.len);
    struct user *user = find(users, hash, id);

    if (user || id.len == 0 || id.len > NAME_MAX_LEN)
        return user;
    user = calloc(1, sizeof(*user) + id.len + 1);
    if (!user)
        return NULL;
    memcpy(user->id, id.data, id.len);
    user->id_len = (uint8_t)id.len;
    user->state = USER_LOADING;
    user->foreign = !ownership_has(broker, id);
    TAILQ_INIT(&user->devices);
    STAILQ_INIT(&user->parked);
    if (hash_insert(&users->by_id, &user->node, hash) < 0) {
        free(user);
        return NULL;
    }
    users->foreign_count += user->foreign;
    store_load_user(broker, user);
    return user;
}

void user_number(struct broker *broker, struct user *user)
{
    user->numbered = true;
    if (user->state != USER_READY || user->no != 0)
        return;
    not_idle(broker->users, user);
    user->state = USER_NUMBERING;
    store_load_user(broker, user);
}

void user_joins(struct broker *broker, struct user *user)
{
    assert(user->state == USER_READY && user->no == 0);
    not_idle(broker->users, user);
    user->numbered = true;
    user->state = USER_JOINING;
}

struct user *users_get(struct broker *broker, struct bytes id)
{
    struct user *user = users_look(broker, id);

    if (user)
        user_number(broker, user);
    return user;
}

struct user *users_in_memory(struct broker *broker, struct bytes id)
{
    return find(broker->users, hash_bytes(id.data, id.len), id);
}

struct user *users_find(struct broker *broker, struct bytes id)
{
    struct user *user = find(broker->users, hash_bytes(id.data, id.len), id);

    return user && user->state != USER_LOADING ? user : NULL;
}

struct user *users_asked(struct broker *broker, struct bytes id)
{
    struct user *user = find(broker->users, hash_bytes(id.data, id.len), id);

    return user && user->state != USER_READY ? user : NULL;
}

int user_park(struct broker *broker, struct user *user, uint64_t peer, struct bytes record)
{
    struct parked *parked = malloc(sizeof(*parked) + record.len);

    if (!parked)
        return ERR_NO_MEMORY;
    parked->peer = peer;
    parked->since_ms = loop_now_ms(broker->loop);
    parked->generation = broker->record_generation;
    parked->len = record.len;
    memcpy(parked->record, record.data, record.len);
    user_pin(broker, user);
    STAILQ_INSERT_TAIL(&user->parked, parked, link);
    return 0;
}

void user_pin(struct broker *broker, struct user *user)
{
    user->pins++;
    not_idle(broker->users, user);
}

void user_unpin(struct broker *broker, struct user *user)
{
    user->pins--;
    maybe_idle(broker, user);
}

/* Parked records are taken as one list and dispatched in order; one that must wait for another
 * person parks itself there. While they run, `parked` is empty, so they do not queue behind
 * themselves; nothing else can arrive in between. */
void user_loaded(struct broker *broker, struct user *user)
{
    struct parked_list list = STAILQ_HEAD_INITIALIZER(list);
    struct device *device;

    user->state = USER_READY;
    user->numbered = user->no != 0;
    user_pin(broker, user);
    recover_loaded(broker, user);
    STAILQ_CONCAT(&list, &user->parked);
    while (!STAILQ_EMPTY(&list)) {
        struct parked *parked = STAILQ_FIRST(&list);

        STAILQ_REMOVE_HEAD(&list, link);
        dispatch_parked(broker, parked);
        free(parked);
        user_unpin(broker, user);
    }
    TAILQ_FOREACH(device, &user->devices, link)
    alert_run(broker, device);
    user_unpin(broker, user);
}

struct visit {
    void (*fn)(struct user *user, void *arg);
    void *arg;
};

static void visit_node(struct hash_node *node, void *arg)
{
    const struct visit *visit = arg;

    visit->fn(CONTAINER_OF(node, struct user, node), visit->arg);
}

void users_each(struct broker *broker, void (*fn)(struct user *user, void *arg), void *arg)
{
    struct visit visit = {.fn = fn, .arg = arg};

    hash_each(&broker->users->by_id, visit_node, &visit);
}

/* --- another view --- */

struct marking {
    const struct broker *broker;
    bool everything, numbers;
};

static void mark_node(struct hash_node *node, void *arg)
{
    struct user *user = CONTAINER_OF(node, struct user, node);
    const struct marking *marking = arg;
    bool ours = ownership_has(marking->broker, user_id(user));

    user->leaving = !marking->numbers || (user->foreign ? ours : marking->everything || !ours);
}

void users_mark_leaving(struct broker *broker, bool everything, bool numbers)
{
    struct marking marking = {.broker = broker, .everything = everything, .numbers = numbers};

    hash_each(&broker->users->by_id, mark_node, &marking);
}

struct leaving {
    struct broker *broker;
    struct user_list list;
};

static void collect_node(struct hash_node *node, void *arg)
{
    struct user *user = CONTAINER_OF(node, struct user, node);
    struct leaving *leaving = arg;

    if (!user->leaving)
        return;
    not_idle(leaving->broker->users, user);
    if (user->settling)
        recover_forget(leaving->broker, user);
    if (user->state == USER_LOADING || user->state == USER_NUMBERING)
        store_forget_load(leaving->broker, user);
    user->pins++; /* what is let go of below makes nobody idle */
    TAILQ_INSERT_TAIL(&leaving->list, user, link);
}

void users_leave(struct broker *broker, struct parked_list *parked)
{
    struct leaving leaving = {.broker = broker, .list = TAILQ_HEAD_INITIALIZER(leaving.list)};
    struct user *user;

    hash_each(&broker->users->by_id, collect_node, &leaving);
    while ((user = TAILQ_FIRST(&leaving.list))) {
        TAILQ_REMOVE(&leaving.list, user, link);
        sessions_forget(broker, user);
        STAILQ_CONCAT(parked, &user->parked);
        user_free(broker, user);
    }
}
