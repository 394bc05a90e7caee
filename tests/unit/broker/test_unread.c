/* Tests of broker/unread.c: the badge, reading, and messages that were shown. The store, alerts and
 * the bus are fakes that remember what they were asked; the test gives the store's answers. */
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
static void came(uint8_t kind, uint64_t conversation)
{
    struct message message = {
        .kind = kind, .conversation_no = conversation, .seq = ++bob->last_seq};

    unread_count(&broker, bob, &message);
}

/* One that ends so much from now; 0: with the retention time. */
static void came_for(uint64_t conversation, int64_t ms)
{
    uint64_t now_ms = loop_wall_ms(broker.loop);
    struct message message = {.kind = WIRE_BODY_USER,
                              .conversation_no = conversation,
                              .sent_at_ms = now_ms - 60000,
                              .expires_at_ms = ms ? now_ms + (uint64_t)ms : 0,
                              .seq = ++bob->last_seq};

    unread_count(&broker, bob, &message);
}

static bool was_read(uint8_t kind, uint64_t conversation, uint64_t seq)
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

static void shown_of(const char *device, uint16_t count)
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

static void answered(uint64_t token, uint8_t reason)
{
    ck_assert_uint_eq(answer, reason);
    ck_assert_uint_eq(answered_token, token);
}

/* --- counts --- */

START_TEST(only_what_was_received_counts)
{
    came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, CAROL_NO);
    came(WIRE_BODY_GROUP, ALICE_NO); /* a group of the same number is another conversation */
    ck_assert_uint_eq(unread_badge(bob), 3);
    ck_assert_uint_eq(bob->conversations.count, 3);
    came(WIRE_BODY_SENT_USER, ALICE_NO);
    ck_assert_uint_eq(unread_badge(bob), 3);
    ck_assert_uint_eq(moved, 3);
}
END_TEST

START_TEST(rows_of_the_database_and_what_came_since)
{
    came(WIRE_BODY_USER, ALICE_NO);
    ck_assert(unread_loaded(bob, false, ALICE_NO, 40, 5));
    ck_assert(unread_loaded(bob, true, 1, 0, 2));
    ck_assert_uint_eq(unread_badge(bob), 8);
    ck_assert(was_read(WIRE_BODY_USER, ALICE_NO, 40));
    ck_assert(!was_read(WIRE_BODY_USER, ALICE_NO, 41));
    ck_assert(unread_loaded(bob, false, ALICE_NO, 30, 0)); /* reading never goes back */
    ck_assert(was_read(WIRE_BODY_USER, ALICE_NO, 40));
    ck_assert(!was_read(WIRE_BODY_USER, CAROL_NO, 1));
    ck_assert(!was_read(WIRE_BODY_GROUP, ALICE_NO, 1));
    ck_assert(!was_read(WIRE_BODY_SENT_USER, ALICE_NO, 1)); /* nobody reads those */
}
END_TEST

START_TEST(forgotten_with_what_waits_to_be_written)
{
    came(WIRE_BODY_USER, ALICE_NO);
    ck_assert(unread_loaded(bob, false, CAROL_NO, 0, 5)); /* nothing to write */
    unread_forget_user(&broker, bob);
    ck_assert_uint_eq(forgotten, 1);
    ck_assert_uint_eq(unread_badge(bob), 0);
    ck_assert_uint_eq(bob->conversations.count, 0);
}
END_TEST

/* --- me/read --- */

START_TEST(read_up_to_a_message)
{
    for (int i = 0; i < 5; i++)
        came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, CAROL_NO);
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_uint_eq(asked[0]->conversation, ALICE_NO);
    ck_assert_uint_eq(asked[0]->upto, 6);
    ck_assert_uint_eq(asked[0]->unread, 5);
    found(3, 2);
    ck_assert_uint_eq(unread_badge(bob), 3);
    ck_assert_uint_eq(seen_seq, 3);
    ck_assert(was_read(WIRE_BODY_USER, ALICE_NO, 3) && !was_read(WIRE_BODY_USER, ALICE_NO, 4));
    written();
    answered(5, SUCCESS);
}
END_TEST

START_TEST(what_comes_while_it_is_looked_up_counts)
{
    came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, ALICE_NO);
    found(1, 0); /* as of when it was asked */
    ck_assert_uint_eq(unread_badge(bob), 2);
    written();
}
END_TEST

