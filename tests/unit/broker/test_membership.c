/* Tests of broker/membership.c: several brokers on one database, which must be a real one that
 * nobody else uses: BECKON_DSN names it. Run by tests/system/test_membership.py. */
#include "broker/membership.h"

#include "broker/broker.h"
#include "broker/pg_target.h"

#include "tests/support/run_suite.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEASE_MS 3000
#define DEADLINE_MS 20000

/* One broker, and what its membership told. */
struct fake {
    struct membership *membership;
    struct members view;
    unsigned views, fresh, replaced, left, lost, held;
};

static struct loop *loop;
static PGconn *database;
static struct pg_target target;
static struct metrics metrics;
static struct fake a, b, c;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_view(void *arg, const struct members *members, bool fresh)
{
    struct fake *fake = arg;

    fake->view = *members;
    fake->views++;
    fake->fresh += fresh;
}

static void on_replaced(void *arg)
{
    ((struct fake *)arg)->replaced++;
}

static void on_lease(void *arg, bool held)
{
    struct fake *fake = arg;

    if (held)
        fake->held++;
    else
        fake->lost++;
}

static void on_left(void *arg)
{
    ((struct fake *)arg)->left++;
}

static void start(struct fake *fake, const char *name)
{
    static const struct membership_events events = {on_view, on_replaced, on_lease, on_left};
    const struct membership_config config = {.loop = loop,
                                             .target = &target,
                                             .name = name,
                                             .endpoint = "tcp://127.0.0.1:1",
                                             .lease_ms = LEASE_MS};

    *fake = (struct fake){.membership = membership_create(&config, &events, fake)};
    ck_assert_ptr_nonnull(fake->membership);
}

/* As a process that was killed. */
static void kill_it(struct fake *fake)
{
    membership_destroy(fake->membership);
    fake->membership = NULL;
}

static void run(const char *sql)
{
    PGresult *result = PQexec(database, sql);
    ExecStatusType status = PQresultStatus(result);

    ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", sql,
                  PQresultErrorMessage(result));
    PQclear(result);
}

