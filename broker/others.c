/* others - see the header. */
#include "broker/others.h"

#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/ownership.h"
#include "broker/publish.h"
#include "broker/push.h"
#include "broker/will.h"
#include "common/auto.h"
#include "common/link/link.h"
#include "common/log.h"
#include "common/owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <zmq.h>

/* Unanswered at once: the Wills of a full connector that dies while one broker is out of reach.
 * Above it a Will stays with its connector, and a registration is answered without waiting. */
#define REQUESTS_MAX 65536

/* Somebody who waits for a registration to be forgotten elsewhere. */
struct waiter {
    STAILQ_ENTRY(waiter) link;
    uint64_t peer, token;
};

struct request {
    TAILQ_ENTRY(request) link;
    struct hash_node node; /* by token */
    uint64_t token;
    uint64_t peer, conn; /* a Will's */
    STAILQ_HEAD(, waiter) waiters;
    bool ready; /* to be sent; a registration only once it is committed */
    uint32_t len;
    uint8_t record[];
};

struct other {
    struct others *others;
    struct link *link;
    char name[MEMBER_NAME_MAX + 1];
};

struct others {
    struct broker *broker;
    void *context;
    struct link_keys keys;
    uint8_t instance[WIRE_INSTANCE_SIZE];
    struct other *all[MEMBERS_MAX];
    unsigned count;
    TAILQ_HEAD(, request) requests; /* oldest first */
    struct hash by_token;
    uint64_t last_token;
    struct {
        uint64_t up, lost, handshakes_failed, frames_sent, frames_received, sends_blocked;
    } counters;
};

/* --- requests --- */

static bool match_token(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, const struct request, node)->token == *(const uint64_t *)key;
}

static void request_free(struct others *others, struct request *request)
{
    struct waiter *waiter;

    while ((waiter = STAILQ_FIRST(&request->waiters))) {
        STAILQ_REMOVE_HEAD(&request->waiters, link);
        free(waiter);
    }
    hash_remove(&others->by_token, &request->node);
    TAILQ_REMOVE(&others->requests, request, link);
    free(request);
}

static bool decode(const struct request *request, struct wire_record *ret_record)
{
    struct wire_reader reader = {.rest = bytes_of(request->record, request->len)};

    return wire_next(&reader, ret_record) == 1;
}

static struct bytes person_of(const struct wire_record *record)
{
    return record->type == WIRE_PUBLISH ? record->publish.to : record->push_gone.user;
}

/* encoded: the record, which carries the token that others->last_token has become. Takes its
 * memory. */
static struct request *add(struct others *others, struct buf *encoded)
{
    struct request *request = NULL;

    if (buf_ok(encoded))
        request = calloc(1, sizeof(*request) + encoded->len);
    if (request) {
        request->token = others->last_token;
        request->len = (uint32_t)encoded->len;
        memcpy(request->record, encoded->data, encoded->len);
        STAILQ_INIT(&request->waiters);
        if (hash_insert(&others->by_token, &request->node, hash_u64(request->token)) < 0) {
            free(request);
            request = NULL;
        } else {
            TAILQ_INSERT_TAIL(&others->requests, request, link);
        }
    }
    buf_release(encoded);
    return request;
}

static struct link *link_to_owner(const struct others *others, struct bytes person)
{
    const struct members *members = ownership_members(others->broker);
    const char *name = members->count > 0 ? members->all[owner_of(members, person)].name : "";

    for (unsigned i = 0; i < others->count; i++) {
        if (strcmp(others->all[i]->name, name) == 0)
            return others->all[i]->link;
    }
    return NULL;
}

static void done(struct others *others, struct request *request, uint8_t type)
{
    struct broker *broker = others->broker;
    struct waiter *waiter;

    if (type == WIRE_PUBLISH)
        will_done(broker, request->peer, request->conn);
    STAILQ_FOREACH(waiter, &request->waiters, link)
    bus_published(broker, waiter->peer, waiter->token, 0);
    request_free(others, request);
}

/* The person is ours by now. */
static void do_here(struct others *others, struct request *request, struct wire_record *record)
{
    struct broker *broker = others->broker;

    if (record->type == WIRE_PUBLISH) {
        record->publish.token = request->conn; /* as will.c names it */
        publish_on_record(broker, request->peer, &record->publish,
                          bytes_of(request->record, request->len));
        request_free(others, request);
        return;
    }
    push_taken_over(broker, record->push_gone.user, record->push_gone.device_no);
    done(others, request, WIRE_PUSH_GONE);
}

