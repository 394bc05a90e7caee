/* unread_fixture - what test_unread.c and test_recount.c stand on: bob with a phone and alice, and
 * fakes of the store, alerts and the bus that remember what they were asked; the test gives the
 * store's answers. Included by those files only; not each uses all of it. */
#ifndef BECKON_TESTS_UNREAD_FIXTURE_H
#define BECKON_TESTS_UNREAD_FIXTURE_H

#include "broker/unread.h"

#include "broker/alert.h"
#include "broker/broker.h"
#include "broker/bus.h"
#include "broker/device.h"
#include "broker/store.h"
#include "broker/trace.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

#define PEER 3
#define ALICE_NO 11
#define CAROL_NO 12
#define ASKED_MAX 8

/* MQTT 5.0 section 2.4 */
enum {
    SUCCESS = 0x00,
    UNSPECIFIED_ERROR = 0x80,
    NOT_AUTHORIZED = 0x87,
    QUOTA_EXCEEDED = 0x97,
    NO_ANSWER = 0xff
};

static struct broker broker;
static struct user *bob, *alice;
static struct device *phone;
static struct lookup *asked[ASKED_MAX];
static unsigned asked_count, moved, forgotten, parked, traced;
static struct store_op *op;
static uint64_t answered_token, seen_seq, shown_seq;
static uint8_t answer;
static unsigned recounts, alerts;
static bool no_memory, no_database;
static const struct mid mid = {{0x01, 0x8f}};

/* --- fakes --- */

struct user *users_get(struct broker *b, struct bytes id)
{
    (void)b;
    if (no_memory)
        return NULL;
    return bytes_equal_string(id, "bob") ? bob : alice;
}

int user_park(struct broker *b, struct user *u, uint64_t peer, struct bytes record)
{
    (void)b, (void)u;
    ck_assert_uint_eq(peer, PEER);
    ck_assert(bytes_equal_string(record, "raw"));
    if (no_memory)
        return ERR_NO_MEMORY;
    parked++;
    return 0;
}

void user_unpin(struct broker *b, struct user *u)
{
    (void)b;
    ck_assert_uint_gt(u->pins, 0);
    u->pins--;
}

void bus_published(struct broker *b, uint64_t peer, uint64_t token, uint8_t reason)
{
    (void)b;
    ck_assert_uint_eq(peer, PEER);
    ck_assert_uint_eq(answer, NO_ANSWER); /* one answer a request */
    answer = reason;
    answered_token = token;
}

void store_lookup(struct broker *b, struct lookup *lookup)
{
    (void)b;
    ck_assert_uint_lt(asked_count, ASKED_MAX);
    lookup->user->pins++;
    asked[asked_count++] = lookup;
    unread_note(lookup);
}

void store_unread_moved(struct broker *b, struct conversation *c)
{
    (void)b;
    c->dirty = true;
    moved++;
}

bool store_ready(const struct store *store)
{
    (void)store;
    return !no_database;
}

void store_recount(struct broker *b, struct user *user)
{
    (void)b;
    ck_assert_ptr_eq(user, bob);
    recounts++;
}

void alert_run(struct broker *b, struct device *d)
{
    (void)b;
    ck_assert_ptr_eq(d, phone);
    alerts++;
}

void store_forget_unread(struct broker *b, struct user *user)
{
    ck_assert_ptr_eq(b, &broker);
    ck_assert_ptr_eq(user, bob);
    forgotten++;
}

struct store_op *store_op_create(enum store_op_type type, struct user *u, const struct device *d)
{
    struct store_op *made = no_memory ? NULL : calloc(1, sizeof(*made));

    ck_assert_int_eq(type, STORE_NOTHING);
    ck_assert_ptr_null(d);
    if (made)
        made->user = u;
    return made;
}

void store_op_add(struct broker *b, struct store_op *added)
{
    (void)b;
    ck_assert_ptr_null(op);
    op = added;
}

struct device *device_find(struct user *u, struct bytes id)
{
    struct device *device;

    TAILQ_FOREACH(device, &u->devices, link)
    {
        if (bytes_equal_string(id, device->id))
            return device;
    }
    return NULL;
}

void alert_seen(struct broker *b, struct device *d, uint64_t seq)
{
    (void)b;
    ck_assert_ptr_eq(d, phone);
    seen_seq = seq;
}

