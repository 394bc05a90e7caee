/* run_suite - the end of every unit test's main. */
#ifndef BECKON_TESTS_SUPPORT_RUN_SUITE_H
#define BECKON_TESTS_SUPPORT_RUN_SUITE_H

#include <check.h>

/* Takes suite. Returns the exit status: 0 when all tests passed. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
