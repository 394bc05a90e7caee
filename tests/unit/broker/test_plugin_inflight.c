/* Tests of broker/plugin_inflight.c. */
#include "broker/plugin_inflight.h"

#include "tests/support/run_suite.h"

#include <check.h>

START_TEST(finds_by_id_and_by_age)
{
    struct plugin_inflight inflight;

    plugin_inflight_init(&inflight);
    for (uint64_t id = 1; id <= 100; id++)
        ck_assert_int_eq(plugin_inflight_add(&inflight, id, id * 10, 3), 0);
    ck_assert_int_eq(plugin_inflight_add(&inflight, 50, 1, 3), ERR_EXISTS);
    ck_assert_uint_eq(plugin_inflight_count(&inflight), 100);
    ck_assert_uint_eq(inflight.bytes, 300);
    ck_assert_uint_eq(plugin_inflight_oldest(&inflight)->id, 1);
    plugin_inflight_remove(&inflight, plugin_inflight_find(&inflight, 1));
    ck_assert_ptr_null(plugin_inflight_find(&inflight, 1));
    ck_assert_uint_eq(plugin_inflight_oldest(&inflight)->since_ms, 20);
    ck_assert_uint_eq(inflight.bytes, 297);
    plugin_inflight_fini(&inflight);
    ck_assert_ptr_null(plugin_inflight_oldest(&inflight));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_inflight");
    TCase *tcase = tcase_create("inflight");

    tcase_add_test(tcase, finds_by_id_and_by_age);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