void alert_shown(struct broker *b, struct device *d, uint64_t seq)
{
    (void)b;
    ck_assert_ptr_eq(d, phone);
    shown_seq = seq;
}

void trace_add(struct broker *b, const struct device *d, uint64_t seq, const char *step,
               const char *outcome, const char *reason, uint64_t took_ms)
{
    (void)b, (void)d, (void)seq, (void)step, (void)reason, (void)took_ms;
    ck_assert_str_eq(outcome, "shown");
    traced++;
}

/* --- fixture --- */

static struct user *make_user(const char *id, uint64_t no)
{
    struct user *made = calloc(1, sizeof(*made) + strlen(id) + 1);

    made->state = USER_READY;
    made->no = no;
    made->id_len = (uint8_t)strlen(id);
    memcpy(made->id, id, made->id_len);
    TAILQ_INIT(&made->devices);
    STAILQ_INIT(&made->parked);
    return made;
}

static void set_up(void)
{
    bob = make_user("bob", 10);
    alice = make_user("alice", ALICE_NO);
    phone = calloc(1, sizeof(*phone) + sizeof("phone"));
    memcpy(phone->id, "phone", sizeof("phone"));
    phone->no = 7;
    phone->user = bob;
    TAILQ_INSERT_TAIL(&bob->devices, phone, link);
    broker = (struct broker){.loop = loop_create(), .options.retention_days = 30};
    recounts = alerts = 0;
    no_database = false;
    asked_count = moved = forgotten = parked = traced = 0;
    answered_token = seen_seq = shown_seq = 0;
    op = NULL;
    answer = NO_ANSWER;
    no_memory = false;
}

static void tear_down(void)
{
    ck_assert_uint_eq(bob->pins, 0);
    ck_assert_uint_eq(alice->pins, 0);
    unread_forget_user(&broker, bob);
    loop_destroy(broker.loop);
    free(phone);
    free(bob);
    free(alice);
}

/* A committed message in bob's inbox. */
__attribute__((unused)) static void came(uint8_t kind, uint64_t conversation)
{
    struct message message = {
        .kind = kind, .conversation_no = conversation, .seq = ++bob->last_seq};

    unread_count(&broker, bob, &message);
}

__attribute__((unused)) static bool was_read(uint8_t kind, uint64_t conversation, uint64_t seq)
{
    const struct message message = {.kind = kind, .conversation_no = conversation, .seq = seq};

    return unread_was_read(bob, &message);
}

static void read_of(uint8_t kind, const char *conversation)
{
    const struct wire_read read = {.token = 5,
                                   .user = bytes_of_string("bob"),
                                   .device = bytes_of_string("phone"),
                                   .kind = kind,
                                   .conversation = bytes_of_string(conversation),
                                   .mid = mid};

    unread_on_read(&broker, PEER, &read, bytes_of_string("raw"));
}

__attribute__((unused)) static void shown_of(const char *device, uint16_t count)
{
    uint8_t mids[ASKED_MAX * MID_SIZE] = {0};
    const struct wire_shown shown = {
        .token = 6,
        .user = bytes_of_string("bob"),
        .device = bytes_of_string(device),
        .mids = {.count = count, .encoded = bytes_of(mids, count * MID_SIZE)}};

    unread_on_shown(&broker, PEER, &shown, bytes_of_string("raw"));
}

/* The store's answer to the oldest question. */
static void found(uint64_t seq, uint64_t later)
{
    struct lookup *lookup = asked[0];

    ck_assert_uint_gt(asked_count, 0);
    memmove(asked, asked + 1, --asked_count * sizeof(asked[0]));
    unread_looked_up(&broker, lookup, seq, later);
}

/* The batch with what moved is committed. */
static void written(void)
{
    ck_assert_ptr_nonnull(op);
    ck_assert_ptr_eq(op->user, bob); /* the store takes all of that person's */
    ck_assert_uint_eq(answer, NO_ANSWER);
    op->done(&broker, op);
    free(op);
    op = NULL;
}

__attribute__((unused)) static void answered(uint64_t token, uint8_t reason)
{
    ck_assert_uint_eq(answer, reason);
    ck_assert_uint_eq(answered_token, token);
}

#endif
