/* Tests of connector/metrics.c: no counter is cut off. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#include "connector/connector.h"

#include "tests/support/run_suite.h"

/* What metrics_log writes to standard error. */
static void capture(const struct metrics *metrics, char *text, size_t size)
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    ssize_t len;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    metrics_log(metrics);
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    close(saved);
    len = pread(fileno(file), text, size - 1, 0);
    ck_assert_int_gt(len, 0);
    text[len] = '\0';
    fclose(file);
}

START_TEST(test_every_counter)
{
    static struct metrics metrics;
    static char text[8192];

    log_init("connector", 0, LOG_INFO);
    memset(&metrics, 0xFF, sizeof(metrics));
    capture(&metrics, text, sizeof(text));
#define METRIC(name, help)                                                                         \
    ck_assert_msg(strstr(text, " " #name "=18446744073709551615") != NULL, "%s is missing", #name);
#include "connector/metrics.def"
#undef METRIC
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *log = tcase_create("log");

    tcase_add_test(log, test_every_counter);
    suite_add_tcase(suite, log);
    return run_suite(suite);
}