#define WAIT(condition)                                                                            \
    do {                                                                                           \
        uint64_t until_ms = now_ms() + DEADLINE_MS;                                                \
        while (!(condition)) {                                                                     \
            ck_assert_msg(now_ms() < until_ms, "not in time: %s", #condition);                     \
            ck_assert_int_eq(loop_turn(loop, 10), 0);                                              \
        }                                                                                          \
    } while (0)

static void set_up(void)
{
    struct err_text et = {""};

    ck_assert_ptr_nonnull(getenv("BECKON_DSN"));
    database = PQconnectdb(getenv("BECKON_DSN"));
    ck_assert_msg(PQstatus(database) == CONNECTION_OK, "%s", PQerrorMessage(database));
    run("TRUNCATE broker");
    ck_assert_msg(pg_target_init(&target, getenv("BECKON_DSN"), DEADLINE_MS, &metrics, &et) == 0,
                  "%s", et.text);
    loop = loop_create();
    ck_assert_ptr_nonnull(loop);
    start(&a, "a");
    WAIT(a.views == 1);
}

static void tear_down(void)
{
    kill_it(&a);
    kill_it(&b);
    kill_it(&c);
    loop_destroy(loop);
    run("TRUNCATE broker"); /* nobody waits for the leases of these */
    pg_target_fini(&target);
    PQfinish(database);
}

START_TEST(test_join)
{
    uint64_t generation = a.view.generation;

    ck_assert_uint_eq(a.fresh, 1);
    ck_assert_uint_eq(a.view.count, 1);
    WAIT(a.held == 1);
    ck_assert_uint_gt(membership_lease_left_ms(a.membership), 0);
    ck_assert_uint_lt(membership_lease_left_ms(a.membership), LEASE_MS);
    start(&b, "b");
    WAIT(b.views == 1 && a.views == 2);
    ck_assert_uint_eq(b.fresh, 1);
    ck_assert_uint_eq(a.fresh, 1); /* it was there all the time */
    ck_assert_uint_eq(a.view.generation, generation + 1);
    ck_assert(members_equal(&a.view, &b.view));
    ck_assert_str_eq(a.view.all[1].name, "b");
    ck_assert_str_eq(a.view.all[1].endpoint, "tcp://127.0.0.1:1");
}
END_TEST

START_TEST(test_leave)
{
    start(&b, "b");
    WAIT(a.views == 2 && b.views == 1);
    membership_leave(b.membership);
    WAIT(b.left == 1 && a.views == 3);
    ck_assert_uint_eq(a.view.count, 1);
    ck_assert_uint_eq(membership_lease_left_ms(b.membership), 0);
    membership_rejoin(b.membership);
    WAIT(a.views == 4 && b.fresh == 2);
    ck_assert_uint_eq(b.view.count, 2);
}
END_TEST

START_TEST(test_expiry)
{
    uint64_t generation, killed_ms;

    start(&b, "b");
    WAIT(a.views == 2 && b.views == 1);
    generation = a.view.generation;
    kill_it(&b);
    killed_ms = now_ms();
    WAIT(a.views == 3);
    /* its last renewal is a third of a lease old at most */
    ck_assert_uint_ge(now_ms() - killed_ms, LEASE_MS / 2);
    ck_assert_uint_eq(a.view.count, 1);
    ck_assert_uint_eq(a.view.generation, generation + 1);
    ck_assert_uint_eq(a.fresh, 1);
}
END_TEST

START_TEST(test_same_name)
{
    uint64_t generation;

    start(&b, "b");
    WAIT(a.views == 2 && b.views == 1);
    generation = b.view.generation;
    start(&c, "a");
    WAIT(a.replaced == 1 && c.views == 1 && b.views == 2);
    ck_assert_uint_eq(b.view.generation, generation + 1);
    ck_assert_uint_eq(b.view.count, 2);
    ck_assert_uint_eq(c.fresh, 1);
    ck_assert_uint_eq(a.views, 2); /* it is told nothing more */
    ck_assert_uint_eq(membership_lease_left_ms(a.membership), 0);
}
END_TEST

START_TEST(test_removed)
{
    uint64_t generation = a.view.generation;

    run("DELETE FROM broker; SELECT beckon_raise_generation()");
    WAIT(a.fresh == 2);
    ck_assert_uint_eq(a.view.generation, generation + 2);
    ck_assert_uint_eq(a.view.count, 1);
}
END_TEST

/* The database stands: the lease is over from inside before it can be for anybody else, and is held
 * again when the database goes on. */
START_TEST(test_lease_seen_from_inside)
{
    WAIT(a.held == 1);
    run("BEGIN; LOCK TABLE broker IN ACCESS EXCLUSIVE MODE");
    WAIT(a.lost == 1);
    ck_assert_uint_eq(membership_lease_left_ms(a.membership), 0);
    run("COMMIT");
    WAIT(a.held == 2);
    ck_assert_uint_eq(a.views, 1);
}
END_TEST

/* After an outage everybody's lease looks over: who is back first removes nobody. */
START_TEST(test_outage)
{
    uint64_t back_ms;

    start(&b, "b");
    WAIT(a.views == 2);
    kill_it(&b);
    run("UPDATE broker SET lease_until = now() - interval '1 hour' WHERE name = 'b';"
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()");
    back_ms = now_ms();
    WAIT(a.views == 3);
    ck_assert_uint_ge(now_ms() - back_ms, LEASE_MS);
    ck_assert_uint_eq(a.view.count, 1);
}
END_TEST

/* A batch that its broker does not go on sending keeps the lock: after a lease nobody waits for it.
 */
START_TEST(test_stuck_batch)
{
    PGconn *stuck = PQconnectdb(getenv("BECKON_DSN"));

    ck_assert_int_eq(PQstatus(stuck), CONNECTION_OK);
    PQclear(PQexec(stuck, "BEGIN"));
    PQclear(PQexec(stuck, "SELECT pg_advisory_xact_lock_shared(1650811755, 1)"));
    start(&b, "b");
    WAIT(b.views == 1);
    ck_assert_uint_eq(b.view.count, 2);
    PQclear(PQexec(stuck, "SELECT 1"));
    ck_assert_int_eq(PQstatus(stuck), CONNECTION_BAD);
    PQfinish(stuck);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("membership");
    TCase *tcase = tcase_create("brokers");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_join);
    tcase_add_test(tcase, test_leave);
    tcase_add_test(tcase, test_expiry);
    tcase_add_test(tcase, test_same_name);
    tcase_add_test(tcase, test_removed);
    tcase_add_test(tcase, test_lease_seen_from_inside);
    tcase_add_test(tcase, test_outage);
    tcase_add_test(tcase, test_stuck_batch);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
