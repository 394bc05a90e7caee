/* Tests of common/log.c: fields as text, lines as they leave through standard error. */
#include "common/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/err.h"

#include "tests/support/run_suite.h"

static int pipe_fds[2], saved_stderr;
static char output[1 << 16]; /* a pipe's default capacity */

static void set_up(void)
{
    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    saved_stderr = dup(STDERR_FILENO);
    ck_assert_int_ge(saved_stderr, 0);
    ck_assert_int_ge(dup2(pipe_fds[1], STDERR_FILENO), 0);
    log_init("connector", 3, LOG_INFO);
}

static void tear_down(void)
{
    ck_assert_int_ge(dup2(saved_stderr, STDERR_FILENO), 0);
    close(saved_stderr);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* What was logged since the last call. */
static const char *logged(void)
{
    ssize_t got = read(pipe_fds[0], output, sizeof(output) - 1);

    if (got < 0)
        ck_assert_int_eq(errno, EAGAIN);
    output[got > 0 ? got : 0] = '\0';
    return output;
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n' ? 1 : 0;
    return count;
}

/* The line without its time stamp, which must look like one. */
static const char *without_time(const char *line)
{
    regex_t pattern;

    ck_assert_int_eq(
        regcomp(&pattern,
                "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z ",
                REG_EXTENDED),
        0);
    ck_assert_msg(regexec(&pattern, line, 0, NULL, 0) == 0, "%s", line);
    regfree(&pattern);
    return line + strlen("2026-05-01T12:00:00.123Z ");
}

/* Fields */

static void check_field(const char *value, const char *expected)
{
    char buf[256];
    size_t len = log_kv(buf, sizeof(buf), 0, "k", value);

    ck_assert_str_eq(buf, expected);
    ck_assert_uint_eq(len, strlen(expected));
}

START_TEST(test_plain_values_have_no_quotes)
{
    check_field("bob-phone", "k=bob-phone");
    check_field("127.0.0.1:5511", "k=127.0.0.1:5511");
    check_field("[::1]:80", "k=[::1]:80");
    check_field("a~@:._", "k=a~@:._");
}
END_TEST

START_TEST(test_what_separates_is_quoted)
{
    check_field("", "k=\"\"");
    check_field("a b", "k=\"a b\"");
    check_field("a=b", "k=\"a=b\"");
    check_field("a\"b", "k=\"a\\\"b\"");
    check_field("a\\b", "k=\"a\\\\b\"");
    check_field("x\" user=\"root", "k=\"x\\\" user=\\\"root\"");
}
END_TEST

START_TEST(test_control_characters_are_escaped)
{
    check_field("a\nb", "k=\"a\\nb\"");
    check_field("\r\t", "k=\"\\r\\t\"");
    check_field("\x1b[31m", "k=\"\\x1b[31m\"");
    check_field("\x7f", "k=\"\\x7f\"");
    check_field("\xC2\x9Bz", "k=\"\\xc2\\x9bz\"");            /* C1: CSI */
    check_field("a\xE2\x80\xA8z", "k=\"a\\xe2\\x80\\xa8z\""); /* line separator */
    /* Right-to-left override, isolate, and what ends each. */
    check_field("a\xE2\x80\xAEz\xE2\x80\xAC", "k=\"a\\xe2\\x80\\xaez\\xe2\\x80\\xac\"");
    check_field("a\xE2\x81\xA6z\xE2\x81\xA9", "k=\"a\\xe2\\x81\\xa6z\\xe2\\x81\\xa9\"");
}
END_TEST

START_TEST(test_other_languages_stay_readable)
{
    check_field("Grüße", "k=\"Grüße\"");
    check_field("你好🙂", "k=\"你好🙂\"");
    check_field("\xC2\xA0", "k=\"\xC2\xA0\"");
}
END_TEST

START_TEST(test_bytes_that_are_no_utf8_are_escaped)
{
    check_field("a\xFFz", "k=\"a\\xffz\"");
    check_field("\xC3", "k=\"\\xc3\"");
    check_field("\xC3(", "k=\"\\xc3(\"");
    check_field("\xF0\x9F\x99", "k=\"\\xf0\\x9f\\x99\"");
    check_field("\xC0\x80", "k=\"\\xc0\\x80\"");
}
END_TEST

START_TEST(test_fields_are_appended)
{
    char buf[64];
    size_t len = log_kv(buf, sizeof(buf), 0, "id", "17");

    len = log_kv(buf, sizeof(buf), len, "client", "bob phone");
    len = log_kv(buf, sizeof(buf), len, "user", "bob");
    ck_assert_str_eq(buf, "id=17 client=\"bob phone\" user=bob");
    ck_assert_uint_eq(len, strlen(buf));
}
END_TEST

/* Is text one or two whole fields `a=...` and `b=...`, whose quotes are balanced? */
static bool well_formed(const char *text)
{
    bool quoted = false;

    for (; *text != '\0'; text++) {
        if (quoted && *text == '\\')
            text++;
        else if (*text == '"')
            quoted = !quoted;
    }
    return !quoted;
}

START_TEST(test_never_beyond_the_size)
{
    static const char *const values[] = {
        "plain-value-of-some-length", "with spaces and \"quotes\" in it",
        "\n\n\n\n\n\n\n\n",           "\xE2\x80\xA8\xE2\x80\xA8\xE2\x80\xA8",
        "Grüße 你好🙂🙂🙂", ""};
    char buf[80];

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        for (size_t size = 1; size <= 64; size++) {
            memset(buf, '#', sizeof(buf));
            size_t len = log_kv(buf, size, 0, "a", values[i]);
            ck_assert_uint_lt(len, size);
            ck_assert_uint_eq(strlen(buf), len);
            size_t more = log_kv(buf, size, len, "b", values[i]);
            ck_assert_uint_lt(more, size);
            ck_assert_uint_eq(strlen(buf), more);
            ck_assert_msg(well_formed(buf), "%s", buf);
            for (size_t k = size; k < sizeof(buf); k++)
                ck_assert_int_eq(buf[k], '#');
        }
    }
    ck_assert_uint_eq(log_kv(buf, 16, 0, "k", "0123456789abcdef"), 15);
    ck_assert_str_eq(buf, "k=\"01234567...\"");
}
END_TEST