START_TEST(reading_never_goes_back)
{
    for (int i = 0; i < 5; i++)
        came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    found(4, 1);
    written();
    answer = NO_ANSWER;
    seen_seq = 0;
    moved = 0;
    read_of(WIRE_TO_USER, "alice"); /* an older message, and again the same */
    found(2, 3);
    ck_assert_uint_eq(unread_badge(bob), 1);
    ck_assert_uint_eq(moved, 0);
    ck_assert_uint_eq(seen_seq, 0);
    written();
    answered(5, SUCCESS);
}
END_TEST

/* What the database refuses is said to whoever reads, and tried again when they repeat it. */
START_TEST(a_reading_that_is_not_written_is_not_acknowledged)
{
    came(WIRE_BODY_USER, ALICE_NO);
    came(WIRE_BODY_USER, CAROL_NO);
    read_of(WIRE_TO_USER, "alice");
    found(1, 0);
    bob->counts_refused = true; /* as store_late_cut.c does */
    written();
    answered(5, UNSPECIFIED_ERROR);
    answer = NO_ANSWER;
    moved = 0;
    read_of(WIRE_TO_USER, "alice");
    found(1, 0);
    ck_assert_uint_eq(moved, 2); /* all that the head will say is counted */
    written();
    answered(5, SUCCESS);
}
END_TEST

