/* Tests of common/option_reload.c: what a reload takes over, and that a bad file changes nothing.
 */
#include "common/option_reload.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct values {
    uint32_t port, limit;
    bool noisy;
    const char *level;
};

static const struct option table[] = {
    {"port", OPTION_UINT, offsetof(struct values, port), "1", 0, 65535, false, "fixed", NULL},
    {"limit", OPTION_UINT, offsetof(struct values, limit), "2", 0, 100, true, "may change", NULL},
    {"noisy", OPTION_BOOL, offsetof(struct values, noisy), "false", 0, 0, true, "may change", NULL},
    {"level", OPTION_STRING, offsetof(struct values, level), "info", 0, 16, true, "may change",
     NULL},
};
static const struct option_command command = {
    .program = "test", .version = "1", .summary = "a test"};

static char path[] = "/tmp/beckon-reload-XXXXXX";
static char program[] = "test", config_option[] = "--config", set_option[] = "--set",
            noisy[] = "noisy=true";
static char *argv[] = {program, config_option, path, set_option, noisy, NULL};
static struct values values;
static struct option_set set;
static struct option_reload reload;

static void write_config(const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void set_up(void)
{
    int fd;

    memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    reload = (struct option_reload){.command = &command,
                                    .table = table,
                                    .count = sizeof(table) / sizeof(table[0]),
                                    .values_size = sizeof(values),
                                    .argc = 5,
                                    .argv = argv};
    option_set_init(&set, table, reload.count, &values);
    write_config("port = 7; limit = 8; level = \"warning\";");
    ck_assert_int_eq(option_command_line(&set, &command, 5, argv), 0);
}

static void tear_down(void)
{
    option_reload_fini(&reload);
    option_set_fini(&set);
    unlink(path);
}

START_TEST(takes_what_may_change_only)
{
    write_config("port = 9; limit = 10; level = \"debug\";");
    ck_assert_int_eq(option_reload_read(&reload), 0);
    ck_assert_uint_eq(values.limit, 8); /* not before it is taken */
    option_reload_take(&reload, &values);
    ck_assert_uint_eq(values.port, 7);
    ck_assert_uint_eq(values.limit, 10);
    ck_assert_str_eq(values.level, "debug");
    ck_assert(values.noisy); /* --set counts at a reload as well */
}
END_TEST

START_TEST(bad_file_changes_nothing)
{
    write_config("limit = 1000;");
    ck_assert_int_eq(option_reload_read(&reload), ERR_CONFIG);
    ck_assert_ptr_null(reload.fresh);
    ck_assert_uint_eq(values.limit, 8);
    write_config("limit = 11; level = \"error\";");
    ck_assert_int_eq(option_reload_read(&reload), 0);
    option_reload_drop(&reload);
    ck_assert_uint_eq(values.limit, 8);
    ck_assert_str_eq(values.level, "warning");
}
END_TEST

START_TEST(again_and_again)
{
    for (int i = 0; i < 3; i++) {
        write_config(i % 2 == 0 ? "limit = 20; level = \"a\";" : "limit = 21; level = \"b\";");
        ck_assert_int_eq(option_reload_read(&reload), 0);
        option_reload_take(&reload, &values);
        ck_assert_uint_eq(values.limit, i % 2 == 0 ? 20 : 21);
        ck_assert_str_eq(values.level, i % 2 == 0 ? "a" : "b");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("option_reload");
    TCase *tcase = tcase_create("reload");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, takes_what_may_change_only);
    tcase_add_test(tcase, bad_file_changes_nothing);
    tcase_add_test(tcase, again_and_again);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