/* Lines */

static size_t describe(const void *object, char *buf, size_t size)
{
    const char *name = object;
    size_t len = log_kv(buf, size, 0, "id", "17");

    return log_kv(buf, size, len, "client", name);
}

static size_t describe_nothing(const void *object, char *buf, size_t size)
{
    ck_assert_ptr_null(object);
    ck_assert_uint_gt(size, 0);
    buf[0] = '\0';
    return 0;
}

static size_t describe_too_much(const void *object, char *buf, size_t size)
{
    ck_assert_ptr_null(object);
    memset(buf, 'x', size - 1);
    buf[size - 1] = '\0';
    return size * 10; /* as snprintf reports what it would have written */
}

START_TEST(test_a_line)
{
    struct log_subject subject = {.describe = describe, .object = "bob phone"};

    log_warning(&subject, "could not verify token: %s", "expired");
    ck_assert_str_eq(without_time(logged()), "warning connector/3 id=17 client=\"bob phone\" "
                                             "msg=\"could not verify token: expired\"\n");
    log_error(NULL, "plain");
    ck_assert_str_eq(without_time(logged()), "error connector/3 msg=\"plain\"\n");
    subject = (struct log_subject){.describe = describe_nothing};
    log_info(&subject, "nobody");
    ck_assert_str_eq(without_time(logged()), "info connector/3 msg=\"nobody\"\n");
}
END_TEST

START_TEST(test_a_message_stays_one_line)
{
    log_info(NULL, "first\nsecond\" level=\"error");
    ck_assert_str_eq(without_time(logged()),
                     "info connector/3 msg=\"first\\nsecond\\\" level=\\\"error\"\n");
}
END_TEST

START_TEST(test_levels)
{
    enum log_level level = LOG_DEBUG;

    log_debug(NULL, "hidden");
    ck_assert_str_eq(logged(), "");
    log_set_level(LOG_DEBUG);
    log_debug(NULL, "shown");
    ck_assert_str_eq(without_time(logged()), "debug connector/3 msg=\"shown\"\n");
    log_set_level(LOG_ERROR);
    log_warning(NULL, "hidden");
    ck_assert_str_eq(logged(), "");

    ck_assert_int_eq(log_level_parse("error", &level), 0);
    ck_assert_int_eq(level, LOG_ERROR);
    ck_assert_int_eq(log_level_parse("warning", &level), 0);
    ck_assert_int_eq(level, LOG_WARNING);
    ck_assert_int_eq(log_level_parse("info", &level), 0);
    ck_assert_int_eq(level, LOG_INFO);
    ck_assert_int_eq(log_level_parse("debug", &level), 0);
    ck_assert_int_eq(level, LOG_DEBUG);
    ck_assert_int_eq(log_level_parse("Debug", &level), ERR_INVALID);
    ck_assert_int_eq(log_level_parse("", &level), ERR_INVALID);
    ck_assert_int_eq(level, LOG_DEBUG);
}
END_TEST