START_TEST(a_badge_is_counted_again_when_something_has_ended)
{
    uint64_t later_ms = loop_wall_ms(broker.loop) + 3600 * 1000;

    came_for(ALICE_NO, 0);
    came_for(CAROL_NO, 3600 * 1000);
    ck_assert(unread_fresh(&broker, bob));
    came_for(ALICE_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    ck_assert(!unread_fresh(&broker, bob));
    ck_assert_uint_eq(recounts, 1);
    unread_recount_begins(bob);
    came_for(CAROL_NO, 0);
    unread_recount_answered(bob);
    unread_recounted(bob, false, ALICE_NO, 0, 1, later_ms + 1);
    unread_recounted(bob, false, CAROL_NO, 0, 1, later_ms);
    moved = 0;
    unread_recount_done(&broker, bob, true);
    ck_assert_uint_eq(unread_badge(bob), 3); /* one of them came meanwhile */
    ck_assert_uint_eq(bob->counts_end_s, later_ms / 1000 + 1);
    ck_assert_uint_eq(moved, 2);
    ck_assert_uint_eq(alerts, 1);
    ck_assert(unread_fresh(&broker, bob));
}
END_TEST

START_TEST(conversations_of_which_nothing_is_left_are_not_counted)
{
    came_for(ALICE_NO, -2000);
    came_for(CAROL_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    unread_recount_begins(bob);
    unread_recount_answered(bob);
    unread_recount_done(&broker, bob, true);
    ck_assert_uint_eq(unread_badge(bob), 0);
    ck_assert_uint_eq(bob->counts_end_s, 0);
}
END_TEST

/* The database has heard of a reading later than this. */
START_TEST(a_reading_is_newer_than_the_recount)
{
    for (int i = 0; i < 4; i++)
        came_for(ALICE_NO, 0);
    came_for(CAROL_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    unread_recount_begins(bob);
    read_of(WIRE_TO_USER, "alice");
    found(3, 1);
    written();
    unread_recount_answered(bob);
    unread_recounted(bob, false, ALICE_NO, 0, 4, UINT64_MAX - 1);
    unread_recount_done(&broker, bob, true);
    ck_assert_uint_eq(unread_badge(bob), 1);
}
END_TEST

START_TEST(a_recount_that_fails_changes_nothing_and_waits_a_minute)
{
    came_for(ALICE_NO, -2000);
    ck_assert(!unread_fresh(&broker, bob));
    unread_recount_begins(bob);
    unread_recount_done(&broker, bob, false);
    ck_assert_uint_eq(unread_badge(bob), 1);
    ck_assert_uint_eq(alerts, 1);
    ck_assert(unread_fresh(&broker, bob));
    ck_assert_uint_gt(bob->counts_end_s, loop_wall_ms(broker.loop) / 1000 + 50);
}
END_TEST

START_TEST(without_a_database_nobody_waits_for_a_badge)
{
    came_for(ALICE_NO, -2000);
    no_database = true;
    ck_assert(unread_fresh(&broker, bob));
    ck_assert_uint_eq(recounts, 0);
}
END_TEST

START_TEST(a_message_that_is_not_there_reads_nothing)
{
    came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    found(0, 0);
    ck_assert_uint_eq(unread_badge(bob), 1);
    written();
    answered(5, SUCCESS);
}
END_TEST

START_TEST(two_readings_at_once)
{
    for (int i = 0; i < 4; i++)
        came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(asked_count, 2);
    found(4, 0);
    written();
    ck_assert_uint_eq(unread_badge(bob), 0);
    answer = NO_ANSWER;
    found(2, 2); /* the older one's answer comes last */
    written();
    ck_assert_uint_eq(unread_badge(bob), 0);
}
END_TEST

START_TEST(groups_and_bad_names_are_refused)
{
    read_of(WIRE_TO_GROUP, "friends");
    answered(5, NOT_AUTHORIZED);
    answer = NO_ANSWER;
    read_of(WIRE_TO_USER, "a b");
    answered(5, NOT_AUTHORIZED);
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

START_TEST(parked_until_both_people_are_there)
{
    bob->state = USER_LOADING;
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(parked, 1);
    bob->state = USER_READY;
    alice->state = USER_LOADING;
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_eq(parked, 2);
    ck_assert_uint_eq(answer, NO_ANSWER);
    ck_assert_uint_eq(asked_count, 0);
    no_memory = true;
    read_of(WIRE_TO_USER, "alice");
    ck_assert_uint_ne(answer, NO_ANSWER);
}
END_TEST

START_TEST(no_memory_to_answer_when_written)
{
    came(WIRE_BODY_USER, ALICE_NO);
    read_of(WIRE_TO_USER, "alice");
    no_memory = true;
    found(1, 0);
    answered(5, QUOTA_EXCEEDED); /* it is read here, and the client says it again */
    ck_assert_uint_eq(unread_badge(bob), 0);
    ck_assert_ptr_null(op);
}
END_TEST

/* --- me/shown --- */

START_TEST(shown_on_that_device)
{
    came(WIRE_BODY_USER, ALICE_NO);
    shown_of("phone", 1);
    found(1, 0);
    ck_assert_uint_eq(shown_seq, 1);
    ck_assert_uint_eq(traced, 1);
    ck_assert_uint_eq(unread_badge(bob), 1); /* seen, not read */
    written();
    answered(6, SUCCESS);
}
END_TEST

START_TEST(one_answer_for_many)
{
    shown_of("phone", 3);
    ck_assert_uint_eq(asked_count, 3);
    found(1, 0);
    found(0, 0); /* one that there is not */
    ck_assert_ptr_null(op);
    found(3, 0);
    ck_assert_uint_eq(traced, 2);
    written();
    answered(6, SUCCESS);
}
END_TEST

START_TEST(an_empty_list_is_answered)
{
    shown_of("phone", 0);
    answered(6, SUCCESS);
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

START_TEST(on_a_device_that_is_not_stored)
{
    shown_of("desk", 1);
    found(1, 0);
    written();
    answered(6, SUCCESS);
    answer = NO_ANSWER;
    phone->no = 0;
    shown_of("phone", 1);
    found(1, 0);
    ck_assert_uint_eq(traced, 0);
    ck_assert_uint_eq(shown_seq, 0);
    written();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unread");
    TCase *tcase = tcase_create("unread");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, only_what_was_received_counts);
    tcase_add_test(tcase, rows_of_the_database_and_what_came_since);
    tcase_add_test(tcase, forgotten_with_what_waits_to_be_written);
    tcase_add_test(tcase, read_up_to_a_message);
    tcase_add_test(tcase, what_comes_while_it_is_looked_up_counts);
    tcase_add_test(tcase, reading_never_goes_back);
    tcase_add_test(tcase, a_reading_that_is_not_written_is_not_acknowledged);
    tcase_add_test(tcase, a_badge_is_counted_again_when_something_has_ended);
    tcase_add_test(tcase, conversations_of_which_nothing_is_left_are_not_counted);
    tcase_add_test(tcase, a_reading_is_newer_than_the_recount);
    tcase_add_test(tcase, a_recount_that_fails_changes_nothing_and_waits_a_minute);
    tcase_add_test(tcase, without_a_database_nobody_waits_for_a_badge);
    tcase_add_test(tcase, a_message_that_is_not_there_reads_nothing);
    tcase_add_test(tcase, two_readings_at_once);
    tcase_add_test(tcase, groups_and_bad_names_are_refused);
    tcase_add_test(tcase, parked_until_both_people_are_there);
    tcase_add_test(tcase, no_memory_to_answer_when_written);
    tcase_add_test(tcase, shown_on_that_device);
    tcase_add_test(tcase, one_answer_for_many);
    tcase_add_test(tcase, an_empty_list_is_answered);
    tcase_add_test(tcase, on_a_device_that_is_not_stored);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
