/* Tests of broker/trace.c, with a fake of the store. */
#include "broker/trace.h"

#include "broker/broker.h"
#include "broker/store.h"
#include "common/utf8.h"
#include "tests/support/run_suite.h"

#include <string.h>

static struct broker broker;
static struct user user = {.no = 3};
static struct device device = {.user = &user, .no = 4};
static struct trace_row row;
static bool full;

struct trace_row *store_trace_row(struct broker *b)
{
    (void)b;
    return full ? NULL : &row;
}

static void setup(void)
{
    broker = (struct broker){.loop = loop_create()};
    row = (struct trace_row){0};
    full = false;
}

static void teardown(void)
{
    loop_destroy(broker.loop);
}

static const char *traced(const char *reason)
{
    trace_add(&broker, &device, 1, "apns", "failed", reason, 0);
    return row.reason;
}

/* One row that the database refuses would keep its whole batch from being written. */
START_TEST(only_text_reaches_the_database)
{
    char cut[TRACE_REASON_SIZE + 8];

    ck_assert_str_eq(traced("Unregistered"), "Unregistered");
    ck_assert_str_eq(traced("gel\303\266scht"), "gel\303\266scht");
    ck_assert_str_eq(traced("bad \377 byte"), "bad ? byte");
    memset(cut, 'a', sizeof(cut));
    memcpy(cut + TRACE_REASON_SIZE - 2, "\303\266", 3); /* its second byte does not fit */
    ck_assert(utf8_valid(bytes_of_string(traced(cut))));
    ck_assert_uint_eq(strlen(row.reason), TRACE_REASON_SIZE - 1);
}
END_TEST

START_TEST(what_is_too_much_is_dropped_and_counted)
{
    full = true;
    trace_add(&broker, &device, 1, "apns", "failed", "", 0);
    ck_assert_uint_eq(broker.metrics.trace_dropped, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tcase = tcase_create("trace");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, only_text_reaches_the_database);
    tcase_add_test(tcase, what_is_too_much_is_dropped_and_counted);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
