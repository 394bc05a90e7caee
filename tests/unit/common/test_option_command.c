/* Tests of common/option_command.c: results and what is printed where. */
#include "option_fixture.h"

#include "tests/support/run_suite.h"

#include <fcntl.h>

static char out_text[8192], err_text_printed[2048];
static unsigned command_checks;

static int on_check(struct option_set *checked, struct err_text *ret_et)
{
    ck_assert_ptr_eq(checked, &set);
    command_checks++;
    if (strcmp(values.name, "bad") == 0)
        return err_set(ret_et, ERR_CONFIG, "bad is not a name");
    return strcmp(values.name, "silent") == 0 ? ERR_PLUGIN : 0;
}

static const struct option_command command = {
    .program = "beckon-test", .version = "1.2.3", .summary = "a test", .check = on_check};

/* Points descriptor at a new unlinked file; returns the former one. */
static int redirect(int descriptor)
{
    char name[] = "/tmp/beckon-option-out-XXXXXX";
    int saved = dup(descriptor);
    AUTO_CLOSE int fd = mkstemp(name);

    ck_assert_int_ge(saved, 0);
    ck_assert_int_ge(fd, 0);
    unlink(name);
    ck_assert_int_ge(dup2(fd, descriptor), 0);
    return saved;
}

static void take_back(int descriptor, int saved, char *text, size_t size)
{
    ssize_t got = pread(descriptor, text, size - 1, 0);

    ck_assert_int_ge(got, 0);
    text[got] = '\0';
    ck_assert_int_ge(dup2(saved, descriptor), 0);
    close(saved);
}

/* Runs the command line of arguments up to NULL; fills out_text and err_text_printed. */
static int run(const char *const *arguments)
{
    char *copies[16] = {NULL}; /* as main gets them: the strings may be written to */
    int count = 0;

    for (; arguments[count] != NULL; count++) {
        ck_assert_uint_lt((size_t)count, ARRAY_LEN(copies) - 1);
        copies[count] = strdup(arguments[count]);
        ck_assert_ptr_nonnull(copies[count]);
    }
    option_set_fini(&set);
    option_set_init(&set, option_table, ARRAY_LEN(option_table), &values);
    fflush(stdout);
    int saved_out = redirect(STDOUT_FILENO), saved_err = redirect(STDERR_FILENO);
    int r = option_command_line(&set, &command, count, copies);
    fflush(stdout);
    take_back(STDOUT_FILENO, saved_out, out_text, sizeof(out_text));
    take_back(STDERR_FILENO, saved_err, err_text_printed, sizeof(err_text_printed));
    for (int i = 0; i < count; i++)
        free(copies[i]);
    return r;
}

#define RUN(...) run((const char *const[]){"beckon-test", ##__VA_ARGS__, NULL})

static void check_nothing_printed(void)
{
    ck_assert_str_eq(out_text, "");
    ck_assert_str_eq(err_text_printed, "");
}

START_TEST(test_goes_on)
{
    ck_assert_int_eq(RUN(), 0);
    check_nothing_printed();
    ck_assert_uint_eq(values.port, 1883);
    write_file("listen = { tcp = { port = 80; }; };");
    ck_assert_int_eq(RUN("--config", file), 0);
    ck_assert_uint_eq(values.port, 80);
    ck_assert_int_eq(RUN("--set", "name=x", "--config", file, "--set=listen.tcp.port=81"), 0);
    check_nothing_printed();
    ck_assert_uint_eq(values.port, 81); /* --set comes after the file, wherever it stands */
    ck_assert_str_eq(values.name, "x");
    ck_assert_uint_eq(command_checks, 0);
}
END_TEST

START_TEST(test_config_with_an_equals_sign)
{
    char argument[160];

    write_file("verbose = true;");
    snprintf(argument, sizeof(argument), "--config=%s", file);
    ck_assert_int_eq(RUN(argument), 0);
    ck_assert(values.verbose);
}
END_TEST

