/* Tests of broker/pg_target.c and broker/sqlstate.c. */
#include "broker/pg_target.h"

#include "broker/broker.h"
#include "broker/sqlstate.h"
#include "tests/support/run_suite.h"

#include <string.h>

static struct pg_target target;
static struct metrics metrics;
static struct err_text et;

static void setup(void)
{
    metrics = (struct metrics){0};
    et.text[0] = '\0';
}

static void teardown(void)
{
    pg_target_fini(&target);
}

static int init(const char *dsn)
{
    return pg_target_init(&target, dsn, 5000, &metrics, &et);
}

START_TEST(counts_the_hosts)
{
    ck_assert_int_eq(init("dbname=beckon"), 0);
    ck_assert_uint_eq(target.host_count, 1);
    ck_assert_uint_eq(target.connect_timeout_ms, 3000);
    pg_target_fini(&target);
    ck_assert_int_eq(init("postgresql://beckon@a:1,b:2,c:3/beckon?connect_timeout=7"), 0);
    ck_assert_uint_eq(target.host_count, 3);
    ck_assert_uint_eq(target.connect_timeout_ms, 7000);
    pg_target_fini(&target);
    ck_assert_int_eq(init("host=a,b port=5432 connect_timeout=0"), 0);
    ck_assert_uint_eq(target.host_count, 2);
    ck_assert_uint_eq(target.connect_timeout_ms, 10000);
}
END_TEST

START_TEST(refuses_what_is_no_connection_string)
{
    ck_assert_int_eq(init("hostname=a"), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "hostname"));
    pg_target_fini(&target);
    ck_assert_int_eq(init("host=a,b,c port=1,2"), ERR_CONFIG);
    ck_assert_str_eq(et.text, "database.dsn has 2 ports for 3 hosts, expected 1 or 3");
    pg_target_fini(&target);
    ck_assert_int_eq(init("host=a,b hostaddr=127.0.0.1"), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(et.text, "2 host names and 1 addresses"));
}
END_TEST

/* Whatever the history says, the name in the connection is the host's own. */
START_TEST(connects_to_one_host)
{
    PGconn *conn;

    ck_assert_int_eq(init("host=a,b hostaddr=127.0.0.1,127.0.0.2 port=1,2 user=u dbname=d"), 0);
    conn = pg_target_begin(&target, 1);
    ck_assert_ptr_nonnull(conn);
    ck_assert_str_eq(PQhost(conn), "b");
    ck_assert_str_eq(PQhostaddr(conn), "127.0.0.2");
    ck_assert_str_eq(PQport(conn), "2");
    ck_assert_str_eq(PQuser(conn), "u");
    PQfinish(conn);
}
END_TEST

static bool accepted(struct pg_server server)
{
    int r = pg_target_judge(&target, &server, &et);

    if (r == 0)
        pg_target_accept(&target, 0, &server);
    return r == 0;
}

START_TEST(refuses_what_takes_no_writes)
{
    ck_assert_int_eq(init("host=a"), 0);
    ck_assert(!accepted((struct pg_server){.system_id = 7, .standby = true}));
    ck_assert_ptr_nonnull(strstr(et.text, "a standby"));
    ck_assert(!accepted((struct pg_server){.system_id = 7, .timeline = 1, .read_only = true}));
    ck_assert_ptr_nonnull(strstr(et.text, "read-only"));
    ck_assert_uint_eq(target.newest.system_id, 0);
}
END_TEST

static unsigned lost;

static void on_lost(void *arg)
{
    ck_assert_ptr_eq(arg, &target);
    lost++;
}

/* The server goes on to another timeline, as a standby that was promoted. */
static unsigned lost_by_promotion(bool synchronous)
{
    static uint32_t timeline = 1;
    unsigned before = lost;

    ck_assert(accepted((struct pg_server){
        .system_id = 7, .timeline = ++timeline, .flushed = 1000, .synchronous = synchronous}));
    return lost - before;
}