/* Some hundred counters with their names and values. */
START_TEST(test_counters_are_not_cut)
{
    char text[3000] = "";

    memset(text, 'y', sizeof(text) - 5);
    memcpy(text + sizeof(text) - 5, "=12", 4);
    log_info(NULL, "%s", text);
    size_t len = strlen(logged());
    ck_assert_str_eq(output + len - 5, "=12\"\n");
    ck_assert_uint_ge(len, sizeof(text));
}
END_TEST

START_TEST(test_long_lines_are_cut_and_closed)
{
    struct log_subject subject = {.describe = describe_too_much};
    static char text[8000];

    memset(text, 'y', sizeof(text) - 1);
    log_error(&subject, "%s", text);
    size_t len = strlen(logged());
    ck_assert_uint_le(len, PIPE_BUF);
    ck_assert_uint_eq(count_lines(output), 1);
    ck_assert_str_eq(output + len - 6, "y...\"\n");

    memset(text, '\x01', sizeof(text) - 1); /* each is four characters in the line */
    log_error(&subject, "%s", text);
    len = strlen(logged());
    ck_assert_uint_le(len, PIPE_BUF);
    ck_assert_uint_eq(count_lines(output), 1);
    ck_assert_str_eq(output + len - 9, "\\x01...\"\n");
}
END_TEST

START_TEST(test_errno_is_kept)
{
    errno = ENOENT;
    log_error(NULL, "%m");
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(without_time(logged()),
                     "error connector/3 msg=\"No such file or directory\"\n");
}
END_TEST

/* Limits */

START_TEST(test_a_call_site_is_limited)
{
    struct log_limit limit = {0};

    for (unsigned i = 0; i < 25; i++)
        log_line_limited(&limit, 50000 + i, LOG_WARNING, NULL, "number %u", i);
    ck_assert_uint_eq(count_lines(logged()), LOG_LIMIT_PER_SECOND);
    ck_assert_ptr_null(strstr(output, "suppressed"));
    log_line_limited(&limit, 50999, LOG_WARNING, NULL, "still");
    ck_assert_str_eq(logged(), "");
    log_line_limited(&limit, 51000, LOG_WARNING, NULL, "again");
    ck_assert_str_eq(without_time(logged()), "warning connector/3 suppressed=16 msg=\"again\"\n");
    log_line_limited(&limit, 51001, LOG_WARNING, NULL, "again");
    ck_assert_str_eq(without_time(logged()), "warning connector/3 msg=\"again\"\n");
}
END_TEST

START_TEST(test_a_hidden_level_costs_no_token)
{
    struct log_limit limit = {0};

    for (unsigned i = 0; i < 25; i++)
        log_line_limited(&limit, 1, LOG_DEBUG, NULL, "hidden");
    log_line_limited(&limit, 1, LOG_WARNING, NULL, "shown");
    ck_assert_str_eq(without_time(logged()), "warning connector/3 msg=\"shown\"\n");
}
END_TEST

static void log_from_one_site(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        log_limited(7000, LOG_WARNING, NULL, "one site");
}

START_TEST(test_each_site_has_its_own_bucket)
{
    log_from_one_site(20);
    ck_assert_uint_eq(count_lines(logged()), LOG_LIMIT_PER_SECOND);
    log_limited(7000, LOG_WARNING, NULL, "another site");
    ck_assert_uint_eq(count_lines(logged()), 1);
}
END_TEST

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("log");
    TCase *fields = make_case(suite, "fields");
    TCase *lines = make_case(suite, "lines");
    TCase *limits = make_case(suite, "limits");

    tcase_add_test(fields, test_plain_values_have_no_quotes);
    tcase_add_test(fields, test_what_separates_is_quoted);
    tcase_add_test(fields, test_control_characters_are_escaped);
    tcase_add_test(fields, test_other_languages_stay_readable);
    tcase_add_test(fields, test_bytes_that_are_no_utf8_are_escaped);
    tcase_add_test(fields, test_fields_are_appended);
    tcase_add_test(fields, test_never_beyond_the_size);
    tcase_add_test(lines, test_a_line);
    tcase_add_test(lines, test_a_message_stays_one_line);
    tcase_add_test(lines, test_levels);
    tcase_add_test(lines, test_counters_are_not_cut);
    tcase_add_test(lines, test_long_lines_are_cut_and_closed);
    tcase_add_test(lines, test_errno_is_kept);
    tcase_add_test(limits, test_a_call_site_is_limited);
    tcase_add_test(limits, test_a_hidden_level_costs_no_token);
    tcase_add_test(limits, test_each_site_has_its_own_bucket);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