START_TEST(test_help_and_version)
{
    ck_assert_int_eq(RUN("--help"), 1);
    static const char *const all[] = {"--config FILE",  "--set path=value", "--check-config",
                                      "--print-config", "--version",        "--help"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        ck_assert_msg(strstr(out_text, all[i]) != NULL, "%s", all[i]);
    ck_assert_int_eq(strncmp(out_text, "beckon-test - a test\n", 21), 0);
    ck_assert_int_eq(RUN("--version"), 1);
    ck_assert_str_eq(out_text, "beckon-test 1.2.3\n");
    ck_assert_int_eq(RUN("--config", "/nonexistent", "--version"), 1); /* needs no file */
    ck_assert_str_eq(err_text_printed, "");
}
END_TEST

START_TEST(test_check_config)
{
    ck_assert_int_eq(RUN("--check-config"), 1);
    ck_assert_str_eq(out_text, "beckon-test: the configuration is valid\n");
    ck_assert_uint_eq(command_checks, 1);
    ck_assert_int_eq(RUN("--check-config", "--set", "name=bad"), ERR_CONFIG);
    ck_assert_str_eq(err_text_printed, "beckon-test: bad is not a name\n");
    ck_assert_str_eq(out_text, "");
    ck_assert_int_eq(RUN("--check-config", "--set", "name=silent"), ERR_CONFIG);
    ck_assert_str_eq(err_text_printed, "beckon-test: plugin error\n");
}
END_TEST

START_TEST(test_print_config)
{
    ck_assert_int_eq(RUN("--print-config", "--set", "listen.tcp.port=99"), 1);
    ck_assert_ptr_nonnull(strstr(out_text, "port = 99;\n"));
    ck_assert_uint_eq(command_checks, 0);
    write_file(out_text);
    ck_assert_int_eq(RUN("--config", file), 0);
    ck_assert_uint_eq(values.port, 99);
    ck_assert_int_eq(RUN("--print-config", "--check-config"), 1);
    ck_assert_uint_eq(command_checks, 1);
    ck_assert_ptr_nonnull(strstr(out_text, "port = 1883;\n"));
}
END_TEST

START_TEST(test_errors)
{
    static const struct {
        const char *first, *second, *third;
        const char *expected;
    } cases[] = {
        {"--confg", "x", NULL, "unknown argument \"--confg\", see --help"},
        {"--configx", NULL, NULL, "unknown argument \"--configx\", see --help"},
        {"--check-configs", NULL, NULL, "unknown argument \"--check-configs\", see --help"},
        {"stray", NULL, NULL, "unknown argument \"stray\", see --help"},
        {"--config", NULL, NULL, "--config has no value"},
        {"--help", "--set", NULL, "--set has no value"},
        {"--config=a", "--config", "b", "--config is given twice"},
        {"--set", "name", NULL, "--set: \"name\" has no value, expected path=value"},
        {"--config", "/nonexistent", NULL,
         "/nonexistent: could not open: No such file or directory"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char expected[256];
        ck_assert_int_eq(RUN(cases[i].first, cases[i].second, cases[i].third), ERR_CONFIG);
        snprintf(expected, sizeof(expected), "beckon-test: %s\n", cases[i].expected);
        ck_assert_str_eq(err_text_printed, expected);
        ck_assert_str_eq(out_text, "");
    }
}
END_TEST

START_TEST(test_output_that_is_lost)
{
    char program[] = "beckon-test", print[] = "--print-config";
    char *arguments[] = {program, print, NULL};

    fflush(stdout);
    int saved_out = dup(STDOUT_FILENO), saved_err = redirect(STDERR_FILENO);
    AUTO_CLOSE int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(dup2(full, STDOUT_FILENO), 0);
    int r = option_command_line(&set, &command, 2, arguments);
    take_back(STDERR_FILENO, saved_err, err_text_printed, sizeof(err_text_printed));
    ck_assert_int_ge(dup2(saved_out, STDOUT_FILENO), 0);
    close(saved_out);
    clearerr(stdout);
    ck_assert_int_eq(r, ERR_CONFIG);
    ck_assert_str_eq(err_text_printed, "beckon-test: could not write to standard output\n");
}
END_TEST

static void set_up(void)
{
    option_set_up();
    command_checks = 0;
}

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, set_up, option_tear_down);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("option_command");
    TCase *good = make_case(suite, "good");
    TCase *errors = make_case(suite, "errors");

    tcase_add_test(good, test_goes_on);
    tcase_add_test(good, test_config_with_an_equals_sign);
    tcase_add_test(good, test_help_and_version);
    tcase_add_test(good, test_check_config);
    tcase_add_test(good, test_print_config);
    tcase_add_test(errors, test_errors);
    tcase_add_test(errors, test_output_that_is_lost);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