static void send(struct others *others, struct request *request)
{
    struct wire_record record;
    struct link *link;

    if (!request->ready || !decode(request, &record))
        return;
    if (ownership_has(others->broker, person_of(&record))) {
        do_here(others, request, &record);
        return;
    }
    link = link_to_owner(others, person_of(&record));
    if (link && link_is_up(link))
        buf_put(link_frame(link), request->record, request->len);
}

static void send_all(struct others *others, const struct link *only)
{
    struct request *request, *next;

    for (request = TAILQ_FIRST(&others->requests); request; request = next) {
        struct wire_record record;

        next = TAILQ_NEXT(request, link);
        if (!only ||
            (decode(request, &record) && link_to_owner(others, person_of(&record)) == only))
            send(others, request);
    }
}

static void answered(struct others *others, uint64_t token)
{
    struct hash_node *node = hash_find(&others->by_token, hash_u64(token), match_token, &token);
    struct request *request = node ? CONTAINER_OF(node, struct request, node) : NULL;
    struct wire_record record;

    if (request && decode(request, &record))
        done(others, request, (uint8_t)record.type);
}

/* --- the links --- */

static void on_welcomed(void *arg, const struct wire_welcome *welcome)
{
    struct other *other = arg;

    log_info(NULL, "linked to the broker \"%s\"", other->name);
    ownership_heard(other->others->broker, welcome->members.generation);
    wire_put_empty(link_frame(other->link), WIRE_ANNOUNCE_END); /* a broker has no sessions */
    send_all(other->others, other->link);
}

static void on_members(void *arg, const struct wire_members *members)
{
    const struct other *other = arg;

    ownership_heard(other->others->broker, members->generation);
}

static void on_received(void *arg, const struct wire_record *record)
{
    const struct other *other = arg;

    if (record->type == WIRE_PUBLISHED)
        answered(other->others, record->published.token);
    else if (record->type == WIRE_WILL_DONE)
        answered(other->others, record->done.conn);
}

static void on_lost(void *arg, const char *why)
{
    const struct other *other = arg;

    log_warning(NULL, "lost the link to the broker \"%s\": %s", other->name, why);
}

static void other_destroy(struct other *other)
{
    link_destroy(other->link);
    free(other);
}

static void make_link(struct others *others, const struct member *member)
{
    static const struct link_events events = {on_welcomed, on_members, on_received, on_lost};
    struct broker *broker = others->broker;
    struct other *other = calloc(1, sizeof(*other));
    struct err_text et = {""};

    if (!other)
        goto fail;
    other->others = others;
    snprintf(other->name, sizeof(other->name), "%s", member->name);
    const struct link_config config = {
        .context = others->context,
        .endpoint = member->endpoint,
        .keys = &others->keys,
        .kind = WIRE_PEER_BROKER,
        .name = ownership_name(broker),
        .instance = others->instance,
        .generation = broker->generation,
        .events = &events,
        .arg = other,
        .counters = {.up = &others->counters.up,
                     .lost = &others->counters.lost,
                     .handshakes_failed = &others->counters.handshakes_failed,
                     .frames_sent = &others->counters.frames_sent,
                     .frames_received = &others->counters.frames_received,
                     .sends_blocked = &others->counters.sends_blocked}};
    if (link_create(broker->loop, &config, &other->link, &et) < 0)
        goto fail;
    others->all[others->count++] = other;
    return;
fail:
    log_error(NULL, "could not make a link to the broker \"%s\": %s", member->name,
              et.text[0] != '\0' ? et.text : "out of memory");
    free(other);
}

void others_view_changed(struct broker *broker)
{
    struct others *others = broker->others;
    const struct members *members = ownership_members(broker);
    struct other *old[MEMBERS_MAX];
    unsigned old_count = others->count;

    memcpy(old, others->all, sizeof(old));
    others->count = 0;
    for (unsigned i = 0; i < members->count; i++) {
        const struct member *member = &members->all[i];
        bool kept = strcmp(member->name, ownership_name(broker)) == 0;

        for (unsigned k = 0; k < old_count && !kept; k++) {
            if (!old[k] || strcmp(old[k]->name, member->name) != 0 ||
                strcmp(link_endpoint(old[k]->link), member->endpoint) != 0)
                continue;
            link_set_generation(old[k]->link, broker->generation);
            others->all[others->count++] = old[k];
            old[k] = NULL;
            kept = true;
        }
        if (!kept)
            make_link(others, member);
    }
    for (unsigned k = 0; k < old_count; k++) {
        if (old[k])
            other_destroy(old[k]);
    }
    send_all(others, NULL);
}

