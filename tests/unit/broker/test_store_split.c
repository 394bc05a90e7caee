/* Tests of broker/store_split.c with store_late.c and store_late_cut.c: a batch that the database
 * refuses is cut until what is refused stands alone. The database is a fake that refuses whatever
 * holds the poison, and remembers in which transaction each row was committed. */
#include "broker/publish.h"
#include "broker/store_internal.h"
#include "broker/store_sql.h"
#include "broker/trace.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEOPLE 7
#define CONVERSATIONS 2
/* Three tries, then a cut each: far more means that it does not end. */
#define TRIES_MAX 60

enum kind { PUT, CURSOR, MOVE, COUNTS, TRACE, OP, KINDS, NOTHING };

static struct broker broker;
static struct store store;
static struct user *people[PEOPLE];
static struct device *devices[PEOPLE];
static struct conversation conversations[PEOPLE][CONVERSATIONS];
static struct message message = {.from = "somebody"};
static enum kind poison;
static unsigned poisoned; /* whose row */
static bool sent[KINDS][PEOPLE];
static unsigned transaction, committed[KINDS][PEOPLE], refused[KINDS][PEOPLE], hurries;

/* --- fakes --- */

void user_pin(struct broker *b, struct user *user)
{
    (void)b;
    user->pins++;
}

void user_unpin(struct broker *b, struct user *user)
{
    (void)b;
    ck_assert_uint_gt(user->pins, 0);
    user->pins--;
}

void pg_hurry(struct pg *pg)
{
    (void)pg;
    hurries++;
}

void batch_on_statement(void *arg, const PGresult *result)
{
    (void)arg, (void)result;
}

void publishes_refused(struct broker *b, struct put *puts, uint32_t count, uint8_t reason)
{
    ck_assert_ptr_eq(b, &broker);
    ck_assert_uint_eq(reason, 0x80);
    for (uint32_t i = 0; i < count; i++)
        refused[PUT][puts[i].to->no]++;
}

void ops_finish(struct broker *b, struct batch *batch)
{
    (void)b;
    while (!STAILQ_EMPTY(&batch->ops)) {
        struct store_op *op = STAILQ_FIRST(&batch->ops);

        STAILQ_REMOVE_HEAD(&batch->ops, link);
        (op->failed ? refused : committed)[OP][op->user->no] = transaction;
        free(op);
    }
}

/* Of unread counts a person's head counts, and all their rows must come with it. */
int store_query(struct pg *pg, int statement, struct pg_array *columns, int count, pg_result_fn fn,
                void *arg)
{
    static unsigned rows[PEOPLE];
    enum kind kind = statement == SQL_CURSORS ? CURSOR
                     : statement == SQL_MOVES ? MOVE
                     : statement == SQL_TRACE ? TRACE
                                              : COUNTS;

    (void)pg, (void)fn, (void)arg;
    for (int i = 1; i < count; i++)
        ck_assert_uint_eq(columns[i].count, columns[0].count);
    if (statement == SQL_UNREAD)
        memset(rows, 0, sizeof(rows));
    for (uint32_t i = 0; i < columns[0].count; i++) {
        int64_t person = pg_array_at(&columns[0], i);

        ck_assert_int_lt(person, PEOPLE);
        if (statement == SQL_UNREAD) {
            rows[person]++;
            continue;
        }
        if (statement == SQL_COUNTED)
            ck_assert_uint_eq(rows[person], CONVERSATIONS);
        ck_assert(!sent[kind][person]);
        sent[kind][person] = true;
    }
    return 0;
}

/* --- fixture --- */

static void set_up(void)
{
    broker = (struct broker){.loop = loop_create(), .store = &store};
    broker.options.cursor_ms = broker.options.unread_ms = 100;
    store = (struct store){.broker = &broker};
    TAILQ_INIT(&store.batches);
    late_init(&store);
    memset(conversations, 0, sizeof(conversations));
    memset(committed, 0, sizeof(committed));
    memset(refused, 0, sizeof(refused));
    transaction = hurries = 0;
    poison = NOTHING;
    for (unsigned i = 0; i < PEOPLE; i++) {
        people[i] = calloc(1, sizeof(struct user) + 2);
        people[i]->no = i;
        people[i]->id[0] = (char)('a' + i);
        TAILQ_INIT(&people[i]->devices);
        devices[i] = calloc(1, sizeof(struct device) + 1);
        *devices[i] = (struct device){.user = people[i], .no = 100 + i, .acked_seq = 5};
        TAILQ_INSERT_TAIL(&people[i]->devices, devices[i], link);
    }
}

static void tear_down(void)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        ck_assert_uint_eq(people[i]->pins, 0);
        ck_assert(SLIST_EMPTY(&people[i]->uncounted));
        free(people[i]);
        free(devices[i]);
    }
    ck_assert_uint_eq(store.uncounted_count + store.dirty_count + store.trace_count, 0);
    late_fini(&store);
    loop_destroy(broker.loop);
}

static void count_again(unsigned person)
{
    for (unsigned i = 0; i < CONVERSATIONS; i++) {
        conversations[person][i].user = people[person];
        store_unread_moved(&broker, &conversations[person][i]);
    }
}

/* Everything of everybody, in one batch. */
static void make_batch(void)
{
    struct batch *batch = calloc(1, sizeof(*batch));

    batch->broker = &broker;
    STAILQ_INIT(&batch->ops);
    batch->puts = calloc(PEOPLE, sizeof(struct put));
    batch->put_count = batch->put_cap = PEOPLE;
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct store_op *op = calloc(1, sizeof(*op));

        batch->puts[i] = (struct put){.to = people[i], .message = &message, .copy_of = -1};
        op->type = STORE_SESSION_LEAVE;
        op->user = people[i];
        STAILQ_INSERT_TAIL(&batch->ops, op, link);
        store_cursor_moved(&broker, devices[i]);
        count_again(i);
        *store_trace_row(&broker) = (struct trace_row){
            .user_no = i, .device_no = 100 + i, .step = "", .outcome = "", .reason = ""};
    }
    store_flush(&store);
    TAILQ_INSERT_TAIL(&store.batches, batch, link);
}

