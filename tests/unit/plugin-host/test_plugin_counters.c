/* Tests of plugin-host/plugin_counters.c. */
#include "plugin-host/plugin_counters.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static void on_counter(void *arg, const char *name, uint64_t value)
{
    (void)name;
    *(uint64_t *)arg += value;
}

static uint64_t total(const struct plugin_counters *counters)
{
    uint64_t sum = 0;

    plugin_counters_each(counters, on_counter, &sum);
    return sum;
}

START_TEST(counts_and_hands_out_differences)
{
    struct plugin_counters counters = {0};
    uint64_t taken = 0;

    plugin_counters_add(&counters, "sent", 2);
    plugin_counters_add(&counters, "sent", 3);
    plugin_counters_add(&counters, "failed", 1);
    ck_assert_uint_eq(counters.count, 2);
    ck_assert_uint_eq(total(&counters), 6);
    plugin_counters_take(&counters, on_counter, &taken);
    ck_assert_uint_eq(taken, 6);
    plugin_counters_add(&counters, "failed", 4);
    plugin_counters_take(&counters, on_counter, &taken);
    ck_assert_uint_eq(taken, 10);
    plugin_counters_take(&counters, on_counter, &taken);
    ck_assert_uint_eq(taken, 10);
    ck_assert_uint_eq(total(&counters), 10);
    plugin_counters_fini(&counters);
}
END_TEST

START_TEST(bad_and_too_many_names_are_ignored)
{
    struct plugin_counters counters = {0};
    char name[128];

    plugin_counters_add(&counters, "", 1);
    plugin_counters_add(&counters, "Sent", 1);
    plugin_counters_add(&counters, "a b", 1);
    memset(name, 'a', 64);
    name[64] = '\0';
    plugin_counters_add(&counters, name, 1);
    ck_assert_uint_eq(counters.count, 0);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "c_%c%c", 'a' + i / 26, 'a' + i % 26);
        plugin_counters_add(&counters, name, 1);
    }
    ck_assert_uint_eq(counters.count, 128);
    plugin_counters_fini(&counters);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_counters");
    TCase *tcase = tcase_create("counters");

    tcase_add_test(tcase, counts_and_hands_out_differences);
    tcase_add_test(tcase, bad_and_too_many_names_are_ignored);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