unsigned others_linked(const struct broker *broker)
{
    const struct others *others = broker->others;
    unsigned up = 0;

    for (unsigned i = 0; i < others->count; i++)
        up += link_is_up(others->all[i]->link);
    return up;
}

/* --- what is asked --- */

int others_store_will(struct broker *broker, const struct wire_publish *will, uint64_t peer,
                      uint64_t conn)
{
    struct others *others = broker->others;
    struct wire_publish record = *will;
    struct buf encoded = {0};
    struct request *request;

    if (others->by_token.count >= REQUESTS_MAX)
        return ERR_FULL;
    record.token = ++others->last_token;
    wire_put_publish(&encoded, WIRE_PUBLISH, &record);
    request = add(others, &encoded);
    if (!request)
        return ERR_NO_MEMORY;
    request->peer = peer;
    request->conn = conn;
    request->ready = true;
    send(others, request);
    return 0;
}

void others_signal(struct broker *broker, const struct wire_signal *signal)
{
    struct link *link = link_to_owner(broker->others, signal->to);

    if (link && link_is_up(link))
        wire_put_signal(link_frame(link), signal);
}

/* Whose token it is, of those asked for. */
static struct request *find_push(struct others *others, struct bytes push_token,
                                 const struct wire_push_gone *same)
{
    struct request *request;
    struct wire_record record;

    TAILQ_FOREACH(request, &others->requests, link)
    {
        if (decode(request, &record) && record.type == WIRE_PUSH_GONE &&
            bytes_equal(record.push_gone.push_token, push_token) &&
            (!same || (record.push_gone.device_no == same->device_no &&
                       bytes_equal(record.push_gone.user, same->user))))
            return request;
    }
    return NULL;
}

void others_push_taken(struct broker *broker, struct bytes user, uint64_t device_no,
                       struct bytes push_token)
{
    struct others *others = broker->others;
    struct wire_push_gone record = {.user = user, .device_no = device_no, .push_token = push_token};
    struct buf encoded = {0};

    if (find_push(others, push_token, &record))
        return; /* the write is tried again */
    if (others->by_token.count < REQUESTS_MAX) {
        record.token = ++others->last_token;
        wire_put_push_gone(&encoded, &record);
        if (add(others, &encoded))
            return;
    }
    log_limited(loop_now_ms(broker->loop), LOG_ERROR, NULL,
                "too much waits for other brokers: user=%.*s may get a push that is not theirs",
                BYTES_FMT(user));
}

bool others_push_answer(struct broker *broker, const char *push_token, uint64_t peer,
                        uint64_t token)
{
    struct others *others = broker->others;
    struct request *request;
    struct waiter *waiter;

    if (TAILQ_EMPTY(&others->requests))
        return false;
    request = find_push(others, bytes_of_string(push_token), NULL);
    waiter = request ? calloc(1, sizeof(*waiter)) : NULL;
    if (!waiter)
        return false;
    waiter->peer = peer;
    waiter->token = token;
    STAILQ_INSERT_TAIL(&request->waiters, waiter, link);
    if (!request->ready) {
        request->ready = true;
        send(others, request);
    }
    return true;
}

/* --- life cycle --- */

static void on_turn(void *arg)
{
    struct others *others = arg;

    for (unsigned i = 0; i < others->count; i++)
        link_flush(others->all[i]->link);
}

int others_create(struct broker *broker, struct err_text *et)
{
    struct others *others = calloc(1, sizeof(*others));
    int r;

    if (!others)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    others->broker = broker;
    broker->others = others;
    TAILQ_INIT(&others->requests);
    others->context = zmq_ctx_new();
    if (!others->context ||
        getrandom(others->instance, sizeof(others->instance), 0) != sizeof(others->instance))
        return err_set(et, ERR_SYSTEM, "could not set up the links to other brokers");
    r = bus_link_keys(broker, &others->keys, et);
    if (r < 0)
        return r;
    r = loop_hook_add(broker->loop, on_turn, others);
    return r < 0 ? err_set(et, r, "could not set up the links to other brokers: %s", err_string(r))
                 : 0;
}

void others_destroy(struct broker *broker)
{
    struct others *others = broker->others;
    struct request *request;

    if (!others)
        return;
    for (unsigned i = 0; i < others->count; i++)
        other_destroy(others->all[i]);
    while ((request = TAILQ_FIRST(&others->requests)))
        request_free(others, request);
    hash_fini(&others->by_token);
    link_keys_wipe(&others->keys);
    if (others->context)
        zmq_ctx_term(others->context);
    free(others);
    broker->others = NULL;
}