static bool refuses(const struct batch *batch)
{
    const struct store_op *op;

    for (uint32_t i = 0; i < batch->put_count; i++) {
        if (poison == PUT && batch->puts[i].to->no == poisoned)
            return true;
    }
    STAILQ_FOREACH(op, &batch->ops, link)
    {
        if (poison == OP && op->user->no == poisoned)
            return true;
    }
    return poison < KINDS && poison != PUT && poison != OP && sent[poison][poisoned];
}

static void commit(struct batch *batch)
{
    transaction++;
    for (uint32_t i = 0; i < batch->put_count; i++)
        committed[PUT][batch->puts[i].to->no] = transaction;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (unsigned person = 0; person < PEOPLE; person++) {
            if (sent[kind][person]) {
                ck_assert_uint_eq(committed[kind][person], 0);
                committed[kind][person] = transaction;
            }
        }
    }
    TAILQ_REMOVE(&store.batches, batch, link);
    ops_finish(&broker, batch);
    late_committed(&broker, batch);
    for (size_t i = 0; i < STORE_LATE_COLUMNS; i++)
        pg_array_fini(&batch->late[i]);
    free(batch->late_cursors.list);
    free(batch->late_heads.list);
    free(batch->puts);
    free(batch);
}

static void run(void)
{
    struct batch *batch;

    for (unsigned tries = 0; (batch = TAILQ_FIRST(&store.batches)); tries++) {
        ck_assert_uint_lt(tries, TRIES_MAX);
        memset(sent, 0, sizeof(sent));
        ck_assert_int_eq(late_send(&store, batch), 0);
        if (!refuses(batch)) {
            commit(batch);
            continue;
        }
        batch->failed = batch->reconcile = true;
        snprintf(batch->sqlstate, sizeof(batch->sqlstate), "23514");
        batch_refused(&store, batch);
    }
}

/* --- tests --- */

START_TEST(what_is_taken_is_one_transaction)
{
    make_batch();
    run();
    ck_assert_uint_eq(transaction, 1);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (unsigned person = 0; person < PEOPLE; person++)
            ck_assert_uint_eq(committed[kind][person], 1);
    }
    ck_assert_uint_eq(broker.metrics.writes_given_up, 0);
}
END_TEST

/* _i: kind * PEOPLE + whose. */
START_TEST(what_is_refused_is_given_up_alone)
{
    poison = (enum kind)(_i / PEOPLE);
    poisoned = (unsigned)_i % PEOPLE;
    make_batch();
    run();
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (unsigned person = 0; person < PEOPLE; person++) {
            bool is_poison = kind == poison && person == poisoned;

            ck_assert_msg((committed[kind][person] == 0) == is_poison, "kind %u of %u", kind,
                          person);
        }
    }
    ck_assert_uint_eq(broker.metrics.writes_given_up, 1);
    ck_assert_uint_gt(hurries, 0);
}
END_TEST

/* Whoever is told that a session's end is stored forgets what the device acknowledged. */
START_TEST(no_session_ends_before_its_cursor_is_written)
{
    poison = (enum kind)(_i / PEOPLE);
    poisoned = (unsigned)_i % PEOPLE;
    make_batch();
    run();
    for (unsigned person = 0; person < PEOPLE; person++) {
        if (committed[OP][person] > 0 && !(poison == CURSOR && person == poisoned))
            ck_assert_uint_le(committed[CURSOR][person], committed[OP][person]);
        if (committed[OP][person] > 0 && !(poison == COUNTS && person == poisoned))
            ck_assert_uint_le(committed[COUNTS][person], committed[OP][person]);
    }
}
END_TEST

START_TEST(counts_that_are_refused_are_not_written_until_asked_for)
{
    poison = COUNTS;
    poisoned = 3;
    make_batch();
    run();
    ck_assert(people[3]->counts_refused);
    ck_assert(!people[2]->counts_refused);
    count_again(3);
    ck_assert_uint_eq(store.uncounted_count, 0);
    people[3]->counts_refused = false;
    count_again(3);
    ck_assert_uint_eq(store.uncounted_count, 1);
    poison = NOTHING;
    make_batch();
    memset(committed, 0, sizeof(committed));
    run();
    ck_assert_uint_gt(committed[COUNTS][3], 0);
}
END_TEST

/* Counted while the batch was tried again and again. */
START_TEST(counts_that_moved_meanwhile_are_not_written_either)
{
    poison = COUNTS;
    poisoned = 3;
    make_batch();
    memset(sent, 0, sizeof(sent));
    ck_assert_int_eq(late_send(&store, TAILQ_FIRST(&store.batches)), 0);
    count_again(3);
    count_again(4);
    run();
    ck_assert_uint_eq(store.uncounted_count, 1); /* those of 4 */
    ck_assert(SLIST_EMPTY(&people[3]->uncounted));
    store_forget_unread(&broker, people[4]);
    people[4]->pins--;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_split");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_taken_is_one_transaction);
    tcase_add_loop_test(tcase, what_is_refused_is_given_up_alone, 0, KINDS * PEOPLE);
    tcase_add_loop_test(tcase, no_session_ends_before_its_cursor_is_written, 0, KINDS * PEOPLE);
    tcase_add_test(tcase, counts_that_are_refused_are_not_written_until_asked_for);
    tcase_add_test(tcase, counts_that_moved_meanwhile_are_not_written_either);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