START_TEST(tells_when_a_promotion_may_have_lost_commits)
{
    ck_assert_int_eq(init("host=a"), 0);
    target.on_history_lost = on_lost;
    target.history_arg = &target;
    ck_assert_uint_eq(lost_by_promotion(true), 0); /* the first that is seen */
    ck_assert_uint_eq(lost_by_promotion(true), 0);
    ck_assert_uint_eq(lost_by_promotion(false), 0);
    ck_assert_uint_eq(lost_by_promotion(true), 1);
    /* an operator takes the standby away, and the flag of the connection is old */
    pg_target_waits(&target, true);
    pg_target_waits(&target, false);
    ck_assert_uint_eq(lost_by_promotion(false), 1);
    /* it has a standby again: the commit between two looks takes everything before it along */
    pg_target_waits(&target, true);
    ck_assert_uint_eq(lost_by_promotion(false), 1);
    pg_target_waits(&target, true);
    pg_target_waits(&target, true);
    ck_assert_uint_eq(lost_by_promotion(true), 0);
    ck_assert_uint_eq(metrics.promotions, 6);
    ck_assert_uint_eq(metrics.histories_lost, 3);
}
END_TEST

/* One of several connections that is made anew says less than the looks in between. */
START_TEST(a_connection_does_not_say_that_commits_waited)
{
    struct pg_server server = {.system_id = 7, .timeline = 2, .flushed = 1000};

    ck_assert_int_eq(init("host=a"), 0);
    ck_assert(accepted(server));
    server.synchronous = true;
    ck_assert(accepted(server));
    ck_assert(!target.newest.synchronous);
}
END_TEST

START_TEST(refuses_an_older_history)
{
    struct pg_server server = {.system_id = 7, .timeline = 2, .flushed = 1000};

    ck_assert_int_eq(init("host=a"), 0);
    ck_assert(accepted(server));
    ck_assert(accepted(server));
    server.flushed = 999;
    ck_assert(!accepted(server));
    ck_assert_ptr_nonnull(strstr(et.text, "an older copy: its log ends at 0/3E7"));
    server.timeline = 1;
    server.flushed = 5000;
    ck_assert(!accepted(server));
    ck_assert_ptr_nonnull(strstr(et.text, "its timeline is 1, a server of timeline 2 was seen"));
    ck_assert_uint_eq(metrics.promotions, 0);
    /* promoted: a standby may lack what its primary had not sent yet, which nobody waited for */
    server.timeline = 3;
    server.flushed = 900;
    ck_assert(accepted(server));
    ck_assert_uint_eq(metrics.promotions, 1);
    server.system_id = 8;
    ck_assert(!accepted(server));
    ck_assert_ptr_nonnull(strstr(et.text, "another installation"));
}
END_TEST

START_TEST(knows_what_passes)
{
    static const char *const passing[] = {"",      "08006", "25006", "40P01", "53100",
                                          "53300", "55P03", "57P01", "57014", "58030"};
    static const char *const staying[] = {"22021", "23505", "42P01", "54000", "25P02", "BK001"};

    ck_assert(sqlstate_passes(NULL));
    for (unsigned i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        ck_assert_msg(sqlstate_passes(passing[i]), "%s", passing[i]);
    for (unsigned i = 0; i < sizeof(staying) / sizeof(staying[0]); i++)
        ck_assert_msg(!sqlstate_passes(staying[i]), "%s", staying[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pg_target");
    TCase *tcase = tcase_create("pg_target");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, counts_the_hosts);
    tcase_add_test(tcase, refuses_what_is_no_connection_string);
    tcase_add_test(tcase, connects_to_one_host);
    tcase_add_test(tcase, refuses_what_takes_no_writes);
    tcase_add_test(tcase, tells_when_a_promotion_may_have_lost_commits);
    tcase_add_test(tcase, a_connection_does_not_say_that_commits_waited);
    tcase_add_test(tcase, refuses_an_older_history);
    tcase_add_test(tcase, knows_what_passes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
